"""Naive transcriptions of the definitions of the health of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def entropy_rank(values: Array, eps: float = 0.0) -> float:
    p = values / values.sum() + eps
    return float(np.exp(-sum(q * np.log(q) for q in p if q > 0)))


def naive_effective_rank(x: Array, convention: str) -> float:
    if convention == "rankme":
        return entropy_rank(np.linalg.svd(x, compute_uv=False), 1e-7)
    centred = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    return entropy_rank(centred if convention == "centred" else centred**2 / len(x))


def naive_participation_ratio(x: Array) -> float:
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    return float(values.sum() ** 2 / (values**2).sum())


def naive_alpha(x: Array, rank: int) -> float:
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2 / len(x)
    k = np.arange(11, min(100, rank) + 1)
    design = np.stack([-np.log(k), np.ones(len(k))], axis=1)
    root = np.sqrt(1 / k)
    solved = np.linalg.lstsq(design * root[:, None], np.log(values[k - 1]) * root, rcond=None)
    return float(solved[0][0])


def naive_lidar(x: Array, samples: Array) -> float:
    names = np.unique(samples)
    means = np.stack([x[samples == name].mean(axis=0) for name in names])
    offsets = means - means.mean(axis=0)
    between = offsets.T @ offsets / (len(names) - 1)
    residuals = x - means[np.searchsorted(names, samples)]
    within = residuals.T @ residuals / (len(x) - len(names)) + 1e-4 * np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(within)
    root = vectors / np.sqrt(values) @ vectors.T
    found = np.maximum(np.linalg.eigvalsh(root @ between @ root), 0)
    return entropy_rank(found, 1e-8)
