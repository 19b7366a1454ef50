"""Names of feature columns: which columns are an index, and how those of two blocks match.

Every place where blocks of named columns meet asks :func:`match_columns`: blocks of one ``Stats``,
merged statistics, shards of files. Columns match by name, in any order. An array has no names, and
its columns match by position. So do the numbers 0 to D - 1 in this order, which pandas (and polars,
as column_0, column_1, …) gives to columns without names. Such numbers in another order are names.

A column of features that holds the labels is found here too, by its name and its values.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = [
    "LABEL_NAMES",
    "Names",
    "check_leak",
    "check_positions",
    "index_columns",
    "join_names",
    "match_columns",
    "quote_names",
]

#: The names of all columns, as text; None for an array.
Names: TypeAlias = tuple[str, ...] | None

#: Usual names of columns of labels, in lower case.
LABEL_NAMES = frozenset({"label", "labels", "target", "targets", "class", "y"})
_ENOUGH = 10  # rows that are not equal by chance
#: The name under which pandas stores a level of an index that has no name.
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
_POLARS_PREFIX = "column_"
_SHOWN = 5  # a message names so many columns


def index_columns(
    names: Iterable[object], metadata: Mapping[bytes, bytes] | None = None
) -> list[str]:
    """Return the columns that hold the index of a pandas frame, and no features.

    `metadata` is that of an Arrow schema, in which pandas lists them. The names that pandas gives
    to levels without a name count also without metadata, which other writers drop.
    """
    try:
        listed = json.loads((metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, RecursionError, TypeError, ValueError):  # none, or not as pandas writes it
        listed = None
    # A RangeIndex is listed as a mapping, and has no column.
    known = listed if isinstance(listed, list) else []
    stored = {entry for entry in known if isinstance(entry, str)}
    return [
        name
        for name in names
        if isinstance(name, str) and (name in stored or _UNNAMED_INDEX.fullmatch(name))
    ]


def match_columns(new: Names, held: Names, what: str, holder: str) -> list[int] | None:
    """Return the positions in `new` of the columns of `held`, in order; None if they match as is.

    `what` and `holder` are what has the two, for messages. The number of columns is not compared
    where one of them has no names.
    """
    if new == held:
        return None
    new_numbers, held_numbers = _numbers(new), _numbers(held)
    if new is None or held is None:
        numbers = new_numbers or held_numbers
        if numbers is None or numbers == sorted(numbers):
            return None
        raise DataError(
            f"{what} and {holder} cannot be matched: the columns of one are numbered "
            f"{_show(map(str, numbers))}, and the other is an array, whose columns have no names; "
            f"give arrays if columns match by position, or frames with the same names"
        )
    if new_numbers is not None and held_numbers is not None:
        if len(new_numbers) == len(held_numbers):
            order = [new_numbers.index(number) for number in held_numbers]
            return None if order == sorted(order) else order
    elif any(
        numbers is not None and numbers == sorted(numbers)
        for numbers in (new_numbers, held_numbers)
    ):
        return None
    _refuse_other_names(new, held, what, holder)
    places = {name: i for i, name in enumerate(new)}
    if len(places) < len(new):
        twice = next(name for name, count in Counter(new).items() if count > 1)
        raise DataError(
            f"{what} has the columns of {holder} in another order, and the name {twice!r} more "
            f"than once, so they cannot be matched; give each column a name of its own"
        )
    return [places[name] for name in held]


def join_names(held: Names, new: Names) -> Names:
    """Return the names of columns that were matched: real ones before numbers before none."""
    if held is None or new == held:
        return new
    return new if new is not None and _numbers(held) and not _numbers(new) else held


def check_leak(features: NDArray[Any], columns: Names, labels: NDArray[Any] | None) -> None:
    """Raise if a column with a usual name of labels holds the labels themselves.

    `labels` are numbers of shape (n_samples,) or (n_samples, 1); others are not compared.
    """
    if labels is None or labels.size != len(features) or len(features) < _ENOUGH:
        return
    values = labels.reshape(-1)
    for i, name in enumerate(columns or ()):
        if name.lower() not in LABEL_NAMES or not np.array_equal(features[:, i], values):
            continue
        if (values != values[0]).any():  # two constants may be equal by chance
            raise DataError(
                f"features has a column {name!r}, which holds the labels themselves; leave it out, "
                f"for example with features.drop(columns=[{name!r}])"
            )


def check_positions(blocks: Iterable[Names], what: str) -> None:
    """Raise if blocks without names meet blocks of names in several orders.

    For blocks in no order: which of them the others match by position is then left to chance.
    """
    seen = {*blocks}
    nameless = {names for names in seen if names is None or _numbers(names)}
    named = sorted(names for names in seen - nameless if names is not None)
    if nameless and len(named) > 1 and len({tuple(sorted(names)) for names in named}) == 1:
        raise DataError(
            f"{what} cannot be matched: some are of arrays, whose columns match by position, and "
            f"others of frames whose columns come in different orders, such as "
            f"{quote_names(named[0])} and {quote_names(named[1])}; give frames in all, or columns "
            f"in one order"
        )


def quote_names(names: Iterable[object]) -> str:
    """Return names for a message: quoted, and not too many."""
    return _show(map(repr, names))


def _refuse_other_names(new: Sequence[str], held: Sequence[str], what: str, holder: str) -> None:
    """Raise unless both have the same names, each as often."""
    missing, added = Counter(held) - Counter(new), Counter(new) - Counter(held)
    if not missing and not added:
        return
    parts = [
        f"{word} {quote_names(names)}"
        for word, names in (("without", missing), ("with the new", added))
        if names
    ]
    raise DataError(
        f"{what} has other columns than {holder}: {', '.join(parts)}; give the same columns, in "
        f"any order"
    )


def _numbers(names: Names) -> list[int] | None:
    """Return the columns as numbers if they are 0 to D - 1, in any order; else None."""
    if names is None:
        return None
    texts = [name.removeprefix(_POLARS_PREFIX) for name in names]
    if len({len(name) - len(text) for name, text in zip(names, texts, strict=True)}) > 1:
        return None
    numbers = [int(text) for text in texts if text.isascii() and text.isdecimal()]
    is_plain = list(map(str, numbers)) == texts  # no leading zeros, and nothing left out
    return numbers if is_plain and sorted(numbers) == list(range(len(names))) else None


def _show(texts: Iterable[str]) -> str:
    shown = list(texts)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
