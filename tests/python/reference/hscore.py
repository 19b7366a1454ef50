"""H-scores, linear fits and alignments from their definitions: slow, obvious, matrix by matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def class_means(features: Array, labels: NDArray[np.generic]) -> Array:
    """Each row replaced by the mean of its class."""
    means = np.empty_like(features, dtype=np.float64)
    for label in np.unique(labels):
        means[labels == label] = features[labels == label].mean(axis=0)
    return means


def covariance(rows: Array, divisor: int) -> Array:
    """Mean product of centred columns."""
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred / divisor


def h_score(features: Array, labels: NDArray[np.generic]) -> float:
    """Bao et al. 2019: tr(cov(f)^-1 cov(E[f|y])); what is lost in no direction has no inverse."""
    features = np.asarray(features, np.float64)
    n_samples = len(features)
    between = covariance(class_means(features, labels), n_samples - 1)
    inverse = np.linalg.pinv(covariance(features, n_samples - 1), rcond=1e-12, hermitian=True)
    return float(np.trace(inverse @ between))


def ledoit_wolf(features: Array) -> float:
    """Ledoit and Wolf 2004, lemmas 3.2 to 3.4: b^2/d^2 from one outer product a row."""
    centred = features - features.mean(axis=0)
    n_samples, n_features = centred.shape
    sample = covariance(features, n_samples)
    mean = np.trace(sample) / n_features
    spread = np.sum((sample - mean * np.eye(n_features)) ** 2) / n_features
    noise = sum(np.sum((np.outer(row, row) - sample) ** 2) for row in centred)
    noise /= n_features * n_samples**2
    return float(min(noise, spread) / spread) if spread > 0 and noise > 0 else 0.0


def oas(features: Array) -> float:
    """Chen et al. 2010 as scikit-learn has it, which does not shrink one feature."""
    n_samples, n_features = features.shape
    if n_features == 1:
        return 0.0
    sample = covariance(features, n_samples)
    mean_square = (np.trace(sample) / n_features) ** 2
    square = np.mean(sample**2)
    down = (n_samples + 1) * (square - mean_square / n_features)
    return float(min((square + mean_square) / down, 1.0)) if down > 0 else 1.0


def shrunk_h_score(features: Array, labels: NDArray[np.generic], shrinkage: float) -> float:
    """Ibrahim et al. 2022: only cov(f) is shrunk; it has 1/N, the other 1/(N-1)."""
    features = np.asarray(features, np.float64)
    n_samples, n_features = features.shape
    sample = covariance(features, n_samples)
    mean = np.trace(sample) / n_features
    shrunk = (1 - shrinkage) * sample + shrinkage * mean * np.eye(n_features)
    between = (1 - shrinkage) * covariance(class_means(features, labels), n_samples - 1)
    return float(np.trace(np.linalg.pinv(shrunk, rcond=1e-15) @ between))


def linear_errors(features: Array, targets: Array, ridge: float) -> tuple[Array, Array]:
    """Mean squared error and squared weights of each output of a linear fit with intercept.

    The penalty N ridge |w|^2 is a row of sqrt(N ridge) for each weight, with target 0.
    """
    features, targets = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    n_samples, n_features = features.shape
    centred, free = features - features.mean(axis=0), targets - targets.mean(axis=0)
    scale = np.linalg.norm(centred, axis=0) if ridge == 0 else np.ones(n_features)
    scale[scale == 0] = 1.0  # without a penalty, the unit of a column does not matter
    rows = np.vstack([centred / scale, np.sqrt(n_samples * ridge) * np.eye(n_features)])
    padded = np.vstack([free, np.zeros((n_features, free.shape[1]))])
    weights = np.linalg.lstsq(rows, padded, rcond=None)[0] / scale[:, None]
    residual = free - centred @ weights
    return np.mean(residual**2, axis=0), np.sum(weights**2, axis=0)


def lin_mse(
    features: Array, targets: Array, ridge: float = 0.0, penalty: bool = False, total: bool = False
) -> float:
    """Nguyen et al. 2023, negative mean squared error, as their code or as their definition."""
    errors, squares = linear_errors(features, targets, ridge)
    each = errors + ridge * squares if penalty else errors
    return -float(each.sum() if total else each.mean())


def lfc(features: Array, labels: NDArray[np.generic]) -> float:
    """Deshpande et al. 2021: correlation of the entries of F F^T and of +1 (same class) or -1."""
    features = np.asarray(features, np.float64)
    similar = features @ features.T
    same = np.where(labels[:, None] == labels[None, :], 1.0, -1.0)
    return float(np.corrcoef(similar.ravel(), same.ravel())[0, 1])


def cka(features: Array, targets: Array) -> float:
    """Kornblith et al. 2019, eq. (2) with (3): the two centred N x N Gram matrices compared."""
    n_samples = len(features)
    centre = np.eye(n_samples) - 1 / n_samples
    x = np.asarray(features, np.float64)
    k, m = (centre @ rows @ rows.T @ centre for rows in (x, np.asarray(targets, np.float64)))
    return float(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def hsic(k: Array, m: Array) -> float:
    """Song et al. 2012, theorem 2: the unbiased estimate, from Gram matrices without diagonal."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    ones = np.ones(n)
    product = np.trace(k @ m) + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return float((product - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3)))


def unbiased_cka(features: Array, targets: Array) -> float:
    """Nguyen et al. 2021, eq. (2) with (3), of one batch; rows about their mean."""
    if len(features) < 4:
        raise ValueError("HSIC_1 is undefined")
    x, y = (np.asarray(rows, np.float64) for rows in (features, targets))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    k, m = x @ x.T, y @ y.T
    own = [hsic(gram, gram) * len(x) * (len(x) - 3) for gram in (k, m)]
    # Where it is 0, only rounding is left: of each of n(n - 1) entries, its square.
    if any(o <= (1e-14 * len(x) * g.max()) ** 2 for o, g in zip(own, (k, m), strict=True)):
        raise ValueError("0/0")
    return hsic(k, m) * len(x) * (len(x) - 3) / float(np.sqrt(own[0] * own[1]))


def indicators(labels: NDArray[np.generic]) -> Array:
    """One 0/1 column a class."""
    return (labels[:, None] == np.unique(labels)).astype(np.float64)
