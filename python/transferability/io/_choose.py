"""Choose the array of a container, or the columns of a table that hold the features.

Columns are chosen by type and name. Where more than one choice is possible the user must name one.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import NamedTuple

from .._inputs.arguments import suggest
from .._inputs.columns import LABEL_NAMES
from ..errors import DataError
from ._spec import Selection

__all__ = ["Column", "choose_columns", "choose_name"]


class Column(NamedTuple):
    """A column: its type as messages print it, and whether its cells are lists or numbers."""

    type: str
    is_list: bool = False
    is_number: bool = True


def choose_name(names: list[str], key: str | None, what: str, path: object) -> str:
    """Return `key` if it is one of the names; without a key, the only name."""
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    if key is not None and key not in names:
        raise DataError(
            f"{path} has no {what} {key!r}{suggest(key, names)}; it has {shown or 'none'}"
        )
    if key is not None:
        return key
    if not names:
        raise DataError(f"{path} holds no {what}s")
    if len(names) > 1:
        raise DataError(
            f"{path} holds {len(names)} {what}s ({shown}); name one as {path}:{names[0]}, or by "
            f"key="
        )
    return names[0]


def choose_columns(
    columns: Mapping[str, Column], selection: Selection, path: object
) -> tuple[list[str], bool]:
    """Choose among all columns, in the order of the file; raise if the choice is not unique.

    Return their names, and whether the columns side by side form a matrix; otherwise there is one
    column. It holds lists, or labels of any type. Columns of several types form a matrix only if
    the key names them.
    """
    if selection.is_labels:
        return [choose_name(list(columns), selection.key, "column", path)], False
    key = selection.key
    candidates = {n: column for n, column in columns.items() if n != selection.label_column}
    if key is not None:
        matched = [key] if key in candidates else fnmatch.filter(candidates, key)
        matched = matched or [choose_name(list(candidates), key, "column", path)]
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
    named = sorted(name for name in candidates if name.lower() in LABEL_NAMES)
    if named:
        raise DataError(
            f"{path}: column {named[0]!r} looks like labels; say label_column={named[0]!r}, or "
            f"name the columns of the features, for example key='f*'"
        )
    fix = (
        "name those of the features, for example key='f*', and that of the labels with "
        "label_column="
    )
    if odd := [name for name, column in candidates.items() if not column.is_number]:
        shown = ", ".join(f"{name!r} ({candidates[name].type})" for name in odd[:5])
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        raise DataError(f"{path} has columns that are not numeric: {shown}{more}; {fix}")
    types = {column.type: name for name, column in reversed(candidates.items())}
    if len(types) != 1:
        shown = ", ".join(f"{kind} ({types[kind]!r})" for kind in sorted(types)) or "no type"
        raise DataError(f"{path} has {len(candidates)} columns of {shown}; {fix}")
    return list(candidates), True
