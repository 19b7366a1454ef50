"""Everything a call brings: features, labels, and what the source model or others said of them."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .arrays import as_array, as_features
from .labels import read_labels
from .target import UNLABELLED, Target, read_target, unlabelled

__all__ = ["Inputs", "read_inputs"]


class RowSource(abc.ABC):
    """Features that are read block by block; ``io.FeatureSource`` is the one for files."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the features."""

    @property
    @abc.abstractmethod
    def nbytes(self) -> int:
        """Size of the features as arrays, in bytes."""

    @abc.abstractmethod
    def labels(self) -> NDArray[Any] | None:
        """Read the labels of all rows; None where there are none."""

    @abc.abstractmethod
    def load(self) -> NDArray[Any]:
        """Read all features at once."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Checked arrays of the same rows; what was not given is None or empty."""

    target: Target
    features: NDArray[Any] | None = None
    source_probs: NDArray[Any] | None = None
    source_labels: NDArray[np.int64] | None = None
    label_embeddings: tuple[tuple[str, NDArray[Any]], ...] = ()
    notes: tuple[str, ...] = ()
    files: RowSource | None = None  # where `features` are not read yet

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the features, else of `source_probs`, else one column."""
        for have in (self.features, self.files, self.source_probs):
            if have is not None:
                return have.shape[0], have.shape[1]
        return self.target.n_samples, 1

    def provides(self) -> frozenset[str]:
        """Name the needs of metrics that this meets."""
        has_features = self.features is not None or self.files is not None
        met = {
            "stats": has_features,
            "class_scatters": has_features,
            "samples": has_features,
            "source_stats": self.source_probs is not None,
            "source_probs": self.source_probs is not None,
            "source_labels": self.source_labels is not None,
            "label_embeddings": bool(self.label_embeddings),
        }
        return frozenset(need for need, is_met in met.items() if is_met)

    def in_memory(self) -> Inputs:
        """Read features that are in files."""
        if self.files is None:
            return self
        array, notes = as_features(self.files.load())
        return replace(self, features=array, files=None, notes=self.notes + notes)

    def native(self) -> dict[str, Any]:
        """Give the arrays by the names that the native module knows."""
        return {
            "features": self.features,
            "labels": self.target.ids,
            "names": self.target.names,
            "targets": self.target.values,
            "source_probs": self.source_probs,
            "source_labels": self.source_labels,
            "label_embeddings": list(self.label_embeddings),
        }

    def take(self, rows: slice | NDArray[np.intp]) -> Inputs:
        """Keep some rows of everything, by position; a slice copies nothing."""
        assert self.files is None, "callers have read them"
        return replace(
            self,
            target=self.target.take(rows),
            features=None if self.features is None else self.features[rows],
            source_probs=None if self.source_probs is None else self.source_probs[rows],
            source_labels=None if self.source_labels is None else self.source_labels[rows],
            label_embeddings=tuple((name, view[rows]) for name, view in self.label_embeddings),
        )

    def with_target(self, target: Target) -> Inputs:
        """Replace the labels."""
        return replace(self, target=target)


def read_inputs(
    features: object,
    labels: object,
    task: str = "auto",
    *,
    source_probs: object = None,
    source_labels: object = None,
    label_embeddings: object = None,
    target: Target | None = None,
) -> Inputs:
    """Check and convert whatever is given; `target` is labels that were read before.

    Raises
    ------
    DataError, DtypeError
        If an argument is wrong or has other rows than the labels.
    """
    notes: tuple[str, ...] = ()
    rows: dict[str, int] = {}
    array = probs = ids = files = None
    if isinstance(features, RowSource):
        files, rows["features"] = features, features.shape[0]
        if labels is None and target is None:
            labels = features.labels()
    elif features is not None:
        array, notes = as_features(features)
        rows["features"] = len(array)
    if source_probs is not None:
        probs, more = as_features(source_probs, "source_probs")
        notes, rows["source_probs"] = notes + more, len(probs)
    if source_labels is not None:
        ids = _codes(source_labels)
        rows["source_labels"] = len(ids)
    views = _views(label_embeddings) if label_embeddings is not None else ()
    if views:
        rows["label_embeddings"] = len(views[0][1])
    if target is None:
        if labels is None and not rows:
            raise DataError("there is nothing to score: features and labels are None")
        none = labels is None
        target = unlabelled(max(rows.values())) if none else read_target(labels, task)
        target = target.without_constant()
    for name, n_rows in rows.items():
        if n_rows != target.n_samples:
            if target.task == UNLABELLED:
                raise DataError(f"arguments differ in rows: {rows}; give the same rows in each")
            raise DataError(
                f"labels has {target.n_samples} entries but {name} has {n_rows} rows; give one "
                f"label for each row"
            )
    return Inputs(target, array, probs, ids, views, notes, files)


def _codes(source_labels: object) -> NDArray[np.int64]:
    """Give the classes that the source model names numbers from 0, in sorted order."""
    array, _ = read_labels(source_labels, "source_labels")
    if array.ndim != 1:
        raise DataError(
            f"source_labels must be one class per row, got shape {array.shape}; for probabilities "
            f"pass source_probs, or source_probs.argmax(axis=1) as source_labels"
        )
    if array.dtype.kind == "f" and bool((array != np.floor(array)).any()):
        row = int(np.flatnonzero(array != np.floor(array))[0])
        raise DataError(f"source_labels[{row}] is {array[row]:g}; classes must be whole numbers")
    return np.unique(array, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _views(label_embeddings: object) -> tuple[tuple[str, NDArray[Any]], ...]:
    """Give each view of the labels as a name and an (n_samples, dimension) array."""
    if isinstance(label_embeddings, Mapping):
        named = [(str(name), view) for name, view in label_embeddings.items()]
    else:
        array, _ = as_array(label_embeddings, "label_embeddings")
        if array.ndim != 3:
            raise DataError(
                f"label_embeddings must be (n_samples, dimension, n_views), got shape "
                f"{array.shape}; a single view is label_embeddings[:, :, None], or a dict of views"
            )
        named = [(str(k), array[:, :, k]) for k in range(array.shape[2])]
    if not named:
        raise DataError("label_embeddings holds no views; give at least one")
    views = [(name, as_features(view, f"label_embeddings[{name!r}]")[0]) for name, view in named]
    shape = views[0][1].shape
    for name, view in views:
        if view.shape != shape:
            raise DataError(
                f"label_embeddings[{name!r}] has shape {view.shape}, but "
                f"{views[0][0]!r} has {shape}; views must have one shape"
            )
    return tuple(views)
