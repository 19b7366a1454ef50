"""Convert the states of TransferabilityMetric to moments, and report lost precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["convert_moments", "describe_lost_digits"]

#: Ratio of mean to standard deviation above which cancellation loses more than 6 of 16 digits.
_FAR = 1e3
#: Sums of targets, which constant columns of the features do not change.
_OF_TARGETS = (
    *("target_shift", "target_sum", "target_square"),
    *("target_products", "target_cubic", "target_quartic"),
)
_TINY = float(np.finfo(np.float64).tiny)
_ADVICE = "give {}=TransferabilityMetric.shift_from({}) of one batch, the same everywhere"


def convert_moments(held: Mapping[str, NDArray[Any]], task: str) -> dict[str, Any]:
    """Convert the states of a metric to moments, as ``Stats.from_moments`` takes them.

    The shift of constant columns becomes their value, so that their sums are exactly zero. Let k be
    the sum of (x - s)² over the constant columns, which is the same in every row. Then ‖x - s‖²
    decreases by k, so Σ ‖x - s‖⁴ changes by n k² - 2 k Σ ‖x - s‖², and Σ ‖x - s‖² (x - s) by
    -k Σ (x - s). The same follows for sums by class and with targets.
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
        squares = held["class_squares"][present] - k * moments["class_counts"]
        moments["class_squares"] = np.maximum(squares, 0.0)
    else:
        moments |= {name: held[name] for name in _OF_TARGETS if name in held}
        moments["cross"] = held["cross"] * varies[:, None]
        quartic = float(held["joint_quartic"]) - k * float(held["target_square"].sum())
        moments["joint_quartic"] = max(quartic, 0.0)
        moments["joint_features"] = held["joint_features"] * varies
        moments["joint_targets"] = held["joint_targets"] - k * held["target_sum"]
    return moments


def describe_lost_digits(held: Mapping[str, NDArray[Any]]) -> str:
    """Describe the digits lost because a shift is far from the mean, and the remedy; else ""."""
    n = held["count"]
    constant = held["least"] == held["most"]
    if constant.all():
        return ""  # one row, or no column that varies
    mean, square = held["sum"] / n, np.diagonal(held["scatter"]) / n
    # Constant columns lose no digits: convert_moments makes their shift exact.
    text = _describe_far_column("features", "shift", np.where(constant, 0, mean), square)
    if not text and "target_sum" in held:
        of_targets = held["target_sum"] / n, held["target_square"] / n
        text = _describe_far_column("target", "target_shift", *of_targets)
    if text:
        return text
    # Fourth moments lose digits by the square of Σ ‖x − s‖² / Σ ‖x − mean‖².
    gained = float((mean**2).sum())
    variance = float(np.maximum(square - mean**2, 0).sum())
    more = gained / max(variance, gained * 1e-16, _TINY)
    if more > _FAR:
        return (
            f"the mean of the features is {np.sqrt(more):.1e} standard deviations from the shift, "
            f"so about {2 * np.log10(more):.0f} of 16 digits of the fourth moments are lost, from "
            f"which shrinkage and unbiased CKA are estimated; {_ADVICE.format('shift', 'features')}"
        )
    return ""


def _describe_far_column(of: str, argument: str, mean: NDArray[Any], square: NDArray[Any]) -> str:
    """Describe the column whose mean is the farthest from its shift, if too far; else "".

    `mean` and `square` are those of shifted values, x - s and (x - s)².
    """
    offset, variance = np.abs(mean), np.maximum(square - mean**2, 0)
    # Beyond 1e7 standard deviations, the computed variance is only rounding error.
    ratio = offset / np.maximum(np.sqrt(variance), offset * 1e-8 + _TINY)
    column = int(ratio.argmax())
    if ratio[column] <= _FAR:
        return ""
    return (
        f"column {column} of the {of} is {ratio[column]:.1e} standard deviations from the shift, "
        f"so about {2 * np.log10(ratio[column]):.0f} of 16 digits of its variance are lost; "
        f"{_ADVICE.format(argument, of)}"
    )
