"""Open features in files: expand paths, read headers, check shards, assign their labels."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from .._inputs.columns import join_names, match_columns
from .._inputs.labels import read_labels
from .._inputs.rows import RowIndex, has_row_index
from .._inputs.types import ArrayLike, PathLike
from ..errors import DataError, DtypeError
from ._formats import LABEL_SUFFIXES, list_suffixes, name_array, open_array
from ._labels import check_length, read_label_array
from ._pairing import Pair, check_order, find_unpaired, is_pairs, pair_files, split_pairs
from ._paths import Paths, expand_paths, is_listed, names_labels
from ._row_index import check_stored_rows
from ._shards import FeatureSource, Shard

__all__ = ["PathsOrPairs", "open_features"]

#: Paths of features, or pairs of such a path with its labels.
PathsOrPairs: TypeAlias = Paths | Iterable[Pair]


def open_features(
    paths: PathsOrPairs,
    labels: ArrayLike | PathLike | None = None,
    *,
    key: str | None = None,
    label_column: str | None = None,
) -> FeatureSource:
    """Open features in files, to be read block by block.

    The suffix of a file decides its format; a pickle is never loaded. Formats:
    {by_extra}.

    Parameters
    ----------
    paths : path, list of paths, or list of pairs
        A file, a folder of shards, a pattern such as ``"feats/x_*.npy"``, or a list of them. A
        list keeps its order; a folder and a pattern are in the natural order of their names, x_2
        before x_10. ``file:key`` names an array of a file that holds several. Pairs
        ``[(x, y), ...]`` are a file of features each with its labels, a file or an array.
    labels : array-like, path, or list of paths, optional
        For all rows in the order of the shards; or one file per shard, as a list or a pattern.
        Files have any of the formats above, or are text with one label per line ({text}). A list of
        strings is a list of paths if all of them have such a suffix, and of labels otherwise.
        Files are paired with shards by what varies in their names.
    key : str, optional
        The array to read if files hold several: a member, tensor, dataset, or a column of lists.
        For a table with one column per dimension, a pattern of their names, such as ``"f*"``; all
        files have the same columns, in any order. The index of a pandas frame is no feature.
    label_column : str, optional
        The column, member, tensor or dataset of the same files with the labels.

    Returns
    -------
    source : FeatureSource
        With ``n_samples``, ``n_features`` and ``shards``. Iterate over it to read blocks
        ``(features, labels or None, where)``.

    Raises
    ------
    DataError, DtypeError
        If a file is missing, damaged, empty, given twice or not of numbers; if its columns or kind
        of numbers differ from those of the first file; if what varies in the names of label files
        does not match the shards; if labels are for all rows, and the numbers in the names of a
        list of shards are not in natural order. The message names the file.
    MissingDependencyError
        If the package that reads a format is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np, transferability as tx
    >>> rng, folder = np.random.default_rng(0), tempfile.mkdtemp()
    >>> for i in range(3):
    ...     np.save(f"{folder}/x_{i}.npy", rng.normal(size=(100, 4)).astype(np.float16))
    >>> source = tx.io.open_features(f"{folder}/x_*.npy", rng.integers(0, 2, 300))
    >>> source.n_samples, source.n_features, len(source.shards)
    (300, 4, 3)
    >>> round(float(tx.io.stats_of(source).logme()), 3) < 0
    True
    >>> pairs = [(f"{folder}/x_{i}.npy", rng.integers(0, 2, 100)) for i in range(3)]
    >>> tx.io.open_features(pairs).labels().shape
    (300,)
    """
    if labels is not None and label_column is not None:
        raise DataError("labels and label_column both say where the labels are; give one of them")
    if isinstance(paths, Iterable) and not isinstance(paths, (str, os.PathLike)):
        paths = [*paths]
    if not is_pairs(paths):
        shards = _read_shards(paths, key, label_column)
        return FeatureSource(_assign_labels(shards, labels, is_listed(paths)))
    if labels is not None or label_column is not None:
        raise DataError("paths holds pairs, which have their labels; leave out the other labels")
    files, parts = split_pairs(paths)
    shards = _read_shards(files, key)
    if len(shards) != len(parts):
        raise DataError(
            f"the {len(parts)} pairs hold {len(shards)} files of features; give one file in each"
        )
    return FeatureSource(tuple(map(_pair_shard, shards, parts)))


for _name, _suffixes in list_suffixes().items():
    open_features.__doc__ = (open_features.__doc__ or "").replace(f"{{{_name}}}", _suffixes)


def _read_shards(paths: Any, key: str | None, label_column: str | None = None) -> list[Shard]:
    """Read the headers of the files that paths name, and check that they are alike."""
    shards: list[Shard] = []
    named: Shard | None = None  # whose columns give the order
    seen: set[tuple[Path, str | None]] = set()
    for path, own in expand_paths(paths):
        if (twin := (path.resolve(), own or key)) in seen:
            raise DataError(f"{name_array(path, own)} is given twice; its rows would count twice")
        seen.add(twin)
        if own is not None and key is not None and own != key:
            raise DataError(f"{name_array(path, own)} names an array, and key={key!r} another")
        shard = _read_shard(path, own or key, label_column)
        if named is not None:
            shard = _match(shard, shards[0], named)
        held = None if named is None else named.columns or None
        if named is None or join_names(held, shard.columns or None) != held:
            named = shard
        shards.append(shard)
    return shards


def _read_shard(path: Path, key: str | None, label_column: str | None) -> Shard:
    """Read the header of a file."""
    with open_array(path, key, label_column=label_column) as reader:
        shape, dtype, columns = reader.shape, reader.dtype, reader.columns
    name = name_array(path, key)
    if len(shape) != 2:
        raise DataError(f"{name} must be 2-D (n_samples, n_features), got shape {shape}")
    if 0 in shape:
        raise DataError(f"{name} is empty: shape {shape}; leave it out")
    if dtype.kind not in "fiub" and dtype.name != "bfloat16":
        raise DtypeError(f"{name} must hold real numbers, got dtype {dtype}")
    return Shard(path, key, shape[0], shape[1], dtype, label_column, columns)


def _match(shard: Shard, first: Shard, named: Shard) -> Shard:
    """Return a shard with its columns in the order of `named`, an earlier shard.

    Raise if it has other columns, or another kind of numbers, than the first.
    """
    order = match_columns(shard.columns or None, named.columns or None, str(shard), str(named))
    if shard.n_features != first.n_features:
        raise DataError(
            f"{shard} has {shard.n_features} features but {first} has {first.n_features}; shards "
            f"must have the same columns"
        )
    if (shard.dtype.kind == "f") != (first.dtype.kind == "f"):
        raise DtypeError(
            f"{shard} holds {shard.dtype} but {first} holds {first.dtype}; shards must hold one "
            f"kind of numbers"
        )
    if order is None:
        return shard
    return replace(shard, columns=named.columns, order=tuple(order))


def _assign_labels(shards: list[Shard], labels: object, listed: bool) -> tuple[Shard, ...]:
    """Return shards with labels: a file each, or slices of the labels of all rows.

    `listed` says whether the shards are in the order of the caller.
    """
    if labels is None:
        return tuple(shards)
    name, given = "labels", cast("Any", labels)
    if names_labels(labels):
        files = expand_paths(labels, "labels", LABEL_SUFFIXES)  # type: ignore[arg-type]
        features = [shard.file for shard in shards]
        if len(files) == len(shards):
            order = pair_files(features, files, in_order=listed and is_listed(labels))
            return tuple(replace(s, labels=files[i]) for s, i in zip(shards, order, strict=True))
        if len(files) != 1:
            raise DataError(
                f"there are {len(files)} files of labels for {len(shards)} shards"
                f"{find_unpaired(features, files)}; give one for each, or one for all"
            )
        check_stored_rows(features, files)
        name, labels = name_array(*files[0]), read_label_array(*files[0])
    array, _ = read_labels(labels, name)
    ends = np.cumsum([shard.n_samples for shard in shards])
    held = f"{shards[0]} has" if len(shards) == 1 else f"the {len(shards)} shards have"
    check_length(name, array, held, ends[-1])
    check_order([shard.file for shard in shards])
    if has_row_index(given):
        FeatureSource(tuple(shards)).check_index((RowIndex("labels", given.index),))
    parts = np.split(array, ends[:-1])
    return tuple(replace(shard, labels=part) for shard, part in zip(shards, parts, strict=True))


def _pair_shard(shard: Shard, labels: object) -> Shard:
    """Return a shard with the labels of its pair."""
    if isinstance(labels, (str, os.PathLike)):
        files = expand_paths(labels, f"the labels of {shard}", LABEL_SUFFIXES)
        if len(files) != 1:
            raise DataError(f"{labels} names {len(files)} files of labels for {shard}; give one")
        return replace(shard, labels=files[0])
    array, _ = read_labels(labels, f"labels of {shard}")
    return replace(shard, labels=array)
