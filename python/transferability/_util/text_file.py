"""Open text files: UTF-8, UTF-16 by its byte order mark, or the encoding that the user names."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from ..errors import DataError, DtypeError

__all__ = ["TextOptions", "open_text", "read_text_options"]

#: Byte order marks; UTF-32 before UTF-16, whose mark it starts with.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Values of `quoting`, with those of the ``csv`` module and of pandas.
_QUOTING: dict[object, str] = {
    "minimal": "minimal",
    "none": "none",
    csv.QUOTE_MINIMAL: "minimal",
    csv.QUOTE_ALL: "minimal",
    csv.QUOTE_NONE: "none",
}
#: Number of bytes at the beginning of a file that are searched for zeros.
_HEAD = 4096


@dataclass(frozen=True)
class TextOptions:
    """The encoding and the quoting of a text file, as the user gives them.

    `encoding` is a name that Python knows; None reads UTF-8, and UTF-16 by its byte order mark.
    `quoting` is "minimal" if quotes enclose cells and "none" if they are part of the texts; None
    decides by the file.
    """

    encoding: str | None = None
    quoting: str | None = None


def read_text_options(encoding: object = None, quoting: object = None) -> TextOptions:
    """Validate the arguments `encoding` and `quoting`."""
    if encoding is not None:
        if not isinstance(encoding, str):
            raise DtypeError(f"encoding is of type {type(encoding).__name__}; give a name, a str")
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise DataError(
                f"encoding is {encoding!r}, which Python does not know; such are 'utf-8', "
                f"'utf-16', 'cp1252', 'latin-1'"
            ) from None
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"
    if quoting is None:
        return TextOptions(encoding)
    is_known = isinstance(quoting, (str, int)) and not isinstance(quoting, bool)
    if not is_known or quoting not in _QUOTING:
        raise DataError(
            f"quoting is {quoting!r}; give 'minimal' if quotes enclose cells, or 'none' if they "
            f"are part of the texts"
        )
    return TextOptions(encoding, _QUOTING[quoting])


@contextmanager
def open_text(path: str | os.PathLike[str], options: TextOptions | None = None) -> Iterator[TextIO]:
    """Open a text file; a missing file, encoding and ``csv`` errors become a ``DataError``.

    `options` is None if the caller has no such arguments, which errors then do not advise.
    """
    asked = None if options is None else options.encoding
    encoding = asked or "UTF-8"
    try:
        with open(path, "rb") as binary:
            encoding = asked or _find_encoding(path, binary.peek(_HEAD), options)
            with io.TextIOWrapper(binary, encoding, newline="") as file:
                yield file
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except UnicodeError as error:
        raise DataError(_explain(path, encoding, options)) from error
    except (OSError, csv.Error) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from error


def _find_encoding(path: str | os.PathLike[str], head: bytes, options: TextOptions | None) -> str:
    """Return the encoding by the byte order mark; refuse UTF-16 that has none."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            if head == mark != codecs.BOM_UTF8:
                raise DataError(f"{path} cannot be read: it has a byte order mark and no text")
            return encoding
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if 4 * max(even, odd) > len(head):  # at least half of these bytes: Latin letters
        guess = "utf-16-le" if odd > even else "utf-16-be"
        raise DataError(
            f"{path} cannot be read: it has zero bytes, so it may be UTF-16 without a byte order "
            f"mark; {_remedy(guess, options)}"
        )
    return "utf-8-sig"


def _explain(path: str | os.PathLike[str], encoding: str, options: TextOptions | None) -> str:
    """Return where a file cannot be decoded, and as what it may be read."""
    content = Path(path).read_bytes() if Path(path).is_file() else b""  # a pipe is read once
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start
        found = f"byte {content[at]:#04x} at position {at} (line {content.count(10, 0, at) + 1})"
    except UnicodeError as error:
        return f"{path} cannot be read: it is not in {encoding}: {error}"
    else:
        return f"{path} cannot be read as {encoding}"
    name = encoding.removesuffix("-sig").upper()
    if options is not None and options.encoding is not None:
        return f"{path} cannot be read: it is not in {name}, the given encoding: {found}"
    if name == "UTF-8" and _is_mostly_utf8(content):
        return f"{path} cannot be read: it is UTF-8 but for {found}; correct that line"
    guess = _guess(content) if name == "UTF-8" else None
    said = f"; it may be {guess[0]}" if guess is not None else ""
    return (
        f"{path} cannot be read: it is not in {name}: {found}{said}; "
        f"{_remedy(guess and guess[1], options)}"
    )


def _is_mostly_utf8(content: bytes) -> bool:
    """Return whether most letters beyond ASCII are UTF-8."""
    text = content.decode("utf-8", "replace")
    n_damaged = text.count("\ufffd")
    return sum(letter > "\x7f" for letter in text) > 2 * n_damaged


def _guess(content: bytes) -> tuple[str, str] | None:
    """Return the name of a Western encoding, and Python's name; None if most are Asian letters.

    In Western text, letters with an accent stand alone between ASCII letters.
    """
    high = np.pad(np.frombuffer(content, np.uint8) > 127, 1)
    is_alone = high[1:-1] & ~high[:-2] & ~high[2:]
    if 2 * is_alone.sum() < high.sum():
        return None
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "Latin-1", "latin-1"
    is_latin = not any(0x80 <= byte < 0xA0 for byte in content)
    return ("Latin-1 or Windows-1252" if is_latin else "Windows-1252"), "cp1252"


def _remedy(guess: str | None, options: TextOptions | None) -> str:
    if options is None:
        return "save it as UTF-8"
    return (
        f"pass encoding={guess!r} or save it as UTF-8"
        if guess
        else ("pass its encoding=, such as 'gb18030', 'shift_jis' or 'cp1251', or save it as UTF-8")
    )
