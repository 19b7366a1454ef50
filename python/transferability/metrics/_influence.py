"""Influence functions of scores: the derivative of a score by the weight of every row.

The influence of row i is N times the derivative of the score by the weight of that row, at weights
of one: with weights w the score is, to first order, its value plus (1/N) Σ (w_i - 1) influence_i.
The kernels compute influences with their option ``influence``; their headers derive the formulas.

The module of such a metric has a function ``influence(given, options, run)``, where ``run(**more)``
computes the score with more kernel options. It returns None where the score has no influences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .._metric.score import Score

__all__ = ["native"]

Rows = NDArray[np.float64]


def native(score: Score) -> Rows | None:
    """Return the influences that the kernel added to a score, or None.

    Without influences, ``details`` holds the option itself.
    """
    found = score.details["influence"]
    return found if isinstance(found, np.ndarray) else None
