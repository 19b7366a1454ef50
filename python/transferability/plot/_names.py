"""Write the names of models into plots: told apart, and beside their points where they fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._util.notebook import shorten_names

__all__ = ["LEFT_ABOVE", "RIGHT", "RIGHT_ABOVE", "format_name", "format_names", "label_points"]

_LETTER, _LINE = 5.2, 10.0  # approximate width of a small letter and height of a line, in points
_MARGIN = 0.08  # around the values, as a share of their range
_GROWN = 1.1  # approximate factor by which the layout widens the Axes
_SHORT = 24  # letters of a name beside a point
#: Positions of a name: offset in points right and up, and the end that lies at the point.
RIGHT, RIGHT_ABOVE, LEFT_ABOVE = (6, 0, "left"), (-5, 10, "left"), (5, 10, "right")
_SIDES = (RIGHT, (-6, 0, "right"), LEFT_ABOVE, RIGHT_ABOVE, (5, -10, "right"), (-5, -10, "left"))


def format_names(names: Iterable[object], most: int = 40) -> list[str]:
    """Return names for matplotlib: shortened but told apart, without formulas and line ends."""
    return [text.replace("$", r"\$") for text in shorten_names(names, most)]


def format_name(name: object, most: int = 40) -> str:
    """Return one name as :func:`format_names` does."""
    return format_names([name], most)[0]


def label_points(
    ax: Any,
    points: Mapping[str, tuple[float, float]],
    names: Sequence[str],
    first: tuple[int, int, str] = RIGHT,
) -> None:
    """Label points in the order of `names`, where labels fit; text sizes are approximate.

    All `points` keep free of labels. `first` is the side of a point that is tried first.
    """
    ax.margins(_MARGIN)
    width, tall = 72 * ax.figure.get_size_inches() * ax.get_position().size * _GROWN
    across = _project([x for x, _ in points.values()], width, ax.get_xscale() == "log")
    up = _project([y for _, y in points.values()], tall)
    places = dict(zip(points, zip(across, up, strict=True), strict=True))
    taken = [(right - 4, right + 4, above) for right, above in places.values()]
    for name, shown in zip(names, format_names(names, _SHORT), strict=True):
        long = _LETTER * len(shown)
        for right, above, side in dict.fromkeys([first, *_SIDES]):
            start, line = (
                places[name][0] + right - long * (side == "right"),
                places[name][1] + above,
            )
            free = all(
                abs(line - other) >= _LINE or start >= b or a >= start + long
                for a, b, other in taken
            )
            if free and start >= 0 and start + long <= width:
                taken.append((start, start + long, line))
                offset = {"xytext": (right, above), "textcoords": "offset points"}
                text = ax.annotate(
                    shown, points[name], ha=side, va="center", size="small", **offset
                )
                text.set_in_layout(False)
                break


def _project(values: Sequence[float], length: float, is_log: bool = False) -> list[float]:
    """Return the positions of values on an axis of a given length, with margins."""
    values = [math.log10(value) for value in values] if is_log else values
    low, span = min(values), (max(values) - min(values)) or 1.0
    return [length * (_MARGIN + (value - low) / span) / (1 + 2 * _MARGIN) for value in values]
