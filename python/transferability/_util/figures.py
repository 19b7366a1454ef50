"""New figures of matplotlib: shown by a notebook and by pyplot, and left behind by nobody.

A figure belongs to pyplot where pyplot is in use: in a notebook or another IPython, which shows it
once, and in a script that has imported ``matplotlib.pyplot``, where ``plt.show()`` and
``plt.savefig()`` find it. Elsewhere, and in other threads than the main one, it is an object that
goes when its owner lets it go.

A figure that a script has made itself stays the current one of pyplot. Pyplot keeps its figures
until they are closed. Backends that only write files show none, so with them it keeps the last
figure of this package alone: a loop that saves figures does not collect them.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

from .notebook import is_interactive
from .optional import need

__all__ = ["new_axes"]

#: Backends of matplotlib that write files and have no windows.
_OF_FILES = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")
_ours: weakref.WeakSet[Any] = weakref.WeakSet()  # figures that pyplot got from here


def new_axes(what: str, **options: Any) -> Any:
    """Return the Axes of a new figure; `options` are those of ``Figure``, such as its size.

    `what` starts the error of a missing matplotlib, such as "plotting".
    """
    figure = need("matplotlib.figure", extra="plot", what=what)
    pyplot = _find_pyplot()
    made = figure.Figure(**options) if pyplot is None else _make_with_pyplot(pyplot, **options)
    return made.add_subplot()


def _find_pyplot() -> Any | None:
    """Return pyplot if figures are to belong to it."""
    if threading.current_thread() is not threading.main_thread():
        return None
    if is_interactive():
        return need("matplotlib.pyplot", extra="plot", what="plotting")
    return sys.modules.get("matplotlib.pyplot")


def _make_with_pyplot(pyplot: Any, **options: Any) -> Any:
    """Return a new figure of pyplot; the current figure of a script stays the current one."""
    current = pyplot.gcf() if pyplot.get_fignums() else None
    if pyplot.get_backend().lower() in _OF_FILES:
        for figure in [*_ours]:
            pyplot.close(figure)  # a figure that somebody holds can be saved all the same
    made = pyplot.figure(**options)
    if current is not None and current not in _ours:
        pyplot.figure(current)
    _ours.add(made)
    return made
