"""B-Tuning as the paper writes it, in loops and float64."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weights(scores: list[float], temperature: float) -> list[float]:
    """Softmax of the scores over the temperature."""
    powers = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def predictive(features: list[Array], means: list[Array], scores: list[float]) -> Array:
    """The teachers' mixed posterior predictive, (B, C)."""
    shares = weights(scores, 0.1)
    n_batch, n_outputs = len(features[0]), len(means[0])
    mixed = np.zeros((n_batch, n_outputs))
    for share, rows, mean in zip(shares, features, means, strict=True):
        for i in range(n_batch):
            for c in range(n_outputs):
                mixed[i, c] += share * math.fsum(
                    float(x) * float(m) for x, m in zip(rows[i], mean[c], strict=True)
                )
    return mixed


def regulariser(student: Array, mean: Array, mixed: Array) -> float:
    """The mean squared distance between the student's predictive and the mixed one."""
    total = []
    for i in range(len(student)):
        for c in range(len(mean)):
            ours = math.fsum(float(x) * float(m) for x, m in zip(student[i], mean[c], strict=True))
            total.append((ours - mixed[i, c]) ** 2)
    return math.fsum(total) / len(total)
