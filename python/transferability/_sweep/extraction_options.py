"""Options of feature extraction that all models of a sweep share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..errors import DataError, DtypeError

__all__ = ["ExtractionOptions", "check_counts", "check_layers"]


@dataclass(frozen=True)
class ExtractionOptions:
    """How the features of every model are computed.

    `layers` and `pool` are resolved to names when a model is open. `positions`, `ignore` and `seed`
    concern segmentation only.
    """

    layers: str | tuple[str, ...] = "default"  # "default", "last", "all", or names
    average: bool = False  # whether the mean of these layers is a layer too
    pool: str | None = None  # pooling of tokens or positions; None for the model's own
    batch_size: int = 32  # maximum number of items in a batch
    device: str | None = None
    dtype: str | None = None  # number format of the weights
    amp: str | None = None  # number format of automatic mixed precision
    max_length: int | None = None  # maximum number of tokens of a text
    task: str = "auto"  # "classification", "regression" or "multilabel" once labels are read
    class_scatters: bool = False  # whether the statistics hold the scatter of every class
    keep_features: bool = False  # whether features are stored beside the statistics
    outputs: bool = False  # whether outputs of the model's head are stored
    positions: int | None = None  # maximum number of positions of an image; None for other tasks
    ignore: tuple[int, ...] = ()  # labels to leave out in addition to -100
    seed: int = 0  # of the sample of positions
    n_threads: int | None = None

    def __post_init__(self) -> None:
        """Validate counts and the seed."""
        check_counts(batch_size=self.batch_size, max_length=self.max_length)
        check_counts(positions=self.positions)
        check_counts(least=0, seed=self.seed)

    def extraction_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``transferability.torch.extract``, without layers."""
        names = ("pool", "amp", "task", "class_scatters", "keep_features", "outputs", "average")
        more = ("positions", "ignore", "seed") if self.positions is not None else ()
        return {name: getattr(self, name) for name in (*names, *more, "n_threads")}

    def key_facts(self) -> dict[str, str]:
        """Return the fields that determine the statistics of a layer, for a cache key."""
        left_out = _NOT_IN_KEYS | (_OF_POSITIONS if self.positions is None else frozenset())
        names = (field.name for field in fields(self) if field.name not in left_out)
        return {name: repr(getattr(self, name)) for name in names}


#: Fields that are not part of a cache key. Each layer has a key of its own. The device changes only
#: the rounding, and the batch size and number of threads nothing. An entry with features or
#: outputs also serves sweeps that do not need these.
_NOT_IN_KEYS = frozenset(
    {*("layers", "average", "batch_size", "device", "keep_features", "outputs", "n_threads")}
)
_OF_POSITIONS = frozenset({"positions", "ignore", "seed"})


def check_layers(layers: object) -> str | tuple[str, ...]:
    """Validate the argument `layers`; return a name, or a tuple of names."""
    if isinstance(layers, str):
        return layers
    names = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not all(isinstance(name, str) for name in names):
        raise DtypeError(
            f"layers is {layers!r}; give 'default', 'last', 'all', or a list of names of layers"
        )
    if not names:
        raise DataError("layers is empty; name at least one, or give 'default', 'last' or 'all'")
    return names


def check_counts(least: int = 1, **counts: object) -> None:
    """Raise an error if a value is neither None nor an integer of at least `least`."""
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise DtypeError(f"{name} must be a whole number, got {value!r}")
        if isinstance(value, int) and value < least:
            raise DataError(f"{name} must be at least {least}, got {value}")
