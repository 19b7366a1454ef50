"""Convert the states of TransferabilityMetric to moments, and report lost digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["convert_moments", "describe_lost_digits"]

#: Mean over standard deviation, above which cancellation loses more than 6 of 16 digits.
_FAR = 1e3
_TINY = float(np.finfo(np.float64).tiny)


def convert_moments(held: Mapping[str, NDArray[Any]], task: str) -> dict[str, Any]:
    """Convert the states of a metric to moments, as ``Stats.from_moments`` takes them.

    The shift of constant columns becomes their value, so that their sums are exactly zero. Let k be
    the sum of (x - s)² over the constant columns, which is the same in every row. Then ‖x - s‖²
    decreases by k, so Σ ‖x - s‖⁴ changes by n k² - 2 k Σ ‖x - s‖², and Σ ‖x - s‖² (x - s) by
    -k Σ (x - s).
    """
    n = int(held["count"])
    least, most = held["least"], held["most"]
    constant = least == most
    k = float(((least - held["shift"])[constant] ** 2).sum())
    total = float(np.trace(held["scatter"]))
    shift = np.where(constant, least, held["shift"])
    varies = ~constant
    moments: dict[str, Any] = {
        "task": task,
        "n_samples": n,
        "shift": shift,
        "sum": held["sum"] * varies,
        "scatter": held["scatter"] * np.outer(varies, varies),
        "cubic": (held["cubic"] - k * held["sum"]) * varies,
        "quartic": max(float(held["quartic"]) - 2 * k * total + n * k * k, 0.0),
        "largest": float(np.maximum(most - shift, shift - least).max()),
    }
    if task == "classification":
        present = np.flatnonzero(held["class_counts"])
        moments["classes"] = tuple(present.tolist())
        moments["class_counts"] = held["class_counts"][present].astype(np.int64)
        moments["class_sums"] = held["class_sums"][present] * varies
    else:
        moments |= {name: held[name] for name in ("target_shift", "target_sum", "target_square")}
        moments["cross"] = held["cross"] * varies[:, None]
    return moments


def describe_lost_digits(held: Mapping[str, NDArray[Any]]) -> str:
    """Describe the digits lost because a shift is far from the mean, and the remedy; else ""."""
    n = held["count"]
    constant = held["least"] == held["most"]
    if constant.all():
        return ""  # one row, or no column that varies
    offset, variance = _spread(held["sum"] / n, np.diagonal(held["scatter"]) / n)
    text = _far_column("features", np.where(constant, 0, offset), variance)  # these become exact
    if text:
        return f"{text}; {_advice('shift', 'features')}"
    if "target_sum" in held:
        moments = _spread(held["target_sum"] / n, held["target_square"] / n)
        if text := _far_column("target", *moments):
            return f"{text}; {_advice('target_shift', 'target')}"
    # Fourth moments lose digits by the square of Σ ‖x − s‖² / Σ ‖x − mean‖².
    gained = float((offset**2).sum())
    more = gained / max(float(variance.sum()), gained * 1e-16, _TINY)
    if more > _FAR:
        return (
            f"the mean of the features is {np.sqrt(more):.1e} standard deviations from the shift, "
            f"so about {2 * np.log10(more):.0f} of 16 digits of the fourth moments are lost, from "
            f"which shrinkage is estimated; {_advice('shift', 'features')}"
        )
    return ""


def _spread(mean: NDArray[Any], square: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the distance of the means from the shift, and the variances."""
    return np.abs(mean), np.maximum(square - mean**2, 0)


def _far_column(name: str, offset: NDArray[Any], variance: NDArray[Any]) -> str:
    # Beyond 1e7 standard deviations, the computed variance is only rounding error.
    ratio = offset / np.maximum(np.sqrt(variance), offset * 1e-8 + _TINY)
    column = int(ratio.argmax())
    if ratio[column] <= _FAR:
        return ""
    return (
        f"column {column} of the {name} is {ratio[column]:.1e} standard deviations from the shift, "
        f"so about {2 * np.log10(ratio[column]):.0f} of 16 digits of its variance are lost"
    )


def _advice(argument: str, of: str) -> str:
    return (
        f"give {argument}=TransferabilityMetric.shift_from({of}) of one batch, the same everywhere"
    )
