"""Validators for options of metrics: flag, choice, whole number, number in a range, `leave_out`.

Each returns the option as a built-in Python value. The error names the option, the value and the
remedy. Booleans are not accepted as numbers, numbers not as flags, strings as neither.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from .._inputs.arguments import suggest
from ..errors import DataError, DtypeError, TransferabilityError

__all__ = ["ABOVE_ZERO", "choice", "default_leave_out", "flag", "leave_out_option"]
__all__ += ["leaves_groups_out", "no_options", "number", "whole_number"]

Known = TypeVar("Known", bound="str | None")

#: The smallest positive float: a lower bound that excludes 0.
ABOVE_ZERO = math.ulp(0.0)
#: The native module reads options as float64, which holds every whole number up to this one.
_MOST_WHOLE = 2**53


_NO_NUMBERS = (bool, np.bool_, str, bytes, np.complexfloating)


def no_options(task: str) -> dict[str, object]:
    """Return the kernel options of a metric that takes none."""
    return {}


def flag(name: str, value: object, choices: str = "True or False") -> bool:
    """Return a Boolean; DataError for anything else, with `choices` in its text."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise DataError(f"{name} is {value!r}; choose {choices}")


def choice(name: str, value: object, choices: tuple[Known, ...]) -> Known:
    """Return the entry of `choices` that equals `value`; DataError if there is none."""
    for known in choices:
        if isinstance(value, type(known)) and value == known:  # no array, which has no truth
            return known
    near = suggest(value, filter(None, choices)) if isinstance(value, str) else ""
    listed = (" or " if len(choices) == 2 else ", ").join(map(repr, choices))
    raise DataError(f"{name} is {value!r}{near}; choose {listed}")


def whole_number(
    name: str,
    value: object,
    least: int,
    most: int = _MOST_WHOLE,
    *,
    advice: str = "",
    wrong_type: type[TransferabilityError] = DtypeError,
) -> int:
    """Return a whole number from `least` to `most`, as an int.

    Raises DataError if it is out of range, `wrong_type` if it is not of an integer type. Both
    texts have the `advice`.
    """
    advice = advice or f"a whole number of at least {least}"
    try:
        count = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = None
    if count is None:
        raise wrong_type(f"{name} is {value!r}; give {advice}")
    if not least <= count <= most:
        bound = f", at most {most}" if count > most else ""
        raise DataError(f"{name} is {count}; give {advice}{bound}")
    return count


def number(
    name: str,
    value: object,
    advice: str,
    within: tuple[float, float] | None = None,
    *,
    wrong_type: type[TransferabilityError] = DataError,
) -> float:
    """Return a number, in the closed interval `within` if there is one, as a float.

    Raises DataError if it is outside (NaN always is), `wrong_type` if it is not a number. Both
    texts have the `advice`.
    """
    try:
        # NumPy would drop the imaginary part.
        if isinstance(value, _NO_NUMBERS) or np.ndim(value):  # type: ignore[arg-type]
            raise TypeError
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise wrong_type(f"{name} is {value!r}; give {advice}") from None
    except OverflowError:
        raise DataError(f"{name} is too large for a float; give {advice}") from None
    if within is not None and not within[0] <= found <= within[1]:
        raise DataError(f"{name} is {value!r}; give {advice}")
    return found


def default_leave_out(leave_out: str | None, groups: object) -> str | None:
    """Return the option of a call of one metric, whose groups have one use: to leave together."""
    return "group" if leave_out is None and groups is not None else leave_out


def leave_out_option(leave_out: str | None) -> dict[str, object]:
    """Validate the option and return that of the kernel, which leaves out rows without it."""
    chosen = choice("leave_out", leave_out, (None, "row", "group"))
    return {"leave_out": chosen} if chosen == "group" else {}


def leaves_groups_out(options: Mapping[str, Any]) -> bool:
    """Return whether a metric with these options, or the score of one, leaves out whole groups."""
    return options.get("leave_out") == "group"
