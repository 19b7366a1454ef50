"""Rows of two files in which pandas stored an index: refuse a pairing that it contradicts.

Rows of files match by position, as those of frames do. ``to_parquet`` and ``to_feather`` store the
index of a frame, unless it only counts the rows: it may say that the same rows come in another
order. It is compared where pandas is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .._inputs.columns import index_columns
from .._inputs.rows import RowIndex, find_contradiction
from ..errors import DataError
from ._formats import TEXT_SUFFIXES, format_of, name_errors
from ._names import File

__all__ = ["check_stored_index", "check_stored_rows"]


def check_stored_rows(features: Sequence[File], labels: Sequence[File]) -> None:
    """Raise if the indexes stored in files of features and of labels contradict their order.

    The rows of several files are taken in the order of the files. Files without an index say
    nothing, and neither do files that are not here.
    """
    if not features or not labels or [path for path, _ in features] == [p for p, _ in labels]:
        return
    if not all(map(_may_have_index, (*features, *labels))):
        return
    ours = _read_indexes(features)
    theirs = None if ours is None else _read_indexes(labels)
    if ours is None or theirs is None or ours.nlevels != theirs.nlevels:
        return
    if len(ours) != len(theirs) or ours.equals(theirs):
        return
    known, own = (RowIndex(_name(files), i) for files, i in ((features, ours), (labels, theirs)))
    if (found := find_contradiction(known, own)) is not None:
        raise DataError(
            f"{found[0]}; write both in one order if the index says which rows belong together, or "
            f"without an index if rows match by position"
        )


def check_stored_index(files: Sequence[File], known: Sequence[RowIndex]) -> None:
    """Raise if the indexes of arguments in memory contradict the one stored in files of features.

    `known` are the indexes, with the names of the arguments.
    """
    if not known or not files or not all(map(_may_have_index, files)):
        return
    stored = _read_indexes(files)
    for own in known if stored is not None else ():
        index = own.index
        if len(index) != len(stored) or index.nlevels != stored.nlevels or index.equals(stored):
            continue
        if (found := find_contradiction(RowIndex(_name(files), stored), own)) is not None:
            raise DataError(
                f"{found[0]}; put them in one order if the index says which rows belong together, "
                f"or pass {own.name}.to_numpy() if rows match by position"
            )


def _may_have_index(file: File) -> bool:
    path = file[0]
    if not path.is_file() or path.suffix.lower() in TEXT_SUFFIXES:
        return False
    return format_of(path).kind == "table"


def _read_indexes(files: Sequence[File]) -> Any:
    """Return the pandas index of the rows of files; None unless each has one of its own."""
    if importlib.util.find_spec("pandas") is None:
        return None
    found: list[Any] = []
    for path, _ in files:
        with name_errors(path):
            index = _read_index(path)
        if index is None or (found and index.nlevels != found[0].nlevels):
            return None
        found.append(index)
    return found[0].append(found[1:]) if len(found) > 1 else found[0]


def _read_index(path: Path) -> Any:
    import pandas
    import pyarrow

    from ._arrow import open_table

    with closing(open_table(path)) as table:
        schema = table.schema
        names = [*dict.fromkeys(index_columns(schema.names, schema.metadata))]
        if not names or any(schema.get_field_index(name) < 0 for name in names):
            return None
        batches = [*table.batches(names)]
        columns = [
            pyarrow.chunked_array(
                [batch.column(name) for batch in batches], schema.field(name).type
            ).to_pandas()
            for name in names
        ]
    if len(columns) == 1:
        return pandas.Index(columns[0])
    return pandas.MultiIndex.from_arrays(columns)


def _name(files: Sequence[File]) -> str:
    (first, _), *others = files
    return str(first) if not others else f"{first} … {others[-1][0]}"
