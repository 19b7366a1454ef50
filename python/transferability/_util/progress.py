"""Progress displays: a user's function, a tqdm bar, lines of text on a terminal, or nothing."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import DtypeError
from .memory import peak_memory
from .notebook import is_notebook, shorten_middle
from .notebook_bar import NotebookBar
from .optional import need

__all__ = [
    "NotebookBar",
    "Progress",
    "ProgressFunction",
    "open_bar",
    "progress_bar",
    "row_progress",
]

#: Called with (units done, units in all, name of the unit just done).
ProgressFunction = Callable[[int, int, str], object]
#: None: a bar in a notebook, and on a terminal if tqdm is installed; True, False: always, never; or
#: a function.
Progress = bool | ProgressFunction | None

_EVERY = 2.0  # seconds between two lines of text
_NAME = 30  # characters of a name beside a bar


def open_bar(progress: object, **options: Any) -> Any | None:
    """Open a bar with the `options` of ``tqdm``; None if it is not wanted.

    It is a tqdm bar on standard error, or that of a notebook, and it goes when it is closed. With
    True a missing tqdm raises a ``MissingDependencyError``, except in a notebook.
    """
    if progress is not None and not isinstance(progress, bool):
        raise DtypeError(f"progress is {progress!r}; give True, False, None or a function")
    if progress is not False and is_notebook():
        return NotebookBar(**options)
    if progress is None:
        progress = _is_terminal() and _has_tqdm()
    if not progress:
        return None
    tqdm = need("tqdm", extra="progress", what="progress=True").tqdm
    return tqdm(file=sys.stderr, leave=False, **options)


@contextmanager
def progress_bar(progress: Progress, total: int, unit: str = "model") -> Iterator[ProgressFunction]:
    """Open a display, and yield the function to call after each unit of work."""
    if callable(progress):
        yield progress
        return
    bar = open_bar(progress, total=total, unit=unit, unit_scale=total > 9999)
    if bar is None:
        yield lambda done, total, name: None
        return
    with bar:

        def advance(done: int, total: int, name: str) -> None:
            bar.set_postfix_str(shorten_middle(name, _NAME))
            bar.update(done - bar.n)

        yield advance


@contextmanager
def row_progress(progress: Progress, total: int) -> Iterator[ProgressFunction]:
    """Open a display with peak memory for a pass over rows; without tqdm it prints lines."""
    if callable(progress):
        yield progress
    elif progress is None and _is_terminal() and not _has_tqdm():
        yield LineProgress()
    else:
        with progress_bar(progress, total, unit="row") as advance:
            yield lambda done, total, name: advance(done, total, f"{name}, {_peak()}")


class LineProgress:
    """Progress of rows as lines of text on standard error: speed, time left, peak memory."""

    def __init__(self) -> None:
        self._start = self._shown = time.monotonic()
        self._first: int | None = None  # rows done at the first call

    def __call__(self, done: int, total: int, name: str) -> None:
        """Write a line, at most every other second and at the end."""
        now = time.monotonic()
        if self._first is None:  # rows of an earlier run and of the first block are not timed
            self._first, self._start = done, now
        if now - self._shown < _EVERY and done < total:
            return
        self._shown = now
        line = f"{done:,} of {total:,} rows, {name}"
        if done > self._first:
            speed = (done - self._first) / max(now - self._start, 1e-9)
            line += f", {speed:,.0f} rows/s, {(total - done) / speed:,.0f} s left"
        print(f"{line}, {_peak()}", file=sys.stderr, flush=True)


def _peak() -> str:
    return f"{peak_memory() >> 20} MB at most"


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _has_tqdm() -> bool:
    return importlib.util.find_spec("tqdm") is not None
