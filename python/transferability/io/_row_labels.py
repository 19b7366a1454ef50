"""Labels of all rows, shared by models in different shards.

A model in as many shards as there are files of labels is paired with them by name. Otherwise the
files of labels, and the shards, must be in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._formats import LABEL_SUFFIXES, name_array
from ._labels import join_labels, read_label_parts
from ._names import File
from ._pairing import check_order, pair_files
from ._paths import Paths, expand_paths, is_listed
from ._row_index import check_stored_rows
from ._shards import Shard

__all__ = ["LabelFiles", "check_same", "read_label_files"]


@dataclass(frozen=True)
class LabelFiles:
    """The files that labels were read from, in the order of the rows; none for an array.

    Attributes
    ----------
    files : tuple of (Path, str or None)
        With the key of the array.
    lengths : tuple of int
        The number of labels in each file, or of each pair.
    listed : bool
        Whether the files are in the order of the caller.
    paired : bool
        Whether the caller gave each shard its labels, so that names do not matter.
    """

    files: tuple[File, ...] = ()
    lengths: tuple[int, ...] = ()
    listed: bool = False
    paired: bool = False

    def align(self, shards: Sequence[Shard], listed: bool) -> tuple[Shard, ...]:
        """Return the shards of a model in the order of the labels.

        Raise if the shards do not go with the labels. `listed` says whether the shards are in the
        order of the caller.
        """
        if self.paired:
            if self.lengths:
                self._check_lengths(shards)
            self._check_indexes(shards)
            return tuple(shards)
        if len(shards) == len(self.files) > 1:
            in_order = listed and self.listed
            if in_order:
                self._check_lengths(shards)
            features = [shard.file for shard in shards]
            order = pair_files(features, self.files, in_order=in_order)
            aligned = tuple(shards[i] for i in sorted(range(len(order)), key=order.__getitem__))
            self._check_lengths(aligned)
            self._check_indexes(aligned)
            return aligned
        check_order([shard.file for shard in shards])
        self.check_array()
        check_stored_rows([shard.file for shard in shards], self.files)
        return tuple(shards)

    def check_array(self) -> None:
        """Raise unless the files are in the order of an array of features for all rows."""
        if not self.paired:
            check_order(self.files, "together they are the labels")

    def _check_indexes(self, shards: Sequence[Shard]) -> None:
        """Raise if a shard and its file of labels store indexes that contradict their order."""
        for shard, file in zip(shards, self.files, strict=False):  # none for arrays
            check_stored_rows([shard.file], [file])

    def _check_lengths(self, shards: Sequence[Shard]) -> None:
        """Raise unless every shard has as many rows as its labels."""
        names = [name_array(*file) for file in self.files]
        names = names or [f"the labels of {shard}" for shard in shards]
        for shard, name, length in zip(shards, names, self.lengths, strict=True):
            if length != shard.n_samples:
                raise DataError(
                    f"{name} has {length} entries but {shard} has {shard.n_samples} rows; give the "
                    f"files of labels in the order of the shards, or one for all rows if models "
                    f"are cut in different ways"
                )


def read_label_files(paths: Paths, paired: bool = False) -> tuple[NDArray[Any], LabelFiles]:
    """Read and concatenate the labels of files; return the facts about the files too.

    `paired` says that each path has the labels of one pair.
    """
    files = expand_paths(paths, "labels", LABEL_SUFFIXES)
    names = [name_array(*file) for file in files]
    parts = read_label_parts(files, names)
    lengths = tuple(map(len, parts))
    return (
        join_labels(parts, names, "file"),
        LabelFiles(tuple(files), lengths, is_listed(paths), paired),
    )


def check_same(labels: Mapping[str, NDArray[Any] | None]) -> NDArray[Any]:
    """Return the labels that every model has of its own; raise unless they are the same."""
    for name, own in labels.items():
        if own is None:
            raise DataError(
                f"labels is None; give one label for each row, or pairs for every model: {name!r} "
                f"has no labels of its own"
            )
    (first, expected), *others = labels.items()
    assert expected is not None
    for name, own in others:
        if own is None or not np.array_equal(own, expected):
            raise DataError(
                f"the labels of {name!r} are not those of {first!r}; models are ranked by the same "
                f"rows and labels, in one order"
            )
    return expected
