"""Decide which rows belong together: pair shards with files of labels, by their names.

Two rules, for every entry point:

- **One file of labels for each shard.** What varies in the names of the shards must be what varies
  in the names of the labels: numbers, dates, words, hashes or folders, zero-padded or not, in any
  place. Parts that are the same in all names of a list say nothing, such as x, labels or v2. If
  what varies is not a bijection, the lists are refused.
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
    Column,
    File,
    Names,
    Value,
    file_numbers,
    parse_names,
    shared_depth,
    show_value,
)
from ._paths import in_natural_order

__all__ = ["Pair", "check_order", "find_unpaired", "is_pairs", "pair_files", "split_pairs"]

#: A file of features and its labels: a file or an array.
Pair: TypeAlias = tuple[str | os.PathLike[str], Any]

_REMEDY = (
    "pass the pairs themselves in place of both: [(x, y), ...], on the command line --pair X Y "
    "for each"
)
_MOST_COLUMNS = 5  # that vary; all their orders or subsets are tried


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


def check_order(files: Sequence[File], what: str = "the labels are") -> None:
    """Raise if the numbers in a list of files contradict the order of labels for all rows."""
    if in_natural_order([name_array(*file) for file in files]):
        return
    latest: dict[tuple[str, ...], tuple[tuple[int, ...], File]] = {}
    depth = shared_depth(files)
    for file in files:
        words, numbers = file_numbers(file)
        if words in latest and latest[words][0] > numbers:
            before = _show(latest[words][1], depth)
            raise DataError(
                f"{before} comes before {_show(file, depth)}, and {what} for all rows: the files "
                f"are not in natural order (2 before 10); pass the pattern or the folder itself "
                f"(in quotes on the command line), or sort the list by its numbers; if this order "
                f"is meant, {_REMEDY}"
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
    found = _pair_columns(ours, theirs)
    if found is None:
        raise _describe_mismatch(features, labels, ours, theirs, depth)
    if in_order and found != list(range(len(found))):
        i = next(i for i, j in enumerate(found) if i != j)
        raise DataError(
            f"{_show(labels[i], depth)} would be the labels of {_show(features[i], depth)} by its "
            f"place in the list, but by its name {_show(labels[found[i]], depth)} is; list both in "
            f"one order, give both as patterns (in quotes on the command line), or, if this order "
            f"is meant, {_REMEDY}"
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


def _pair_columns(ours: Names, theirs: Names) -> list[int] | None:
    """Pair by the columns that vary; None unless they are a bijection."""
    if _contradict(ours.columns, theirs.columns) or _is_ambiguous(ours.columns, theirs.columns):
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
    own, other = ours.varying(), theirs.varying()
    if len(own) == len(other):
        return _pair_shifted(own, other)
    if _contradict(ours.columns, theirs.columns, strictly=True):
        return None
    if len(own) > len(other):
        return _pair_with_extra(ours, theirs)
    found = _pair_with_extra(theirs, ours)
    return None if found is None else sorted(range(len(found)), key=found.__getitem__)


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


def _pair_with_extra(ours: Names, theirs: Names) -> list[int] | None:
    """Pair names that vary in more columns than the others, as ``x_0_1523`` does and y_0 does not.

    The extra columns must be numbers or dates that the other names do not have. Returns the pairs
    only if there is one way.
    """
    many, few = ours.varying(), theirs.varying()
    n_varying = sum(not column.is_constant for column in theirs.columns)
    if len(many) > _MOST_COLUMNS or not few or n_varying != len(few):
        return None
    ways: list[list[int]] = []
    for subset in itertools.combinations(many, len(few)):
        extra = [column for column in many if column not in subset]
        if [column.label for column in subset] != [column.label for column in few]:
            continue
        if any(column.kind == "word" or _occurs(column, theirs) for column in extra):
            continue
        found = _match(_join(subset), _join(few))
        if found is not None and found not in ways:
            ways.append(found)
    return ways[0] if len(ways) == 1 else None


def _occurs(column: Column, others: Names) -> bool:
    """Return whether other names have a value of a column, or the word in front of it."""
    tokens = {token for other in others.columns for value in other.values() for token in value}
    labels = {other.label for other in others.columns if other.label}
    return column.label in labels or any(tokens.intersection(value) for value in column.values())


def _pair_shifted(own: list[Column], other: list[Column]) -> list[int] | None:
    """Pair numbers of which one list counts from 0 and the other from 1.

    Only where uneven gaps show it: 0, 1, 2 and 1, 2, 3 may also be lists that each miss one file.
    """
    if not [column.kind for column in own] == [column.kind for column in other] == ["number"]:
        return None
    numbers = [int(value[0]) for value in own[0].values()]
    others = [int(value[0]) for value in other[0].values()]
    shift = min(others) - min(numbers)
    gaps = {right - left for left, right in itertools.pairwise(sorted(numbers))}
    if {min(numbers), min(others)} != {0, 1} or len(gaps) == 1:
        return None
    return _match([(number + shift,) for number in numbers], [(number,) for number in others])


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


def _contradict(ours: list[Column], theirs: list[Column], *, strictly: bool = False) -> bool:
    """Return whether a place varies in one list and is constant in the other, so that they differ.

    ``x_0_0, x_0_1`` and ``y_0_0, y_1_0`` vary in 0 and 1 each, but not in the same place. Places
    correspond by the word in front of them, such as "run". Others correspond by counting, if both
    lists have equally many, and differ only if the constant is one of the values: 768 is none.
    `strictly` lets them differ in any case.
    """
    for label, own, other in _places(ours, theirs):
        values, others = set(own.values()), set(other.values())
        differ = min(len(values), len(others)) == 1 < max(len(values), len(others))
        if differ and (strictly or label or values & others):
            return True
    return _repeats_constant(ours, theirs) or _repeats_constant(theirs, ours)


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
    differ = f": {show_value(own[i])} and {show_value(other[i])}" if own[i] != other[i] else ""
    return DataError(
        f"{_show(labels[i], depth)} would be the labels of {_show(features[i], depth)}, but what "
        f"varies in the names does not match{differ}; see that no file is missing, name both "
        f"alike, or {_REMEDY}"
    )


def _show(file: File, depth: int) -> str:
    """Return the name of a file without the folders that all files share."""
    path, key = file
    parts = os.path.abspath(path).split(os.sep)[depth:]
    return name_array(Path(*parts), key)
