"""Draw the charts of a report as SVG; x is in percent of the width, so that text keeps its size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from .._util.notebook import shorten_names
from ._page import text

__all__ = ["Axis", "LogAxis", "draw_axis", "draw_interval", "draw_scatter"]

_MARGIN = 4.0  # percent of the width left and right of the outermost values
_HEIGHT = 22  # of a row, in pixels
_TALL = 320  # of a scatter, in pixels
_LONGEST = 24  # letters of a name beside a point
_STEPS = (1, 2, 2.5, 5, 10)
_LARGEST, _SMALLEST = 1e300, 1e-300  # bounds against overflow and underflow of differences


class Axis:
    """A linear axis: maps values to percent of the width, with ticks at round numbers."""

    def __init__(self, values: Iterable[float], n_ticks: int = 4) -> None:
        finite = [_drawable(value) for value in values if math.isfinite(value)] or [0.0]
        self.low, self.high = min(finite), max(finite)
        most = max(abs(self.low), abs(self.high))
        if self.high - self.low <= max(1e-12 * most, _SMALLEST):
            pad = abs(self.low) / 2 or 0.5  # equal values are centred
            self.low, self.high = self.low - pad, self.high + pad
        rough = (self.high - self.low) / n_ticks
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(step * unit for step in _STEPS if step * unit >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        decimals = max(0, 1 - math.floor(math.log10(step)))
        self.ticks = [round(k * step, decimals + 2) + 0.0 for k in range(first, last + 1)]
        shortest = f"{step:.{decimals}f}".rstrip("0")
        self._format = f".{len(shortest.partition('.')[2])}f"
        if not 1e-5 <= step <= 1e6:
            self._format = f".{math.ceil(math.log10(max(most / step, 1))) + 3}g"

    def at(self, value: float) -> float:
        """Return the position of a value in percent."""
        share = (_drawable(value) - self.low) / (self.high - self.low)
        return round(_MARGIN + (100 - 2 * _MARGIN) * share, 2)

    def label(self, tick: float) -> str:
        """Format a tick with the digits that the step needs."""
        return format(tick, self._format)


class LogAxis(Axis):
    """A logarithmic axis of positive values, with ticks at 1, 2 and 5 times powers of ten."""

    def __init__(self, values: Iterable[float], n_ticks: int = 5) -> None:
        known = [_drawable(value) for value in values if value > 0]
        self.low, self.high = math.log10(min(known)), math.log10(max(known))
        if self.high - self.low < 1e-9:  # equal values are centred
            self.low, self.high = self.low - 0.5, self.high + 0.5
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        every = -(-len(decades) // n_ticks)
        steps = (1, 2, 5) if self.high - self.low < 2 else (1,)
        ticks = (step * 10.0**k for k in decades if k % every == 0 for step in steps)
        self.ticks = [t for t in ticks if self.low - 1e-9 <= math.log10(t) <= self.high + 1e-9]

    def at(self, value: float) -> float:
        """Return the position of a value in percent."""
        share = (math.log10(_drawable(value)) - self.low) / (self.high - self.low)
        return round(_MARGIN + (100 - 2 * _MARGIN) * share, 2)

    def label(self, tick: float) -> str:
        """Format a tick with k, M, G or T for thousands to trillions."""
        for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
            if size <= tick < 1000 * size:
                return f"{tick / size:.3g}{unit}"
        return f"{tick:.3g}"


def _drawable(value: float) -> float:
    return max(-_LARGEST, min(value, _LARGEST))


def draw_interval(axis: Axis, value: float, low: float = math.nan, high: float = math.nan) -> str:
    """Draw a value and its interval over the grid of an axis; omit what is not finite."""
    middle = _HEIGHT / 2
    marks = _grid(axis, _HEIGHT)
    if math.isfinite(low) and math.isfinite(high):
        ends = f'x1="{axis.at(low)}%" x2="{axis.at(high)}%"'
        marks += f'<line class="range" {ends} y1="{middle}" y2="{middle}"/>'
    if math.isfinite(value):
        marks += f'<circle class="dot" cx="{axis.at(value)}%" cy="{middle}" r="4.5"/>'
    return f'<svg class="chart" width="100%" height="{_HEIGHT}" aria-hidden="true">{marks}</svg>'


def draw_axis(axis: Axis, title: str) -> str:
    """Draw the labels of the ticks, and the title of the axis."""
    labels = "".join(
        f'<text x="{axis.at(tick)}%" y="13" text-anchor="middle">{text(axis.label(tick))}</text>'
        for tick in axis.ticks
    )
    labels += f'<text x="50%" y="32" text-anchor="middle">{text(title)}</text>'
    return f'<svg class="chart ticks" width="100%" height="38" aria-hidden="true">{labels}</svg>'


def draw_scatter(
    names: Sequence[str],
    xs: Sequence[float],
    ys: Sequence[float],
    x_title: str,
    y_title: str,
    labelled: Iterable[str],
    *,
    x_axis: Axis | None = None,
    joined: Sequence[str] = (),
) -> str:
    """Draw points, labelled names beside them, and all names as tooltips.

    The points of `joined` are joined by a line in this order, and the others are hollow.
    """
    x_axis, y_axis, wanted = x_axis or Axis(xs), Axis(ys), list(labelled)
    shown = dict(zip(wanted, shorten_names(wanted, _LONGEST), strict=True))
    marks = _grid(x_axis, _TALL - 20)
    for tick in y_axis.ticks:
        y = _up(y_axis, tick)
        marks += f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
        marks += f'<text x="2" y="{y - 3:.1f}">{text(y_axis.label(tick))}</text>'
    for tick in x_axis.ticks:
        marks += (
            f'<text x="{x_axis.at(tick)}%" y="{_TALL - 5}" text-anchor="middle">'
            f"{text(x_axis.label(tick))}</text>"
        )
    points = zip(names, xs, ys, strict=True)
    places = {
        name: (x_axis.at(x), _up(y_axis, y))
        for name, x, y in points
        if math.isfinite(x) and math.isfinite(y)
    }
    for one, other in pairwise(joined):
        (x1, y1), (x2, y2) = places[one], places[other]
        marks += f'<line class="front" x1="{x1}%" y1="{y1}" x2="{x2}%" y2="{y2}"/>'
    beside = ""  # drawn above all points
    for name, (at, up) in places.items():
        kind = "dot beaten" if joined and name not in joined else "dot"
        circle = f'<circle class="{kind}" cx="{at}%" cy="{up}" r="5">'
        marks += f"{circle}<title>{text(name)}</title></circle>"
        if name in shown:
            side, shift = ("end", 5) if at > 50 else ("start", -5)
            beside += (
                f'<text class="name" x="{at}%" y="{up - 9:.1f}" dx="{shift}" text-anchor="{side}">'
                f"{text(shown[name])}</text>"
            )
    about = f"{y_title} (upwards) against {x_title} (rightwards)"
    return (
        f'<svg class="chart scatter" width="100%" height="{_TALL}" role="img" '
        f'aria-label="{text(about)}">{marks}{beside}</svg>\n<p class="axis">{text(about)}</p>'
    )


def _up(axis: Axis, value: float) -> float:
    """Return the position of a value in pixels from the top, above the labels of the ticks."""
    return round((_TALL - 20) * (1 - axis.at(value) / 100), 1)


def _grid(axis: Axis, height: int) -> str:
    return "".join(
        f'<line class="grid" x1="{axis.at(tick)}%" x2="{axis.at(tick)}%" y1="0" y2="{height}"/>'
        for tick in axis.ticks
    )
