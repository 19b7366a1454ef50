"""Saved features as a model: its items are row numbers, and only labels are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import _fingerprint
from ._loading import list_paths, suggest_path
from ._model import Model
from ._spec import ModelSpec, SourceSpec

__all__ = ["SOURCE", "SavedModel"]


class SavedModel(Model):
    """Rows of features in files that :mod:`transferability.io` reads.

    Raw items are row numbers, as in ``collate([0, 1, 2])``. Ascending numbers are read in one
    pass over the files; a number smaller than the one before starts another pass.
    """

    def __init__(self, spec: str, path: str, key: str | None) -> None:
        from ..io import open_features

        self.source = open_features(path, key=key)
        super().__init__(spec, _RowNumbers(self.source.n_samples), ("features",), "features")
        self._blocks: Iterator[Any] | None = None
        self._start, self._block = 0, np.empty((0, 0))  # first row of the current block; its rows

    @property
    def n_samples(self) -> int:
        """Number of rows in all files."""
        return int(self.source.n_samples)

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Read rows by their numbers."""
        if unknown := [layer for layer in layers if layer not in self.layers]:
            raise DataError(f"{self.spec} has no layer {unknown[0]!r}; it has 'features'")
        rows = np.stack([self._row(int(row)) for row in batch])
        return dict.fromkeys(layers, rows)

    def _row(self, row: int) -> NDArray[Any]:
        if self._blocks is None or row < self._start:
            self._blocks, self._start, self._block = iter(self.source), 0, np.empty((0, 0))
        while row >= self._start + len(self._block):
            self._start += len(self._block)
            self._block, _, _ = next(self._blocks)
        found: NDArray[Any] = self._block[row - self._start]
        return found

    def hash_content(self) -> str:
        """Hash the files."""
        shards = self.source.shards
        parts = [(_fingerprint.hash_file(shard.path), str(shard.key)) for shard in shards]
        return _fingerprint.hash_values(parts)


class _RowNumbers:
    """Validate row numbers: the preprocessing of saved features."""

    kind = "saved"

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples

    def __call__(self, raw: Sequence[Any]) -> NDArray[np.int64]:
        rows = np.asarray(raw)
        if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= self._n_samples:
            raise DataError(
                f"rows of saved features are numbers from 0 to {self._n_samples - 1}, got "
                f"{rows.min() if rows.dtype.kind in 'iuf' else rows.dtype}"
            )
        return rows.astype(np.int64)

    def config(self) -> dict[str, object]:
        return {}


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> Model:
    """Open a file, or a folder whose files are shards of one model's features."""
    path = Path(spec.name.partition(":")[0])
    if not path.exists():
        raise DataError(f"there is no file or folder {path}{suggest_path(path)}")
    return SavedModel(str(spec), spec.name, spec.text("key"))


SOURCE = SourceSpec(
    scheme="features",
    example="run1",
    metavar="PATH",
    summary="features saved before: a file, or a folder of shards",
    open=_open,
    list_names=lambda spec: list_paths(spec.name),
    options=("key",),
)
