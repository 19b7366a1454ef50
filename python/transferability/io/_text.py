"""Labels in .csv and .txt files: one a line."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from ..errors import DataError

__all__ = ["TEXT", "label_lines"]

TEXT = (".csv", ".txt")

_MISSING = {"", "NA", "N/A", "n/a", "NaN", "nan", "None", "null", "NULL", "<NA>", "?"}
#: int() and float() read more than this, such as 1_0, which is a name.
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_REAL = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)


def label_lines(path: Path) -> list[Any]:
    """Read one label a line: all integers, all numbers, or all text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row or [""]) for row in reader]
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from error
    for line, row in rows:
        if len(row) != 1:
            raise DataError(f"{path}, line {line}: {len(row)} values; give one label a line")
    values = [(line, row[0].strip()) for line, row in rows]
    missing = [line for line, value in values if value in _MISSING]
    if missing:
        raise DataError(
            f"{path} has {len(missing)} lines without a label (empty, NA or the like), the first "
            f"is line {missing[0]}; drop those rows from labels and features"
        )
    numbers = [entry for entry in values if _REAL.fullmatch(entry[1])]
    words = [entry for entry in values if not _REAL.fullmatch(entry[1])]
    if numbers and words:
        line, odd = min(words, numbers, key=len)[0]
        raise DataError(
            f"{path}, line {line}: {odd!r} is unlike other lines, of which {len(numbers)} hold "
            f"numbers and {len(words)} text; remove a header, and write labels in one way"
        )
    if words:
        return [value for _, value in words]
    whole = all(_INTEGER.fullmatch(value) for _, value in numbers)
    return [int(value) if whole else float(value) for _, value in numbers]
