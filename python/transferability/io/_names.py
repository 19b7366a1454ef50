"""Parse the names of files into columns of words and numbers, to tell what varies in them.

The names of one list are cut at separators into words, numbers and dates. The parts at one place
form a column. ``x_v2_008.npy, x_v2_009.npy`` has the columns x, v, 2 and 8, 9: only the last one
varies. Folders and the key of an array (``file:key``) are parts of a name; the suffix is not.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

__all__ = [
    "LEVELS",
    "NORMALISED",
    "ROLES",
    "SPLITS",
    "Column",
    "File",
    "Names",
    "Value",
    "file_numbers",
    "is_year",
    "parse_names",
    "shared_depth",
    "show_value",
]

#: A file, and the key of one array in it.
File: TypeAlias = tuple[Path, str | None]
#: The words and numbers of a name at one place.
Value: TypeAlias = tuple[str | int, ...]

#: The level of :data:`LEVELS` at which names are compared, without case and leading zeros.
NORMALISED = "normalised"
#: Words that say whether a file has features or labels; they do not tell files apart.
ROLES = frozenset(
    {
        *("x", "f", "feat", "feats", "feature", "features", "emb", "embs", "embed", "embeds"),
        *("embedding", "embeddings", "act", "acts", "activation", "activations", "hidden", "rep"),
        *("reps", "repr", "reprs", "representation", "representations", "vec", "vecs", "vector"),
        *("vectors", "input", "inputs", "data"),
        *("y", "l", "t", "lab", "labs", "label", "labels", "target", "targets", "tgt", "tgts"),
        *("class", "classes", "cls", "gt", "truth", "truths", "ann", "anns", "annotation"),
        *("annotations", "output", "outputs", "tag", "tags"),
    }
)
#: Words for the splits of a data set.
SPLITS = {
    "train": ("train", "training", "trn"),
    "trainval": ("trainval", "train_val", "train-val"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation", "holdout"),
    "test": ("test", "testing", "tst"),
}
_YEAR, _MONTH, _DAY = "((?:19|20)[0-9]{2})", "(0?[1-9]|1[0-2])", "(0?[1-9]|[12][0-9]|3[01])"
#: Dates, whose parts are not numbers by themselves: 2024-01-31, 31.01.2024.
_DATES = (
    re.compile(rf"(?<![0-9]){_YEAR}([-_.]){_MONTH}\2{_DAY}(?![0-9])"),
    re.compile(rf"(?<![0-9]){_DAY}([-_.])(?:{_DAY})\2{_YEAR}(?![0-9])"),
)
_COMPACT_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_ONLY_YEAR, _ONLY_MONTH = re.compile(_YEAR), re.compile(_MONTH)
#: Words and numbers. A sign belongs to its number, and "+" or "#" to the word that it ends (c++).
_RUN = re.compile(r"(?:(?<![^\W_])-(?=[0-9]))?[^\W_]+(?:[+#]+(?![^\W_]))?")
#: What stands before the fraction of a decimal number.
_WHOLE_PART = re.compile(r"(?:^|[^0-9.]\.?)(?:0|[1-9][0-9]*)\.$")
_PIECES = re.compile(r"[0-9]+|[^0-9]+")
_NUMBERED = re.compile(r"(?:[^\W\d_]+[0-9]*){1,3}")
_WORD_NUMBER = re.compile(r"([^\W\d_]+)([0-9]+)")
#: Digits in front of letters up to f, in one run: a hash, whose digits are no numbers.
_HASH = re.compile(r"(?=[0-9a-f]*[0-9][a-f])[0-9a-f]{6,}", re.IGNORECASE)


class _Run(NamedTuple):
    """A word, a number or a date of a name, as written."""

    text: str
    is_date: bool = False


@dataclass(frozen=True, eq=False)
class Column:
    """The parts of the names of one list at one place.

    Attributes
    ----------
    parts : tuple of tuple of str
        For each name the parts as written. They are several where the names differ in their number.
    label : str
        The word before a column of numbers, such as "fold" of ``fold3``, unless it names a role.
    dates : bool
        Whether the parts are dates.
    uneven : bool
        Whether the names differ in the number of their parts here.
    """

    parts: tuple[tuple[str, ...], ...]
    label: str = ""
    dates: bool = False
    uneven: bool = False
    _values: dict[str, tuple[Value, ...]] = field(default_factory=dict, init=False)

    def values(self, level: str = NORMALISED) -> tuple[Value, ...]:
        """Return the value of each name at a level of :data:`LEVELS`."""
        if level not in self._values:
            self._values[level] = LEVELS[level](self.parts)
        return self._values[level]

    @functools.cached_property
    def is_constant(self) -> bool:
        """Return whether all names have the same value."""
        return len(set(self.values())) == 1

    def matches(self, pattern: re.Pattern[str]) -> bool:
        """Return whether all parts match a pattern."""
        return all(pattern.fullmatch(part) for parts in self.parts for part in parts)

    def repeat(self, count: int) -> Column:
        """Return the column of one name for several equal names."""
        return Column(self.parts * count, self.label, self.dates, self.uneven)

    @functools.cached_property
    def kind(self) -> str:
        """Return "date", "number" or "word"."""
        runs = {run for parts in self.parts for run in parts}
        if self.uneven or not all(_is_number(run) for run in runs):
            return "date" if self.dates else "word"
        return "date" if self.dates or self.matches(_COMPACT_DATE) else "number"

    @functools.cached_property
    def word(self) -> str:
        """Return the word of a column that is a single constant word; else an empty string."""
        first = self.parts[0]
        constant = all(parts == first for parts in self.parts)
        return first[0].casefold() if constant and len(first) == 1 and self.kind == "word" else ""


@dataclass(frozen=True, eq=False)
class Names:
    """The names of a list of files.

    Attributes
    ----------
    columns : list of Column
        In the order of the names.
    """

    columns: list[Column]

    def varying(self, level: str = NORMALISED) -> list[Column]:
        """Return the columns that vary; one that repeats another is left out."""
        kept: dict[tuple[Value, ...], Column] = {}
        for column in self.columns:
            values = column.values(level)
            if any(value != values[0] for value in values):
                kept.setdefault(values, column)
        return list(kept.values())


def parse_names(files: Sequence[File], skip: int = 0) -> Names:
    """Parse the names of a list; `skip` is a number of folders to leave out."""
    names = [_split_path(file) for file in files]
    folders = [name[skip:-2] for name in names]
    if len({len(each) for each in folders}) > 1:
        folders = [["/".join(each)] for each in folders]
    components = [[*each, *name[-2:]] for each, name in zip(folders, names, strict=True)]
    columns: list[Column] = []
    for texts in zip(*components, strict=True):
        if len(set(texts)) == 1:
            columns += (column.repeat(len(files)) for column in _parse_component(texts[:1]))
        else:
            columns += _parse_component(texts)
    return Names(columns)


def shared_depth(files: Sequence[File]) -> int:
    """Return the number of folders that all files have in common, from the root on."""
    folders = {tuple(_split_path(file)[:-2]) for file in files}
    first, depth = min(folders), 0
    last = max(folders)
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return depth


def file_numbers(file: File) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the text around the numbers of a name, and the numbers; a date counts by its parts.

    Digits of a hash are text.
    """
    words: list[str] = []
    numbers: list[int] = []
    for component in _split_path(file):
        for run in _find_runs(component):
            if run.is_date:
                words.append("date")
                numbers += _date_parts(run.text)
            elif _HASH.fullmatch(run.text):
                words.append(run.text)
            else:
                for piece in _PIECES.findall(run.text):
                    words.append("0" if _is_number(piece) else piece)
                    numbers += [int(piece)] if _is_number(piece) else []
        words.append("/")
    return tuple(words), tuple(numbers)


