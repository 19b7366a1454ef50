"""Cache keys of a job: resolve layers and pooling for its model, and hash what they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from .._data.data import Data
from .._data.pictures import is_picture_name
from .._util.cache import compute_key
from ..errors import DataError
from .job import MEAN, ExtractionOptions, Job

__all__ = ["JobKeys", "ModelFacts", "check_fit", "compute_keys"]

#: Part of every cache key. Increment it when statistics of equal inputs change between versions,
#: and with the version of state files: an entry of the earlier one cannot be read.
_FORMAT = 2


class ModelFacts(Protocol):
    """What cache keys depend on: an open model, or one that is known from before."""

    @property
    def kind(self) -> str:
        """Type of raw items."""

    @property
    def layers(self) -> Sequence[str]:
        """The layers of ``layers="all"``."""

    @property
    def default_layer(self) -> str:
        """The layer to score by default."""

    @property
    def default_pool(self) -> str:
        """The pooling by default."""

    def fingerprint(self) -> str:
        """Return a hash of the model."""


class JobKeys(NamedTuple):
    """Options with the names of layers and pooling, the keys of layers, and one of all of them."""

    options: ExtractionOptions
    layers: dict[str, str]
    whole: str


def compute_keys(model: ModelFacts, job: Job) -> JobKeys:
    """Compute the cache keys of all layers of a job."""
    options = _resolve_options(model, job)
    facts = {"format": _FORMAT, "model": model.fingerprint(), "data": job.digest}
    facts |= options.key_facts()
    keys = {layer: compute_key({**facts, "layer": layer}) for layer in options.layers}
    if options.average:  # the mean depends on the set of layers
        keys[MEAN] = compute_key({**facts, "layers": options.layers})
    return JobKeys(options, keys, compute_key(facts))


def _resolve_options(model: ModelFacts, job: Job) -> ExtractionOptions:
    """Replace layers and pooling by their names for this model."""
    options, is_token = job.options, job.data.is_token
    if options.positions is not None:
        pool = "nhwc_none" if model.default_pool.startswith("nhwc") else "none"
    else:
        pool = "first_subword" if is_token else str(model.default_pool)
    layers = _resolve_layers(model, options.layers, is_token)
    return replace(options, layers=layers, pool=options.pool or pool)


def _resolve_layers(
    model: ModelFacts, layers: str | tuple[str, ...], is_token: bool
) -> tuple[str, ...]:
    """Return the names of layers, in the model's order unless the user gave names."""
    known, default = tuple(model.layers), model.default_layer
    if is_token:  # an embedding of the sentence has no row for each word
        known = tuple(name for name in known if not name.endswith("sentence_embedding"))
        default = default if default in known or default not in model.layers else known[-1]
    if not isinstance(layers, str):
        return layers
    return {"default": (default,), "last": known[-1:], "all": known}.get(layers, (layers,))


def check_fit(model: Any, data: Data) -> None:
    """Raise DataError if the model cannot read the items."""
    if {model.kind, data.kind} == {"text", "image"}:
        first = data.items[0]
        is_name = isinstance(first, str) and is_picture_name(first)
        found = f"; {first!r} is no file, if pictures are meant" if is_name else ""
        raise DataError(f"this model reads {model.kind}s, and the data are {data.kind}s{found}")
    if model.kind == "saved" and model.n_samples != data.n_original:
        raise DataError(
            f"there are {model.n_samples} rows of saved features for {data.n_original} rows of data"
        )
