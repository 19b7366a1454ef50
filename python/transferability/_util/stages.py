"""Stages of a computation, for displays of progress: what it is at, where it takes long.

Code that may take seconds calls :func:`stage` with a few words. A display calls :func:`listen`
around a computation and hears the stages of its thread. Nested stages are joined: "n_leep:
iteration 3 of at most 100". Without a display a stage costs the look-up of one variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Listener", "is_heard", "listen", "stage", "within"]

#: Called with the words of a stage.
Listener = Callable[[str], object]

_LISTENER: ContextVar[Listener | None] = ContextVar("transferability-stages", default=None)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Call `listener` with the stages of the computation inside the ``with`` block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def is_heard() -> bool:
    """Return whether a display listens to this computation."""
    return _LISTENER.get() is not None


def stage(text: str) -> None:
    """Report a stage to the display of this computation, if there is one."""
    if (listener := _LISTENER.get()) is not None:
        listener(text)


@contextmanager
def within(name: str) -> Iterator[None]:
    """Report a stage, and put its name before the stages inside the ``with`` block."""
    listener = _LISTENER.get()
    if listener is None:
        yield
        return
    listener(name)
    with listen(lambda text: listener(f"{name}: {text}")):
        yield
