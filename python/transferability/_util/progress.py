"""Progress displays: a user's function, a tqdm bar, lines of text on a terminal, or nothing."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from ..errors import DtypeError
from .memory import peak_memory
from .notebook import is_notebook, printable, shorten_middle
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
_DELAY, _SOON = 1.0, 0.2  # seconds before the bar of a notebook appears, and between two updates


class NotebookBar:
    """A progress bar of a notebook: one output that is rewritten, and empty at the end.

    It has the methods of a tqdm bar that are used here. The output stays what it is when the
    notebook is saved, where a widget would be lost. Work of less than a second shows none.
    """

    ncols = None  # a notebook breaks lines

    def __init__(self, total: int, unit: str = "", **_: Any) -> None:
        self.n: float = 0
        self.total = total
        self._unit, self._text, self._postfix = unit, "", ""
        self._start = time.monotonic()
        self._next = self._start + _DELAY  # when to show it again
        self._output: Any = None

    def update(self, n: float) -> None:
        """Count units of work."""
        self.n += n
        self._show()

    def set_postfix_str(self, text: str) -> None:
        """Set what is being done, from the next update on."""
        self._postfix = text

    def set_description_str(self, text: str) -> None:
        """Show a text in place of the numbers."""
        self._text = text
        self._show()

    def reset(self, total: int) -> None:
        """Start anew with another number of units."""
        self.n, self.total = 0, total

    def close(self) -> None:
        """Empty the output."""
        if self._output is not None:
            self._output.update({"text/plain": "", "text/html": ""}, raw=True)

    def __enter__(self) -> NotebookBar:
        """Return the bar."""
        return self

    def __exit__(self, *error: object) -> None:
        """Empty the output, after an error too."""
        self.close()

    def _show(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SOON
        text = self._text or self._describe(now - self._start)
        bar = f'<progress value="{self.n:.3f}" max="{self.total}"></progress>'
        shown = {"text/plain": text, "text/html": f"{bar} {escape(printable(text))}"}
        if self._output is None:
            from IPython.display import display

            self._output = display(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)

    def _describe(self, seconds: float) -> str:
        parts = [f"{self.n:,.0f} of {self.total:,} {self._unit}s"]
        if self.n:
            rate = self.n / seconds
            shown = f"{rate:,.{0 if rate >= 100 else 1}f} {self._unit}s/s"
            parts.append(shown if rate >= 1 else f"{1 / rate:,.1f} s each")
            parts.append(f"{(self.total - self.n) / rate:,.0f} s left")
        return ", ".join([*parts, *([self._postfix] if self._postfix else [])])


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
