"""Progress of a pass over rows: rows a second, time left, memory."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._util.memory import peak_memory
from .._util.progress import Progress, ProgressFunction, progress_bar

__all__ = ["Lines", "row_progress"]

#: Seconds between two lines.
_EVERY = 2.0


@contextmanager
def row_progress(progress: Progress, total: int) -> Iterator[ProgressFunction]:
    """Give a function to call with (rows done, rows in all, file) after each block."""
    if callable(progress):
        yield progress
        return
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    if progress is None and on_terminal and importlib.util.find_spec("tqdm") is None:
        yield Lines()
        return
    with progress_bar(progress, total, unit="row") as advance:

        def show(done: int, total: int, name: str) -> None:
            advance(done, total, f"{name}, {peak_memory() >> 20} MB at most")

        yield show


class Lines:
    """Progress as lines of text, where there is no tqdm."""

    def __init__(self) -> None:
        self._start = self._shown = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int, name: str) -> None:
        """Write a line, every other second and at the end."""
        now = time.monotonic()
        if self._first is None:
            self._first = done  # what was done before, or in the first block, is not timed
            self._start = now
        if now - self._shown < _EVERY and done < total:
            return
        self._shown = now
        line = f"{done:,} of {total:,} rows, {name}"
        if done > self._first:
            speed = (done - self._first) / max(now - self._start, 1e-9)
            line += f", {speed:,.0f} rows/s, {(total - done) / speed:,.0f} s left"
        print(f"{line}, {peak_memory() >> 20} MB at most", file=sys.stderr, flush=True)
