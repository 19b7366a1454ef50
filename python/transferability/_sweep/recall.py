"""Remember models in the cache, and recall one without opening it if it is surely unchanged.

The cache remembers of every named model that was opened: its fingerprint, layers and pooling, and
the evidence by which it is recognised later (``models/_unchanged.py``). What is not certain is
opened, in its own process, as if nothing were remembered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .._util.cache import Cache, compute_key
from ..models._unchanged import (
    OpenedFiles,
    describe_opening,
    is_unchanged,
    name_facts,
    watch_files,
)
from .job import ExtractionOptions, Job

__all__ = [
    "KnownModel",
    "Opening",
    "are_remembered",
    "recall_model",
    "remember_model",
    "watch_opening",
]


@dataclass(frozen=True)
class KnownModel:
    """Facts of a model that was opened before, for cache keys and notes."""

    digest: str
    kind: str
    layers: tuple[str, ...]
    default_layer: str
    default_pool: str
    n_samples: int | None  # rows of saved features
    notes: tuple[str, ...]  # warnings while it was opened
    batch_size: int | None = None  # as of ``Model``

    def fingerprint(self) -> str:
        """Return the fingerprint that the model had when it was opened."""
        return self.digest


class Opening(NamedTuple):
    """The name under which a model is remembered, None for code, and what opening it has read."""

    name: str | None
    files: OpenedFiles


@contextmanager
def watch_opening(job: Job) -> Iterator[Opening]:
    """Record what is read while the model of a job is opened in a process of its own."""
    name = _name(job.model, job.options)  # before libraries set environment variables
    with watch_files() as files:
        yield Opening(name, files)


def remember_model(job: Job, model: Any, opening: Opening, notes: Sequence[str]) -> None:
    """Remember an open model, if there is evidence by which it will be recognised."""
    name, files = opening
    if name is None:
        return
    cache = Cache(job.cache)
    evidence = describe_opening(os.fspath(job.model), files, cache.folders)
    if evidence is None:
        return
    known = KnownModel(
        digest=model.fingerprint(),
        kind=model.kind,
        layers=tuple(model.layers),
        default_layer=model.default_layer,
        default_pool=model.default_pool,
        n_samples=getattr(model, "n_samples", None),
        notes=tuple(dict.fromkeys(notes)),
        batch_size=model.batch_size,
    )
    with suppress(OSError):  # this sweep does not need it
        cache.remember(name, {"model": asdict(known), "evidence": evidence})


def recall_model(job: Job) -> KnownModel | None:
    """Return what is remembered of a job's model; None if it is not certain to be unchanged."""
    name = _name(job.model, job.options)
    if name is None:
        return None
    cache = Cache(job.cache)
    facts = cache.recall(name)
    if facts is None or not is_unchanged(facts["evidence"], cache.folders):
        return None
    model = facts["model"]
    return KnownModel(**{**model, "layers": tuple(model["layers"]), "notes": tuple(model["notes"])})


def are_remembered(models: Iterable[object], options: ExtractionOptions, root: Path | None) -> bool:
    """Return whether all models were opened before, so that they may be unchanged."""
    if root is None:
        return False
    cache = Cache(root)
    names = (_name(model, options) for model in models)
    return all(name is not None and cache.recall(name) is not None for name in names)


def _name(model: object, options: ExtractionOptions) -> str | None:
    """Hash what is known of a model before any file is read; None if it is code."""
    facts: Mapping[str, Any] | None = name_facts(model)
    if facts is None:
        return None
    opened = {"dtype": options.dtype, "max_length": options.max_length}
    return compute_key({**facts, **opened, "device": str(options.device)})
