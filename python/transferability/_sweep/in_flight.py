"""Mark the items that a model's process is working on, so that the reason of a crash names them.

A native decoder that crashes ends its process without an exception. So each thread of the
process writes to a small file, mapped to memory, which rows it reads or runs. The file outlives the
process.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from .._data.data import Data

__all__ = ["READING", "RUNNING", "ItemMarks", "create_marks", "describe_marks"]

READING, RUNNING = 1, 2
_VERBS = {READING: "reading", RUNNING: "running"}
_SLOT = struct.Struct("<qqq")  # what is done, the first row, and the last
_N_SLOTS = 128  # more than threads prepare batches; further ones leave no mark
_SIZE = _SLOT.size * _N_SLOTS
_SHOWN = 3  # marks in a message


class ItemMarks:
    """The marks of this process in the file at `path`; without a path, nothing is marked."""

    def __init__(self, path: str | None = None) -> None:
        self._map: mmap.mmap | None = None
        self._free = deque(range(_N_SLOTS))
        if path is not None:
            with open(path, "r+b") as file:
                self._map = mmap.mmap(file.fileno(), _SIZE)

    def mark(self, rows: Sequence[int], kind: int = READING) -> AbstractContextManager[object]:
        """Mark rows, from the least to the largest, while the context lasts."""
        if self._map is None:
            return nullcontext()
        return _Mark(self._map, self._free, (kind, min(rows), max(rows)))


class _Mark:
    """A context that marks rows in a slot that no other thread uses."""

    def __init__(self, file: mmap.mmap, free: deque[int], mark: tuple[int, int, int]) -> None:
        self._file, self._free, self._mark = file, free, mark
        self._slot: int | None = None

    def __enter__(self) -> None:
        with suppress(IndexError):  # more at once than there are slots
            self._slot = self._free.popleft()
            _SLOT.pack_into(self._file, self._slot * _SLOT.size, *self._mark)

    def __exit__(self, *error: object) -> None:
        if self._slot is not None:
            _SLOT.pack_into(self._file, self._slot * _SLOT.size, 0, 0, 0)
            self._free.append(self._slot)


@contextmanager
def create_marks() -> Iterator[str]:
    """Create an empty file of marks, and remove it at the end of the context."""
    descriptor, path = tempfile.mkstemp(prefix="transferability-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(_SIZE))
        yield path
    finally:
        with suppress(OSError):
            os.unlink(path)


def describe_marks(path: str, data: Data) -> str:
    """Describe the rows that are marked in a file; an empty string if there are none."""
    with open(path, "rb") as file:
        content = file.read(_SIZE)
    found = sorted({mark for mark in _SLOT.iter_unpack(content) if mark[0] in _VERBS})
    # A batch is marked as a whole, and each of its items while it is decoded: the items tell more.
    inner = [mark for mark in found if not _holds_another(mark, found)]
    parts = []
    for kind, verb in _VERBS.items():
        spans = [_describe_span(data, first, last) for k, first, last in inner if k == kind]
        more = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
        if spans:
            parts.append(f"{verb} {', '.join(spans[:_SHOWN])}{more}")
    return " and ".join(parts)


def _holds_another(mark: tuple[int, int, int], found: Sequence[tuple[int, int, int]]) -> bool:
    kind, first, last = mark
    return any(
        kind == k and first <= a and b <= last and (first, last) != (a, b) for k, a, b in found
    )


def _describe_span(data: Data, first: int, last: int) -> str:
    begin = data.describe_row(first)
    return begin if first == last else f"{begin} to {data.describe_row(last)}"
