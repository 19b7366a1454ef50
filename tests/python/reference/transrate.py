"""TransRate from its definition, by determinants of D x D matrices, one class after the other.

The coding rate of n rows Z (n, D) at a distortion eps is

    R(Z) = 1/2 ln det(I + Z^T Z / (n eps)),

and TransRate is R of all rows less a mean over the classes of R of their rows (Huang et al. 2022,
eq. 2 and 3), rows about the mean of all. The variants differ in what is done to the rows first,
and in that mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def coding_rate(rows: Array, eps: float) -> float:
    """R(Z), from the singular values of the rows, so that scales cost no digits."""
    total = 0.0
    for sigma in np.linalg.svd(rows, compute_uv=False):
        total += np.log1p(sigma**2 / (len(rows) * eps)) / 2
    return float(total)


def coding_rate_by_determinant(rows: Array, eps: float) -> float:
    """R(Z) as it is written."""
    matrix = np.eye(rows.shape[1]) + rows.T @ rows / (len(rows) * eps)
    return float(np.linalg.slogdet(matrix)[1] / 2)


def prepared(features: Any, variant: str) -> Array:
    """Rows about their mean; "trace": over the root of all their squares; "official": unit rows."""
    rows = np.array(features, np.float64)
    for _ in range(2):  # the second time takes away what rounding left of a large mean
        rows -= rows.mean(axis=0)
    if variant == "trace" and rows.any():
        rows /= np.sqrt((rows**2).sum())
    if variant == "official":
        for row in rows:
            norm = np.sqrt((row**2).sum())
            if norm > 0:
                row /= norm
    return rows


def rates(
    features: Any, labels: Any, variant: str = "paper", eps: float = 1e-4
) -> tuple[float, list[float]]:
    """R of all rows, and of those of each class that occurs."""
    rows = prepared(features, variant)
    classes = np.unique(labels)
    total, parts = coding_rate(rows, eps), []
    for c in classes:
        parts.append(coding_rate(rows[np.asarray(labels) == c], eps))
    if variant != "official":
        return total, parts
    rank = max(int(np.linalg.matrix_rank(rows.T @ rows)), 1)
    return total / rank, [part / rank for part in parts]


def transrate(features: Any, labels: Any, variant: str = "paper", eps: float = 1e-4) -> float:
    """The plain mean over classes in the paper's listing, by shares of the rows elsewhere."""
    total, parts = rates(features, labels, variant, eps)
    counts = np.unique(labels, return_counts=True)[1]
    weights = np.ones(len(counts)) / len(counts) if variant == "paper" else counts / len(labels)
    for weight, part in zip(weights, parts, strict=True):
        total -= weight * part
    return float(total)
