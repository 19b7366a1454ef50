"""GBC from its definition: a Gaussian a class, and all ordered pairs of them.

    GBC = - sum_{i != j} exp(-D_B(i, j)),
    D_B = 1/8 (m_i - m_j)^T S^-1 (m_i - m_j) + 1/2 ln(det S / sqrt(det S_i det S_j)),
    S = (S_i + S_j)/2

(Pandy et al. 2022, eq. 3 and 4), with population variances of at least 1e-4, after a projection on
the first principal components of all rows. "google" is the spherical form of the authors' code,
where the logarithm is that of the one variance and not of its D-th power.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLOOR = 1e-4
LEAST = 1e-12  # of the largest variance: below, a component is left out


def principal(features: Any, n_components: int | None) -> Array:
    """Coordinates along the first principal components that have any variance."""
    rows = np.array(features, np.float64)
    for _ in range(2):
        rows -= rows.mean(axis=0)
    if n_components is None:
        return rows
    _, sigma, basis = np.linalg.svd(rows, full_matrices=False)
    kept = min(n_components, int((sigma**2 > LEAST * sigma[0] ** 2).sum()))
    return rows @ basis[:kept].T


def covariance(rows: Array, kind: str) -> Array:
    """The covariance of the Gaussian of a class."""
    d = rows.shape[1]
    if kind == "full":
        centred = rows - rows.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        return (vectors * np.maximum(values, FLOOR)) @ vectors.T
    variances = np.maximum(((rows - rows.mean(axis=0)) ** 2).mean(axis=0), FLOOR)
    return np.diag(variances) if kind == "diagonal" else variances.sum() / max(d, 1) * np.eye(d)


def bhattacharyya(a: Array, b: Array, kind: str) -> float:
    """D_B of the Gaussians of two sets of rows."""
    cov_a, cov_b = covariance(a, kind), covariance(b, kind)
    mean = (cov_a + cov_b) / 2
    difference = a.mean(axis=0) - b.mean(axis=0)
    logs = [np.linalg.slogdet(matrix)[1] for matrix in (mean, cov_a, cov_b)]
    spread = (logs[0] - (logs[1] + logs[2]) / 2) / 2
    if kind == "google":
        spread /= max(a.shape[1], 1)
    return float(difference @ np.linalg.solve(mean, difference) / 8 + spread)


def gbc(
    features: Any, labels: Any, kind: str = "spherical", n_components: int | None = 64
) -> float:
    """The sum over ordered pairs of classes that occur."""
    rows, labels = principal(features, n_components), np.asarray(labels)
    total = 0.0
    for i in np.unique(labels):
        for j in np.unique(labels):
            if i != j:
                total -= np.exp(-bhattacharyya(rows[labels == i], rows[labels == j], kind))
    return float(total)
