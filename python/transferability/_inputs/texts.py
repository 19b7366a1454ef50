"""Decide whether strings are names of classes, and refuse those that look like texts."""

from __future__ import annotations

from collections.abc import Sequence

from .._util.delimited import MISSING, is_number
from ..errors import DataError

__all__ = ["describe_strings", "shorten"]

#: Strings that are distinct in most rows look like texts if they have more characters or words than
#: this on average; a single string does if it has more characters than _LONGEST_NAME.
_LONG_TEXT, _MANY_WORDS, _LONGEST_NAME = 40, 4, 1000


def describe_strings(names: Sequence[str], n_rows: int) -> str:
    """Return the reason why strings are classes, for the task "auto".

    `names` are the distinct labels, and `n_rows` is the number of rows. Raises DataError if the
    labels look like texts, or are distinct in most rows.
    """
    longest = max(names, key=len)
    guess = (
        "so the labels look like texts: a column of documents? Give the column of the labels, or "
        "task='classification' if these are the names of classes"
    )
    if len(longest) > _LONGEST_NAME:
        raise DataError(
            f"labels has a string of {len(longest):,} characters ({shorten(longest)}), {guess}"
        )
    if n_rows > 1 and len(names) > n_rows / 2:
        start = f"labels has {len(names)} distinct strings in {n_rows} rows"
        mean = sum(map(len, names)) / len(names)
        n_words = sum(len(name.split()) for name in names) / len(names)
        if mean > _LONG_TEXT or n_words > _MANY_WORDS:
            raise DataError(
                f"{start}, with {mean:.0f} characters and {n_words:.0f} words on average "
                f"({shorten(names[0])}), {guess}"
            )
        raise DataError(
            f"{start}; if they are classes pass task='classification', if they are numbers stored "
            f"as text pass task='regression' or convert them with labels.astype(float)"
        )
    note = "classification, because the labels are strings"
    if odd := [name for name in names if name in MISSING]:
        note += f"; {', '.join(map(repr, odd))} counts as the name of a class"
    if all(map(is_number, names)) and not all(name.lstrip("+-").isdigit() for name in names):
        note += "; all are numbers: if they are targets pass task='regression'"
    return note


def shorten(text: str, length: int = 40) -> str:
    """Return the beginning of a text, quoted, for messages."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")
