"""Decide which rows belong together: pair shards with files of labels, by their names.

Two rules, for every entry point:

- **One file of labels for each shard.** What varies in the names of the shards must be what varies
  in the names of the labels: numbers, dates, words, hashes or folders, zero-padded or not, in any
  place. Parts that are the same in all names of a list say nothing, such as x, labels or v2, except
  that fold 1 and fold 2, or train and test, are other rows. If what varies is not a bijection, the
  lists are refused. So is a number that varies in one list more, such as that of the rows.
- **Labels for all rows.** They have an order, and so must the shards. A folder and a pattern are in
  natural order. A list must not contradict it: x_10 before x_2 is how a shell sorts, and x_3 before
  x_1 is what an unsorted ``glob`` returns. A list without numbers is in the order of the caller.

Explicit pairs, ``[(x, y), ...]``, need no names.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

from ..errors import DataError
from ._formats import name_array
from ._names import (
    LEVELS,
    NORMALISED,
    ROLES,
    SPLITS,
    Column,
    File,
    Names,
    Value,
    file_numbers,
    is_year,
    parse_names,
    shared_depth,
    show_value,
)
from ._paths import in_natural_order

__all__ = ["Pair", "check_order", "find_unpaired", "is_pairs", "pair_files", "split_pairs"]

#: A file of features and its labels: a file or an array.
Pair: TypeAlias = tuple[str | os.PathLike[str], Any]

_REMEDY = "pass the pairs themselves in place of both: [(x, y), ...]"
_MOST_COLUMNS = 5  # that vary; all their orders are tried


#: Words in front of numbers that say which rows a file has; idx1 and v2 say how it was written.
_ROW_WORDS = frozenset(
    {
        *("part", "shard", "chunk", "of", "fold", "cv", "split", "run", "seed", "trial", "subject"),
        *("sub", "subj", "patient", "session", "ses", "site", "day", "week", "month", "year"),
    }
)
_SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}


def is_pairs(value: object) -> TypeGuard[Sequence[Pair]]:
    """Return whether a value is a list of pairs ``(path of features, labels)``."""
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(
            isinstance(entry, (list, tuple))
            and len(entry) == 2
            and isinstance(entry[0], (str, os.PathLike))
            for entry in value
        )
    )


def split_pairs(pairs: Sequence[Pair]) -> tuple[list[str | os.PathLike[str]], list[Any]]:
    """Return the paths of features and the labels of pairs."""
    for path, labels in pairs:
        if labels is None:
            raise DataError(f"the pair of {os.fspath(path)} has no labels: they are None")
    return [path for path, _ in pairs], [labels for _, labels in pairs]


def check_order(
    files: Sequence[File], what: str = "the labels are", *, may_be_pairs: bool = True
) -> None:
    """Raise if the numbers in a list of files contradict the order of an array for all rows.

    `what` names the array. `may_be_pairs` says whether pairs would give another order a meaning.
    """
    if in_natural_order([name_array(*file) for file in files]):
        return
    remedy = f"; if this order is meant, {_REMEDY}" if may_be_pairs else ""
    latest: dict[tuple[str, ...], tuple[tuple[int, ...], File]] = {}
    depth = shared_depth(files)
    for file in files:
        words, numbers = file_numbers(file)
        if words in latest and latest[words][0] > numbers:
            before = _show(latest[words][1], depth)
            raise DataError(
                f"{before} comes before {_show(file, depth)}, and {what} for all rows: the files "
                f"are not in natural order (2 before 10); pass the pattern or the folder itself, "
                f"or sort the list by its numbers{remedy}"
            )
        latest[words] = numbers, file


def pair_files(
    features: Sequence[File], labels: Sequence[File], *, in_order: bool = True
) -> list[int]:
    """Return for each file of features the position of its labels.

    Parameters
    ----------
    features, labels : sequence of (path, key)
        Equally many. One of each is a pair whatever their names.
    in_order : bool, default=True
        Whether both lists are in the order of the caller. Their names must then agree with it.

    Raises
    ------
    DataError
        If the names are no bijection, or contradict the order. The message names the first pair
        that does not match.
    """
    if len(features) == 1:
        return [0]
    depth = shared_depth([*features, *labels])
    ours, theirs = parse_names(features, depth), parse_names(labels, depth)
    found = _pair_columns(ours, theirs, in_order)
    if found is None:
        raise _describe_mismatch(features, labels, ours, theirs, depth)
    if in_order and found != list(range(len(found))):
        i = next(i for i, j in enumerate(found) if i != j)
        raise DataError(
            f"{_show(labels[i], depth)} would be the labels of {_show(features[i], depth)} by its "
            f"place in the list, but by its name {_show(labels[found[i]], depth)} is; list both in "
            f"one order, give both as patterns, or, if this order is meant, {_REMEDY}"
        )
    return found


def find_unpaired(features: Sequence[File], labels: Sequence[File]) -> str:
    """Return in words the first file that has no partner by its name; empty if names do not say."""
    depth = shared_depth([*features, *labels])
    sides = [parse_names(files, depth) for files in (features, labels)]
    for level in LEVELS:
        ours, theirs = (_join(names.varying(level), level) for names in sides)
        for files, keys, others, lacks in (
            (features, ours, set(theirs), "has none"),
            (labels, theirs, set(ours), "has no shard"),
        ):
            if others and others < set(keys):
                i = next(i for i, key in enumerate(keys) if key not in others)
                return f"; {_show(files[i], depth)} {lacks}"
    return ""


def _pair_columns(ours: Names, theirs: Names, in_order: bool) -> list[int] | None:
    """Pair by the columns that vary; None unless they are a bijection."""
    if any(
        check(ours.columns, theirs.columns) for check in (_other_rows, _contradict, _is_ambiguous)
    ):
        return None
    for level in LEVELS:
        own, other = ours.varying(level), theirs.varying(level)
        if len(own) == len(other):
            for first, second in _arrange(own, other, level):
                found = _match(_join(first, level), _join(second, level))
                if found is not None:
                    is_sure = _agree(ours, theirs, found, level) and _is_only_way(
                        first, second, found, level
                    )
                    return found if is_sure else None
        # The same parts may be cut in other ways: new_york/x_0 and new_york_0.
        elif (found := _match(_join(own, level), _join(other, level))) is not None:
            return found
    if in_order and _is_shifted(ours.varying(), theirs.varying()):
        return list(range(len(ours.columns[0].parts)))
    return None


def _arrange(
    own: list[Column], other: list[Column], level: str
) -> Iterable[tuple[list[Column], list[Column]]]:
    """Yield orders in which the columns of two lists may correspond, the most likely first.

    By the words in front of numbers if both lists have the same ones; else by their places; else
    dates with dates, numbers with numbers and words with words; else by what they hold.
    """
    labels = sorted(column.label for column in own)
    distinct = len(set(labels)) == len(labels)
    if distinct and labels == sorted(column.label for column in other):
        yield sorted(own, key=_label), sorted(other, key=_label)
        return
    yield own, other
    yield sorted(own, key=_kind), sorted(other, key=_kind)
    held = [frozenset(column.values(level)) for column in own]
    places = {frozenset(column.values(level)): column for column in other}
    if set(held) == set(places) and len(set().union(*held)) == sum(map(len, held)):
        yield own, [places[values] for values in held]


def _is_only_way(own: list[Column], other: list[Column], found: list[int], level: str) -> bool:
    """Return whether no other order of the columns pairs the names in another way.

    Only asked where the words in front of the numbers differ: x_run0_1 may be y_0_r1 or y_1_r0.
    """
    labels = [(first.label, second.label) for first, second in zip(own, other, strict=True)]
    if all(a == b or (a and b and (a.startswith(b) or b.startswith(a))) for a, b in labels):
        return True  # the same words, or run and r
    if len(own) > _MOST_COLUMNS:
        return False
    ours = _join(own, level)
    for order in itertools.permutations(other):
        if (also := _match(ours, _join(order, level))) is not None and also != found:
            return False
    return True


def _agree(ours: Names, theirs: Names, found: list[int], level: str) -> bool:
    """Return whether pairs have the same values after the same words, also in repeated columns."""
    return all(
        own.values(level) == tuple(other.values(level)[i] for i in found)
        for label, own, other in _places(ours.columns, theirs.columns)
        if label and not own.is_constant and not other.is_constant
    )


def _label(column: Column) -> str:
    return column.label


def _kind(column: Column) -> str:
    return column.kind


def _is_shifted(own: list[Column], other: list[Column]) -> bool:
    """Return whether one list counts from 0 and the other from 1, in one order.

    Only where uneven gaps show it: 0, 1, 2 and 1, 2, 3 may also be lists that each miss one file.
    """
    if not [column.kind for column in own] == [column.kind for column in other] == ["number"]:
        return False
    numbers = [int(value[0]) for value in own[0].values()]
    others = [int(value[0]) for value in other[0].values()]
    gaps = {right - left for left, right in itertools.pairwise(sorted(numbers))}
    shifts = {right - left for left, right in zip(numbers, others, strict=True)}
    return {min(numbers), min(others)} == {0, 1} and len(gaps) > 1 and len(shifts) == 1


def _match(ours: Sequence[Value], theirs: Sequence[Value]) -> list[int] | None:
    """Return the position of each key among the others; None unless they are a bijection."""
    places = {key: i for i, key in enumerate(theirs)}
    if len(places) != len(theirs) or len(set(ours)) != len(ours) or set(ours) != set(places):
        return None
    return [places[key] for key in ours]


def _join(columns: Iterable[Column], level: str = NORMALISED) -> list[Value]:
    """Join the values of columns, name by name."""
    values = [column.values(level) for column in columns]
    return [tuple(itertools.chain.from_iterable(each)) for each in zip(*values, strict=True)]


def _contradict(ours: list[Column], theirs: list[Column]) -> bool:
    """Return whether corresponding places cannot belong to the same rows.

    ``x_0_0, x_0_1`` and ``y_0_0, y_1_0`` vary in 0 and 1 each, but not in the same place. Places
    correspond by the word in front of them, such as "run". Others correspond by counting, if both
    lists have equally many, and differ only if the constant is one of the values: 768 is none.
    """
    for label, own, other in _places(ours, theirs):
        values, others = set(own.values()), set(other.values())
        differ = min(len(values), len(others)) == 1 < max(len(values), len(others))
        if differ and (label or values & others):
            return True
    return _repeats_constant(ours, theirs) or _repeats_constant(theirs, ours)


def _other_rows(ours: list[Column], theirs: list[Column]) -> tuple[str, str] | None:
    """Return constants that say that two lists have other rows: fold 1 and fold 2, train and test.

    So do years, dates, and other numbers if one is also a value that varies: 3 and 1 in x_3_2,
    x_3_3 and y_1_2, y_1_3. v1 and v2 do not.
    """
    columns = [column for column in (*ours, *theirs) if not column.is_constant]
    varying = {value for column in columns for value in column.values()}
    for label, own, other in _places(ours, theirs):
        if not (own.is_constant and other.is_constant) or "word" in (own.kind, other.kind):
            continue
        first, second = own.values()[0], other.values()[0]
        are_dates = all(column.kind == "date" or is_year(column) for column in (own, other))
        says_rows = label in _ROW_WORDS if label else are_dates or {first, second} & varying
        if first != second and says_rows:
            return f"{label} {show_value(first)}".strip(), f"{label} {show_value(second)}".strip()
    known = [
        {_SPLIT_OF[column.word] for column in columns if column.word in _SPLIT_OF}
        for columns in (ours, theirs)
    ]
    if all(known) and known[0].isdisjoint(known[1]):
        return " ".join(sorted(known[0])), " ".join(sorted(known[1]))
    return None


def _repeats_constant(few: list[Column], many: list[Column]) -> bool:
    """Return whether names vary in two places alike, where the others have one and a constant.

    ``1/x_1, 2/x_2`` and ``1/y_1, 1/y_2`` do.
    """
    repeated = [column for column in many if not column.is_constant]
    varying = [column for column in few if not column.is_constant]
    if len(repeated) <= len(varying):
        return False
    values = {value for column in repeated for value in column.values()}
    return any(column.is_constant and column.values()[0] in values for column in few)


def _places(ours: list[Column], theirs: list[Column]) -> Iterable[tuple[str, Column, Column]]:
    """Yield the columns of two lists at corresponding places, with the word in front of them."""
    slots: tuple[dict[tuple[str, bool], list[Column]], ...] = ({}, {})
    for columns, found in zip((ours, theirs), slots, strict=True):
        for column in columns:
            if column.word not in ROLES:
                is_word = not column.label and column.kind == "word"
                found.setdefault((column.label, is_word), []).append(column)
    for slot, own in slots[0].items():
        other = slots[1].get(slot, [])
        if len(own) == len(other):
            yield from ((slot[0], *pair) for pair in zip(own, other, strict=True))


def _is_ambiguous(ours: list[Column], theirs: list[Column]) -> bool:
    """Return whether names of uneven length may have been cut in different places.

    A part that all names of one list have, and not the other list, must not be one that varies.
    """
    if not any(column.uneven for column in (*ours, *theirs)):
        return False
    constants: list[Counter[str | int]] = []
    varying: set[str | int] = set()
    for columns in (ours, theirs):
        fixed: Counter[str | int] = Counter()
        for column in columns:
            values = column.values()
            if column.is_constant:
                fixed.update(token for token in values[0] if str(token).casefold() not in ROLES)
            else:
                varying.update(token for value in values for token in value)
        constants.append(fixed)
    own, other = constants
    return any(token in varying for token in (own - other) + (other - own))


def _describe_mismatch(
    features: Sequence[File],
    labels: Sequence[File],
    ours: Names,
    theirs: Names,
    depth: int,
) -> DataError:
    """Return the error for names that are no bijection, with the first pair that differs."""
    n = len(features)
    own = _join(ours.varying()) or [()] * n
    other = _join(theirs.varying()) or [()] * n
    if own == other:  # in different places
        places = [pair for _, *pair in _places(ours.columns, theirs.columns)]
        places = [pair for pair in places if any(not column.is_constant for column in pair)]
        own, other = (_join([pair[side] for pair in places]) or [()] * n for side in (0, 1))
    i = next((i for i in range(n) if own[i] != other[i]), 0)
    would = f"{_show(labels[i], depth)} would be the labels of {_show(features[i], depth)}"
    if rows := _other_rows(ours.columns, theirs.columns):
        return DataError(
            f"{would}, but by their names these are of {rows[0]}, and the labels of {rows[1]}; "
            f"give both of one, name both alike, or {_REMEDY}"
        )
    differ = f": {show_value(own[i])} and {show_value(other[i])}" if own[i] != other[i] else ""
    return DataError(
        f"{would}, but what varies in the names does not match{differ}; see that no file is "
        f"missing, name both alike, or {_REMEDY}"
    )


def _show(file: File, depth: int) -> str:
    """Return the name of a file without the folders that all files share."""
    path, key = file
    parts = os.path.abspath(path).split(os.sep)[depth:]
    return name_array(Path(*parts), key)
