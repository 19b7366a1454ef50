"""The columns of a table that hold the features, chosen by type and name, never by guess."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import DataError
from ._reader import choose
from ._spec import Selection

__all__ = ["Column", "choose_columns"]

#: Columns of these names are labels unless `key` names them as features.
_LABELS = {"label", "labels", "target", "targets", "class", "y"}


@dataclass(frozen=True)
class Column:
    """A column: its type as messages print it, and whether its cells are lists of numbers.

    Columns of several types are never joined unless the user names them.
    """

    type: str
    is_list: bool = False


def choose_columns(
    columns: Mapping[str, Column], selection: Selection, path: object
) -> tuple[list[str], bool]:
    """Choose the columns of a table that a caller asks for.

    Parameters
    ----------
    columns : mapping of str to Column
        All columns, in the order of the file.
    selection : Selection
        What is asked for.
    path : path
        The file, for messages.

    Returns
    -------
    names : list of str
        One column of lists, or columns with one number a row; for labels one column of any type.
    as_matrix : bool
        Whether the columns side by side form a matrix. Otherwise the one column is the array.

    Raises
    ------
    DataError
        If the choice is not unique, or a column is missing.
    """
    if selection.is_labels:
        return [choose(list(columns), selection.key, "column", path)], False
    key = selection.key
    candidates = {n: column for n, column in columns.items() if n != selection.label_column}
    if key is not None:
        matched = [key] if key in candidates else fnmatch.filter(candidates, key)
        matched = matched or [choose(list(candidates), key, "column", path)]
        candidates = {name: candidates[name] for name in matched}
    lists = [name for name, column in candidates.items() if column.is_list]
    if len(lists) == 1 and (key is None or len(candidates) == 1):
        return lists, False
    if lists:
        raise DataError(
            f"{path} has columns of lists ({', '.join(lists)}), of which one can be the features; "
            f"name it with key="
        )
    if key is not None:
        return list(candidates), True
    named = sorted(name for name in candidates if name.lower() in _LABELS)
    if named:
        raise DataError(
            f"{path}: column {named[0]!r} looks like labels; say label_column={named[0]!r}, or "
            f"name the columns of the features, for example key='f*'"
        )
    types = sorted({column.type for column in candidates.values()})
    if len(types) != 1:
        raise DataError(
            f"{path} has {len(candidates)} columns of {', '.join(types) or 'no type'}; name those "
            f"of the features, for example key='f*', and that of the labels with label_column="
        )
    return list(candidates), True
