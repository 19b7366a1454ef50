"""Bounds of a learning curve: the range of possible values, and the limit that they approach."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_floats, check_choice
from ..errors import DataError, DtypeError

__all__ = [
    "Bounds",
    "describe_other_unit",
    "read_level",
    "read_number",
    "read_numbers",
    "resolve_bounds",
    "resolve_limit",
]

Array = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
#: Largest possible values of common measures: negative errors, correlations and percentages. They
#: are the limit of increasing values that have reached one of them exactly.
_TOPS = (0.0, 1.0, 100.0)
_FORM = "give a pair such as (0, 1), (0, None) or (None, 1), or None for no bounds"


@dataclass(frozen=True)
class Bounds:
    """The range of possible values; -inf or inf where there is no bound."""

    low: float = -math.inf
    high: float = math.inf

    def clip(self, values: Array) -> Array:
        """Clip values to the range."""
        return np.clip(values, self.low, self.high)

    def public(self) -> tuple[float | None, float | None]:
        """Return the pair (low, high) with None where there is no bound."""
        low, high = (bound if math.isfinite(bound) else None for bound in (self.low, self.high))
        return low, high

    def check(self, name: str, sizes: Array, values: Array) -> None:
        """Raise DataError if a value is outside."""
        odd = np.flatnonzero((values < self.low) | (values > self.high))
        if odd.size:
            raise DataError(
                f"{name} must lie within the bounds {self.low:g} to {self.high:g}, but one is "
                f"{values[odd[0]]:g} at size {sizes[odd[0]]:g}; give other bounds, or leave that "
                f"value out"
            )


def read_numbers(name: str, values: object) -> Array:
    """Convert an argument to float64; raise DtypeError if it holds anything but numbers."""
    return as_floats(values, name)


def read_number(name: str, value: object) -> float:
    """Convert an argument to one float; raise DtypeError for anything but one number."""
    given: Any = value
    try:
        if isinstance(value, (str, bytes)) or np.ndim(given):
            raise TypeError(f"it is {value!r}")
        return float(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise DtypeError(f"{name} must be one number: {error}") from error


def describe_other_unit(name: str, value: float, known: Array, direction: str) -> str | None:
    """Return a warning of a share, such as 0.9, among known values in percent; None elsewhere.

    Losses may fall from above 1 to below, so only increasing values are compared.
    """
    if direction != "increasing" or not (0 < value <= 1 < known.min() and known.max() <= 100):
        return None
    return (
        f"{name} is {value:g}, and the known values are {known.min():g} to {known.max():g}; if "
        f"these are percent, give {100 * value:g}"
    )


def read_level(level: object) -> float:
    """Validate the nominal coverage of an interval."""
    number = read_number("level", level)
    if not 0 < number < 1:
        raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.9")
    return number


def resolve_bounds(bounds: object, values: Array) -> Bounds:
    """Return the given bounds; for "auto" (0, 1) if all values lie there, and otherwise none."""
    if bounds is None:
        return Bounds()
    if isinstance(bounds, str):
        check_choice("bounds", bounds, ("auto",))
        return Bounds(0.0, 1.0) if _are_shares(values, _EPS) else Bounds()
    pair: Any = bounds
    try:
        first, second = pair
        low = -math.inf if first is None else float(first)
        high = math.inf if second is None else float(second)
    except (TypeError, ValueError) as error:
        raise DataError(f"bounds is {bounds!r}; {_FORM}") from error
    if not low < high:
        raise DataError(f"bounds is {bounds!r}, and the first must be below the second; {_FORM}")
    return Bounds(low, high)


def resolve_limit(
    limit: object, bounds: object, increasing: bool, sizes: Array, values: Array, eps: float
) -> tuple[float | None, Bounds, Array]:
    """Return the limit, the bounds, and the values with the limit where they differ by rounding.

    The limit is the bound on the better side; `eps` is the precision of the values. Raise DataError
    for values beyond the limit or the bounds.
    """
    best = _read_limit(limit)
    found = resolve_bounds(bounds, values)
    shares, auto = _are_shares(values, eps), isinstance(bounds, str)
    if isinstance(best, str) and auto:
        if increasing:
            best = 1.0 if shares else _find_top(values, eps)
        else:
            best = 0.0 if values.min() >= -_rounding(0.0, values, eps) else None
    elif isinstance(best, str):
        better = found.high if increasing else found.low
        best = better if math.isfinite(better) else None
    elif best is not None and not auto and not found.low <= best <= found.high:
        raise DataError(
            f"limit is {best:g}, outside the bounds {found.low:g} to {found.high:g}; give the best "
            f"value that is possible"
        )
    if auto:
        found = Bounds()
        if best is not None and increasing and values.min() >= 0:  # accuracies, also in percent
            found = Bounds(low=0.0)
        elif best is not None and not increasing and shares:  # error rates
            found = Bounds(high=1.0)
    for end in (found.low, found.high, best):
        if end is not None and math.isfinite(end):
            values = np.where(np.abs(values - end) <= _rounding(end, values, eps), end, values)
    found.check("values", sizes, values)
    if best is None:
        return None, found, values
    gaps = best - values if increasing else values - best
    if gaps.min() < 0:
        i = int(gaps.argmin())
        direction, side = ("increasing", "below") if increasing else ("decreasing", "above")
        raise DataError(
            f"{direction} values must lie {side} the limit {best:g}, but one is {values[i]:g} at "
            f"size {sizes[i]:g}; give another limit, or None for none"
        )
    return best, replace(found, high=best) if increasing else replace(found, low=best), values


def _read_limit(limit: object) -> float | str | None:
    if limit is None:
        return None
    if isinstance(limit, str):
        check_choice("limit", limit, ("auto",))
        return limit
    try:
        number = float(limit)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise DtypeError(f"limit is {limit!r}; give a number, 'auto' or None") from error
    if not math.isfinite(number):
        raise DataError(f"limit is {number}; give a finite number, 'auto', or None for none")
    return number


def _are_shares(values: Array, eps: float) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1 + _rounding(1.0, values, eps))


def _find_top(values: Array, eps: float) -> float | None:
    """Return the largest possible value of a common measure that values have reached, or None."""
    largest = float(values.max())
    return next((t for t in _TOPS if abs(largest - t) <= _rounding(t, values, eps)), None)


def _rounding(limit: float, values: Array, eps: float) -> float:
    """Return the distance from the limit that rounding of the values explains."""
    return 8 * max(eps * abs(limit), _EPS * float(np.abs(values).max()))
