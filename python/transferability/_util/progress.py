"""Progress displays: a user's function, a tqdm bar, lines of text on a terminal, or nothing."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, cast

from ..errors import DtypeError
from .memory import peak_memory
from .notebook import is_notebook, shorten_middle
from .notebook_bar import NotebookBar
from .optional import need
from .stages import Listener, is_heard, listen
from .terminal import find_width

__all__ = [
    "Display",
    "NotebookBar",
    "Progress",
    "ProgressFunction",
    "check_progress",
    "open_bar",
    "progress_bar",
    "row_progress",
    "show_slow_stages",
    "show_stages",
]

#: Called with (units done, units in all, name of the unit just done).
ProgressFunction = Callable[[int, int, str], object]
#: None: a bar in a notebook, and on a terminal if tqdm is installed; True, False: always, never; or
#: a function.
Progress = bool | ProgressFunction | None

T = TypeVar("T")

_EVERY = 2.0  # seconds between two lines of text
_SLOW = 1.0  # seconds before a line appears by itself
_NAME = 30  # characters of a name beside a bar
_SHORTEST, _BESIDE = 12, 70  # of a name beside a stage; columns of a bar's numbers and a stage
_OFTEN = 0.1  # seconds between two stages on a bar


def check_progress(progress: object) -> None:
    """Raise DtypeError unless `progress` is True, False or None."""
    if progress is not None and not isinstance(progress, bool):
        raise DtypeError(f"progress is {progress!r}; give True, False, None or a function")


def open_bar(progress: object, **options: Any) -> Any | None:
    """Open a bar with the `options` of ``tqdm``; None if it is not wanted.

    It is a tqdm bar on standard error, or that of a notebook, and it goes when it is closed. With
    True a missing tqdm raises a ``MissingDependencyError``, except in a notebook.
    """
    check_progress(progress)
    if progress is not False and is_notebook():
        return NotebookBar(**options)
    if progress is None:
        progress = _is_terminal() and _has_tqdm()
    if not progress:
        return None
    tqdm = need("tqdm", extra="progress", what="progress=True").tqdm
    return tqdm(file=sys.stderr, leave=False, **options)


class Display:
    """A display of units of work: those that are done, and what the others are at.

    It is a function to call after each unit, with (units done, units in all, name).
    """

    def __init__(self, advance: ProgressFunction, total: int, bar: Any | None = None) -> None:
        self._advance, self._total, self._bar = advance, total, bar
        self._shown = 0.0

    def __call__(self, done: int, total: int, name: str) -> None:
        """Report a unit that is done."""
        self._advance(done, total, name)

    def count(self, done: int, name: str) -> None:
        """Report a unit that is done, by the number of them so far."""
        self._advance(done, self._total, name)

    def watch(self, function: Callable[[str], T]) -> Callable[[str], T]:
        """Return a function of a unit's name that shows the stages of `function` on the bar."""
        if self._bar is None:
            return function

        def run(name: str) -> T:
            shown = shorten_middle(name, _find_room())
            with listen(lambda text: self._tell(f"{shown}: {text}")):
                return function(name)

        return run

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if self._bar is not None and now - self._shown >= _OFTEN:
            self._shown = now
            self._bar.set_postfix_str(text)


@contextmanager
def progress_bar(progress: Progress, total: int, unit: str = "model") -> Iterator[Display]:
    """Open a display of units of work; with a function only units that are done are reported."""
    if callable(progress):
        yield Display(progress, total)
        return
    bar = open_bar(progress, total=total, unit=unit, unit_scale=total > 9999)
    if bar is None:
        yield Display(lambda done, total, name: None, total)
        return
    with bar:

        def advance(done: int, total: int, name: str) -> None:
            bar.set_postfix_str(shorten_middle(name, _NAME))
            bar.update(done - bar.n)

        yield Display(advance, total, bar)


@contextmanager
def show_stages(progress: bool | None = None) -> Iterator[None]:
    """Show the stages of a single computation as a line; without tqdm, as lines on a terminal."""
    with ExitStack() as stack:
        if (shown := _open_line(progress, stack)) is not None:
            stack.enter_context(listen(shown))
        yield


@contextmanager
def show_slow_stages(progress: bool | None = None) -> Iterator[None]:
    """Show stages as :func:`show_stages` does; by default of a computation of more than a second.

    A display around it goes on alone. Other threads than the main one show nothing unless asked.
    """
    check_progress(progress)
    if progress is not None:
        with show_stages(progress):
            yield
        return
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or is_heard() or not (is_notebook() or _is_terminal()):
        yield
        return
    start = time.monotonic()
    shown: Listener | None = None
    with ExitStack() as stack:

        def tell(text: str) -> None:
            nonlocal shown
            if shown is None and time.monotonic() - start >= _SLOW:
                shown = _open_line(progress, stack)
            if shown is not None:
                shown(text)

        with listen(tell):
            yield


def _open_line(progress: bool | None, stack: ExitStack) -> Listener | None:
    """Open a line for stages, which `stack` closes; None if it is not wanted."""
    bar = open_bar(progress, bar_format="{desc} ({elapsed})")
    if bar is not None:
        stack.enter_context(bar)
        return cast("Listener", bar.set_description_str)
    return StageLines() if progress is None and _is_terminal() else None


class StageLines:
    """Stages as lines of text on standard error, at most one every other second."""

    def __init__(self) -> None:
        self._start = self._shown = time.monotonic()

    def __call__(self, text: str) -> None:
        """Write a line, if the last one is old enough."""
        now = time.monotonic()
        if now - self._shown >= _EVERY:
            self._shown = now
            print(f"{text}, after {now - self._start:.0f} s", file=sys.stderr, flush=True)


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


def _find_room() -> int:
    """Return the characters of a name that leave room for numbers and a stage beside it."""
    width = find_width(sys.stderr)
    return _NAME if width is None else min(_NAME, max(_SHORTEST, width - _BESIDE))


def _peak() -> str:
    return f"{peak_memory() >> 20} MB at most"


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _has_tqdm() -> bool:
    return importlib.util.find_spec("tqdm") is not None