def is_year(column: Column) -> bool:
    """Return whether a column holds years."""
    return column.matches(_ONLY_YEAR)


def show_value(value: Value) -> str:
    """Return a value in words, for messages."""
    return " ".join(map(str, value)) or "nothing"


def _split_path(file: File) -> list[str]:
    """Return the folders, the stem and the key of a file; links are not followed.

    Some systems store é as e with an accent; both are one name.
    """
    path, key = file
    *folders, name = unicodedata.normalize("NFC", os.path.abspath(path)).split(os.sep)
    return [*folders, os.path.splitext(name)[0], key or ""]


@functools.lru_cache(maxsize=4096)
def _find_runs(text: str) -> tuple[_Run, ...]:
    """Cut a text at separators; a date is one run."""
    dates: list[tuple[int, int]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            start, stop = match.span()
            if all(stop <= other[0] or start >= other[1] for other in dates):
                dates.append((start, stop))
    runs: list[_Run] = []
    at = 0
    for start, stop in [*sorted(dates), (len(text), len(text))]:
        runs += [_Run(_keep_zeros(match)) for match in _RUN.finditer(text, at, start)]
        if start < stop:
            runs.append(_Run(text[start:stop], is_date=True))
        at = stop
    return tuple(runs)


def _keep_zeros(match: re.Match[str]) -> str:
    """Return a run as text; the fraction of 0.01 as ".01", which is not the number 1."""
    run, before, after = match[0], match.string[: match.start()], match.string[match.end() :]
    is_padded = len(run) > 1 and run[0] == "0" and run.isdecimal()
    is_fraction = is_padded and not after.startswith(".") and _WHOLE_PART.search(before)
    return f".{run}" if is_fraction else run


def _parse_component(texts: Sequence[str]) -> list[Column]:
    """Return the columns of one folder, stem or key of all names."""
    names = [_find_runs(text) for text in texts]
    before = after = 0
    shortest = min(map(len, names))
    if any(len(runs) != shortest for runs in names):
        while before < shortest and _is_same([runs[before] for runs in names]):
            before += 1
        while after < shortest - before and _is_same([runs[-1 - after] for runs in names]):
            after += 1
    else:
        before = shortest
    columns: list[Column] = []
    for place in range(before):
        columns += _parse_runs([runs[place] for runs in names], columns)
    if any(len(runs) > before + after for runs in names):
        middle = [runs[before : len(runs) - after] for runs in names]
        columns.append(
            Column(tuple(tuple(run.text for run in runs) for runs in middle), uneven=True)
        )
    for place in range(after, 0, -1):
        columns += _parse_runs([runs[-place] for runs in names], columns)
    for i, (first, second) in enumerate(itertools.pairwise(columns), 1):
        if first.matches(_ONLY_YEAR) and second.matches(_ONLY_MONTH) and not second.label:
            columns[i] = replace(second, label="month")
    return columns


def _parse_runs(runs: list[_Run], before: list[Column]) -> list[Column]:
    """Return the columns of the runs at one place; ``part12`` is a word and a number.

    Runs are cut into words and numbers only where the words are the same in all names, and come
    first: the digits of a hash are no numbers.
    """
    label = _label_of(before)
    if any(run.is_date for run in runs):
        dates = all(run.is_date for run in runs)
        return [Column(tuple((run.text,) for run in runs), label, dates)]
    pieces = [_PIECES.findall(run.text) for run in runs]
    words = {tuple(map(_mask, each)) for each in pieces}
    if len(words) > 1 or not all(map(_is_numbered, {run.text for run in runs})):
        return [Column(tuple((run.text,) for run in runs), label)]
    columns: list[Column] = []
    for texts in zip(*pieces, strict=True):
        label = _label_of([*before, *columns])
        columns.append(Column(tuple((text,) for text in texts), label))
    return columns


@functools.lru_cache(maxsize=4096)
def _mask(piece: str) -> str:
    return "0" if _is_number(piece) else piece.casefold()


@functools.lru_cache(maxsize=4096)
def _is_numbered(run: str) -> bool:
    """Return whether a run is a word, a number or words with numbers, and not a hash."""
    return not _HASH.fullmatch(run) and (run.isdecimal() or _NUMBERED.fullmatch(run) is not None)


def _label_of(before: list[Column]) -> str:
    """Return the word in front of a column, unless it names a role."""
    word = before[-1].word if before else ""
    return "" if word in ROLES else word


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _is_same(runs: list[_Run]) -> bool:
    return len({run.text.casefold() for run in runs}) == 1


def _date_parts(text: str) -> list[int]:
    """Return year, month and day of a date."""
    parts = [int(part) for part in re.findall("[0-9]+", text)]
    return parts[::-1] if parts[-1] > 1000 else parts


@functools.lru_cache(maxsize=4096)
def _normalise(text: str) -> Value:
    """Return words in one case, numbers without leading zeros, 2024-01-31 as 20240131."""
    if _is_number(text):
        return (int(text),)
    if matched := _DATES[0].fullmatch(text):
        year, _, month, day = matched.groups()
        return (int(f"{year}{int(month):02}{int(day):02}"),)
    if _DATES[1].fullmatch(text):
        return (re.sub("[_.]", "-", text),)
    if matched := _WORD_NUMBER.fullmatch(text):
        return matched[1].casefold(), int(matched[2])
    return (text.casefold(),)


def _as_written(column: Sequence[tuple[str, ...]]) -> tuple[Value, ...]:
    return tuple(column)


def _normalised(column: Sequence[tuple[str, ...]]) -> tuple[Value, ...]:
    return tuple(tuple(token for part in parts for token in _normalise(part)) for parts in column)


def _without_roles(column: Sequence[tuple[str, ...]]) -> tuple[Value, ...]:
    """Normalise, and remove a role that all words begin or end with, as in trainX and valX."""
    values = _normalised(column)
    if not all(len(value) == 1 and isinstance(value[0], str) for value in values):
        return values
    if len(set(values)) == 1:
        return values
    words = [str(value[0]) for value in values]
    for role in sorted(ROLES, key=len, reverse=True):
        if all(word.endswith(role) and word != role for word in words):
            return tuple((word.removesuffix(role),) for word in words)
        if all(word.startswith(role) and word != role for word in words):
            return tuple((word.removeprefix(role),) for word in words)
    return values


#: Ways to compare parts, the strictest first: as written; without case and leading zeros; without
#: roles that are attached to words.
LEVELS: dict[str, Callable[[Sequence[tuple[str, ...]]], tuple[Value, ...]]] = {
    "as written": _as_written,
    NORMALISED: _normalised,
    "without roles": _without_roles,
}
