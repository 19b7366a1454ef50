"""Collect the warnings of one thread, while other threads do the same.

``warnings.catch_warnings`` replaces the state of the whole process. Where two threads are within
such blocks at once, the last one to leave restores the state of the first: every later warning of
the process is then lost. Here the first thread to enter replaces the state, and the last one to
leave restores it. In between every warning goes to the list of its own thread, and those of other
threads to the filters and the display that were there before.
"""

from __future__ import annotations

import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

__all__ = ["collect_warnings", "drop_warnings"]

_lock = threading.Lock()
_lists: dict[int, list[Warning | str]] = {}  # of threads within blocks, by their identifiers
_outside = ExitStack()  # restores the state of the process
_filters: list[Any] = []  # those of the process outside of all blocks
_show: Any = None  # its display


@contextmanager
def collect_warnings() -> Iterator[list[Warning | str]]:
    """Collect every warning of this thread, also those that the filters of the process ignore.

    A block within a block of the same thread has its own list.
    """
    if getattr(sys.flags, "context_aware_warnings", False):  # threads have states of their own
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found: list[Warning | str] = []
            try:
                yield found
            finally:
                found += [one.message for one in caught]
        return
    thread = threading.get_ident()
    own: list[Warning | str] = []
    with _lock:
        if not _lists:
            _replace_state()
        before = _lists.get(thread)
        _lists[thread] = own
    try:
        yield own
    finally:
        with _lock:
            if before is not None:
                _lists[thread] = before
            else:
                del _lists[thread]
            if not _lists:
                _outside.close()


@contextmanager
def drop_warnings(kind: type[Warning]) -> Iterator[None]:
    """Drop the warnings of one kind by this thread; issue its others when the block ends."""
    with collect_warnings() as caught:
        yield
    for warning in caught:
        if not isinstance(warning, kind):
            warnings.warn(warning, stacklevel=3)


def _replace_state() -> None:
    global _show
    _outside.enter_context(warnings.catch_warnings())
    if warnings.showwarning is not _take:  # a block of another thread may have put it back
        _filters[:], _show = warnings.filters, warnings.showwarning
    warnings.simplefilter("always")
    warnings.showwarning = _take


def _take(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Add a warning to the list of its thread; without one, treat it as outside of all blocks."""
    own = _lists.get(threading.get_ident())
    if own is not None:
        own.append(message)
        return
    action = _find_action(str(message), category, filename, lineno)
    if action == "error":
        raise message if isinstance(message, Warning) else category(message)
    if action != "ignore":
        _show(message, category, filename, lineno, file, line)


def _find_action(text: str, category: type[Warning], filename: str, lineno: int) -> str:
    """Return what the filters of the process do with a warning.

    The name of its module is not known here, so the name of the file stands for it.
    """
    module = re.sub(r"(/__init__)?\.py$", "", filename.replace("\\", "/")).replace("/", ".")
    starts = [0, *(dot.end() for dot in re.finditer(r"\.", module))]
    for action, pattern, kind, place, line in _filters:
        if (
            issubclass(category, kind)
            and line in (0, lineno)
            and (pattern is None or re.match(pattern, text))
            and (place is None or any(re.match(place, module[start:]) for start in starts))
        ):
            return str(action)
    return "default"
