"""Sums over rows about a common shift, as ``Stats.from_moments`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["convert_moments", "describe_lost_digits"]

#: A ratio from which on its square takes more than 6 of 16 digits.
_FAR = 1e3
_TINY = float(np.finfo(np.float64).tiny)


def convert_moments(held: Mapping[str, NDArray[Any]], task: str) -> dict[str, Any]:
    """Turn what TransferabilityMetric holds into moments.

    The shift of constant columns moves to their value, about which they are exactly zero. With k
    the sum of their (x − s)², the same in every row, ‖x − s‖² loses k: Σ ‖x − s‖⁴ changes by
    n k² − 2k Σ ‖x − s‖², and Σ ‖x − s‖² (x − s) by −k Σ (x − s).
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
    """Say what is lost where a shift is far from the mean, and what to do; else an empty text."""
    n = held["count"]
    constant = held["least"] == held["most"]
    if constant.all():
        return ""  # one row, or nothing that varies: there is nothing to lose
    offset, variance = _spread(held["sum"] / n, np.diagonal(held["scatter"]) / n)
    text = _far_column("features", np.where(constant, 0, offset), variance)  # those become exact
    if text:
        return f"{text}; {_advice('shift', 'features')}"
    if "target_sum" in held:
        moments = _spread(held["target_sum"] / n, held["target_square"] / n)
        if text := _far_column("target", *moments):
            return f"{text}; {_advice('target_shift', 'target')}"
    # Fourth moments lose the square of what ‖x − s‖² has more than ‖x − mean‖².
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
    """Give how far the means are from the shift, and the variances."""
    return np.abs(mean), np.maximum(square - mean**2, 0)


def _far_column(name: str, offset: NDArray[Any], variance: NDArray[Any]) -> str:
    # Beyond 1e7 standard deviations what is left of the variance is rounding.
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
