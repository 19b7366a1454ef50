"""The validated inputs of one scoring call: features, labels, source outputs, label embeddings."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .arrays import as_array, as_features, read_features
from .columns import Names, check_leak
from .labels import encode_labels, read_labels
from .rows import RowIndex, check_rows
from .target import UNLABELLED, Target, read_target, suggest_header, unlabelled

__all__ = ["Inputs", "RowSource", "read_inputs", "to_probabilities"]

_SUM_TO_ONE = 1e-3  # tolerance for probabilities in half precision


class RowSource(abc.ABC):
    """Interface of features in files, which are read in blocks or all at once.

    ``io.FeatureSource`` implements it, in a room that this one may not import.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the features."""

    @property
    @abc.abstractmethod
    def nbytes(self) -> int:
        """Size of the features as arrays, in bytes."""

    @property
    @abc.abstractmethod
    def columns(self) -> Names:
        """Names of the features."""

    @abc.abstractmethod
    def labels(self) -> NDArray[Any] | None:
        """Read the labels of all rows; None where there are none."""

    @abc.abstractmethod
    def check_order(self, beside: str = "") -> None:
        """Raise if the names of the files contradict the order of an array for all rows.

        It is that of the labels, unless `beside` names another.
        """

    @abc.abstractmethod
    def load(self) -> NDArray[Any]:
        """Read all features."""

    @abc.abstractmethod
    def check_index(self, known: tuple[RowIndex, ...]) -> None:
        """Raise if the pandas indexes of arguments contradict the one that the files store."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """The validated inputs of one scoring call.

    All arrays have the same rows. Inputs that the caller did not pass are None or empty.
    """

    target: Target
    features: NDArray[Any] | None = None
    source_probs: NDArray[Any] | None = None
    source_labels: NDArray[np.int64] | None = None
    label_embeddings: tuple[tuple[str, NDArray[Any]], ...] = ()
    notes: tuple[str, ...] = ()
    files: RowSource | None = None  # features that have not been read; `features` is then None
    index: tuple[RowIndex, ...] = ()  # of the arguments with a pandas index, where they differ
    columns: Names = None  # of `features`
    groups: NDArray[np.int64] | None = None  # the group of each row, for what leaves out groups

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the features, else of `source_probs`, else one column."""
        for array in (self.features, self.files, self.source_probs):
            if array is not None:
                return array.shape[0], array.shape[1]
        return self.target.n_samples, 1

    def given(self) -> tuple[bool, ...]:
        """Return which of the arguments there are, which decides what `provides` returns."""
        return (
            self.features is not None or self.files is not None,
            self.source_probs is not None,
            self.source_labels is not None,
            bool(self.label_embeddings),
        )

    def provides(self) -> frozenset[str]:
        """Return the possible values of ``MetricSpec.needs`` that these inputs meet."""
        features, probs, ids, views = self.given()
        met: list[str] = []
        if features:
            met += ("stats", "class_scatters", "samples")
        if probs:
            met += ("source_stats", "source_probs")
        if ids:
            met.append("source_labels")
        if views:
            met.append("label_embeddings")
        return frozenset(met)

    def in_memory(self) -> Inputs:
        """Read the features if they are in files."""
        if self.files is None:
            return self
        array, notes = as_features(self.files.load())
        columns = self.files.columns
        return replace(self, features=array, files=None, notes=self.notes + notes, columns=columns)

    def native(self) -> dict[str, Any]:
        """Return the arrays under the names that the native module reads."""
        return {
            "features": self.features,
            "labels": self.target.ids,
            "names": self.target.names,
            "targets": self.target.values,
            "source_probs": self.source_probs,
            "source_labels": self.source_labels,
            "groups": self.groups,
            "label_embeddings": list(self.label_embeddings),
        }

    def take(self, rows: slice | NDArray[np.intp]) -> Inputs:
        """Return some rows of all arrays, by position; a slice makes views."""
        assert self.files is None, "callers read them first"
        return replace(
            self,
            target=self.target.take(rows),
            features=None if self.features is None else self.features[rows],
            source_probs=None if self.source_probs is None else self.source_probs[rows],
            source_labels=None if self.source_labels is None else self.source_labels[rows],
            label_embeddings=tuple((name, view[rows]) for name, view in self.label_embeddings),
            groups=None if self.groups is None else self.groups[rows],
        )


