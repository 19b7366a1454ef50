"""Validate single arguments of a call: counts, switches, and labels to ignore.

An error names the argument, its value and what is allowed, and suggests names for a misspelt one.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import DataError, DtypeError, TransferabilityError

__all__ = [
    "check_counts",
    "check_result",
    "check_switches",
    "name_arguments",
    "read_ignored",
    "suggest",
]


@contextmanager
def name_arguments(**names: str) -> Iterator[None]:
    """Call arguments in the errors of the enclosed block as the called function does.

    `names` are by the usual names, as in ``name_arguments(labels="targets")``.
    """
    try:
        yield
    except TransferabilityError as error:
        text = str(error)
        for usual, name in names.items():
            text = re.sub(rf"(?<![\w.]){usual}\b", name, text)
            if usual.endswith("s") and name.endswith("s"):
                text = re.sub(rf"\b(one|a|the) {usual[:-1]}\b", rf"\1 {name[:-1]}", text)
        error.args = (text,)
        raise


def suggest(word: object, known: Iterable[object]) -> str:
    """Return " (did you mean …?)" with the most similar known words; "" if none is similar."""
    words = {str(name).lower(): name for name in known}
    given = str(word).lower()
    sure = difflib.get_close_matches(given, words, n=1, cutoff=0.85)
    near = sure or difflib.get_close_matches(given, words, cutoff=0.5)
    if not near:
        return ""
    return f" (did you mean {' or '.join(repr(words[name]) for name in near)}?)"


def check_counts(least: int = 1, **counts: object) -> dict[str, int | None]:
    """Return the values as int; raise an error unless each is None or at least `least`."""
    found: dict[str, int | None] = {}
    for name, value in counts.items():
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and not is_whole:
            raise DtypeError(f"{name} must be a whole number, got {value!r}")
        found[name] = None if value is None else operator.index(value)  # type: ignore[arg-type]
        if isinstance(value, Integral) and value < least:
            raise DataError(f"{name} must be at least {least}, got {value}")
    return found


def check_result(name: str, value: object, kind: type, *, optional: bool = False) -> None:
    """Raise DtypeError unless a value is a result of this kind, or None if that is `optional`."""
    if not isinstance(value, kind) and not (optional and value is None):
        found = type(value).__name__
        raise DtypeError(f"{name} must be a {kind.__module__}.{kind.__name__}, got {found}")


def check_switches(**switches: object) -> dict[str, bool]:
    """Return the values as bool; raise DtypeError for a word, whose truth would always be True."""
    for name, value in switches.items():
        is_number = isinstance(value, Integral) and value in (0, 1)
        if value is not None and not isinstance(value, (bool, np.bool_)) and not is_number:
            raise DtypeError(f"{name} is {value!r}; give True or False")
    return {name: bool(value) for name, value in switches.items()}


def read_ignored(ignore: object) -> tuple[Any, ...]:
    """Return the argument `ignore`, labels of pixels to leave out, as plain numbers."""
    is_listed = isinstance(ignore, Iterable) and getattr(ignore, "ndim", 1) > 0
    if not is_listed or isinstance(ignore, (str, bytes, Mapping)):
        raise DtypeError(f"ignore is {ignore!r}; give a list of labels of pixels, as ignore=[255]")
    found: list[Any] = []
    for label in ignore:  # type: ignore[attr-defined]
        value = label.item() if getattr(label, "ndim", 1) == 0 else label
        if not isinstance(value, Real):
            raise DtypeError(f"ignore has {label!r}; labels of pixels are numbers, as ignore=[255]")
        found.append(value)
    return tuple(found)