def read_inputs(
    features: object,
    labels: object,
    task: str = "auto",
    *,
    source_probs: object = None,
    source_labels: object = None,
    label_embeddings: object = None,
    target: Target | None = None,
    index: tuple[RowIndex, ...] = (),
) -> Inputs:
    """Validate and convert the data arguments of :func:`transferability.score`.

    `target` has labels that have been read before, in place of `labels`, and `index` the indexes
    of what was read with them.
    """
    given = {"features": features, "labels": labels, "source_probs": source_probs}
    index = check_rows(index, **given, source_labels=source_labels)
    if label_embeddings is not None and isinstance(label_embeddings, Mapping):
        for view, values in label_embeddings.items():
            index = check_rows(index, **{f"label_embeddings[{view!r}]": values})
    notes: tuple[str, ...] = ()
    rows: dict[str, int] = {}
    array = probs = ids = files = columns = None
    are_for_all_rows = labels is not None
    if type(features) is not np.ndarray and isinstance(features, RowSource):
        files, rows["features"] = features, features.shape[0]
        features.check_index(index)
        if labels is None and target is None:
            labels = features.labels()
    elif features is not None:
        array, notes, columns = read_features(features)
        rows["features"] = len(array)
    if source_probs is not None:
        probs, more = as_features(source_probs, "source_probs")
        notes, rows["source_probs"] = notes + more, len(probs)
    if source_labels is not None:
        ids = _read_source_labels(source_labels)
        rows["source_labels"] = len(ids)
    views = _read_views(label_embeddings) if label_embeddings is not None else ()
    if views:
        rows["label_embeddings"] = len(views[0][1])
    if target is None:
        if labels is not None:
            target = read_target(labels, task).without_constant()
        elif rows:
            target = unlabelled(max(rows.values()))
        else:
            raise DataError("there is nothing to score: features and labels are None")
    for name, n_rows in rows.items():
        if n_rows != target.n_samples:
            if target.task == UNLABELLED:
                raise DataError(f"arguments differ in rows: {rows}; give the same rows in each")
            raise DataError(
                f"labels has {target.n_samples} entries but {name} has {n_rows} rows; give one "
                f"label for each row{suggest_header(target, n_rows)}"
            )
    if array is not None and columns is not None and target.names is None:
        check_leak(array, columns, target.ids if target.values is None else target.values)
    if files is not None and are_for_all_rows:
        files.check_order()
    beside = [name for name in rows if name != "features"]
    if files is not None and beside:
        files.check_order(" and ".join(beside))
    return Inputs(target, array, probs, ids, views, notes, files, index, columns)


def to_probabilities(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Apply a softmax to outputs of a model's head, (n, K), unless they are probabilities.

    Rows of probabilities are normalised to a sum of one.
    """
    wide = np.asarray(outputs, dtype=np.float64)
    if not ((wide >= 0).all() and (abs(wide.sum(axis=1) - 1) < _SUM_TO_ONE).all()):
        wide = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))


def _read_source_labels(source_labels: object) -> NDArray[np.int64]:
    """Encode the classes of the source model as integers from 0, in sorted order."""
    array, _ = read_labels(source_labels, "source_labels")
    if array.ndim != 1:
        raise DataError(
            f"source_labels must be one class per row, got shape {array.shape}; for probabilities "
            f"pass source_probs, or source_probs.argmax(axis=1) as source_labels"
        )
    if array.dtype.kind == "f" and (odd := np.flatnonzero(array != np.floor(array))).size:
        row = odd[0]
        raise DataError(f"source_labels[{row}] is {array[row]:g}; classes must be whole numbers")
    return encode_labels(array)[1].astype(np.int64)


def _read_views(label_embeddings: object) -> tuple[tuple[str, NDArray[Any]], ...]:
    """Return the name of each view of the labels with its (n_samples, dimension) array."""
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
