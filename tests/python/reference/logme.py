"""LogME from its definition: slow, obvious, and sharing no formula with the package.

The evidence of a target y (N,) given features F (N, D) is the Gaussian density

    N(y; 0, I/beta + F F^T/alpha),

its logarithm divided by N, maximised over alpha and beta. Here that N x N covariance is built and
factorised for every pair; nothing is decomposed once and reused. With an intercept of flat prior,
y and F are first projected on the N - 1 directions orthogonal to the vector of ones.

`evidence_in_decimals` is for data on which float64 is not enough.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Maximum:
    """Where the evidence of one target is highest, and how far rounding here may have moved it."""

    value: float
    alpha: float
    beta: float
    error: float = 0.0


def without_mean(features: Array, target: Array) -> tuple[Array, Array]:
    """Coordinates along N - 1 orthonormal directions that are orthogonal to the ones."""
    directions = linalg.null_space(np.ones((1, len(target))))
    return directions.T @ features, directions.T @ target


def log_marginal(features: Array, target: Array, alpha: float, beta: float) -> float:
    """ln N(y; 0, I/beta + F F^T/alpha)/N."""
    n_samples = len(target)
    covariance = np.eye(n_samples) / beta + features @ features.T / alpha
    factor = linalg.cho_factor(covariance)
    log_determinant = 2 * np.log(np.diag(factor[0])).sum()
    square = target @ linalg.cho_solve(factor, target)
    return float(-(n_samples * np.log(2 * np.pi) + log_determinant + square) / (2 * n_samples))


def at_ratio(features: Array, target: Array, ratio: float) -> Maximum:
    """The evidence at the best alpha and beta with alpha/beta = ratio.

    alpha is then a common factor of the inverse covariance, and its best value is the one for
    which the quadratic form of the density is N.
    """
    covariance_by_alpha = ratio * np.eye(len(target)) + features @ features.T
    square = target @ linalg.solve(covariance_by_alpha, target, assume_a="pos")
    alpha = float(len(target) / square)
    return Maximum(log_marginal(features, target, alpha, alpha / ratio), alpha, alpha / ratio)


def without_features(target: Array) -> Maximum:
    """alpha = inf: y ~ N(0, I/beta), so 1/beta is the mean square of y."""
    variance = float(target @ target / len(target))
    return Maximum(-(np.log(2 * np.pi * variance) + 1) / 2, np.inf, 1 / variance)


def without_noise(features: Array, target: Array) -> Maximum:
    """beta = inf, where F F^T has full rank: y ~ N(0, F F^T/alpha)."""
    n_samples = len(target)
    gram = features @ features.T
    alpha = n_samples / (target @ linalg.solve(gram, target, assume_a="pos"))
    log_determinant = np.linalg.slogdet(gram / alpha)[1]
    value = -(n_samples * (np.log(2 * np.pi) + 1) + log_determinant) / (2 * n_samples)
    return Maximum(float(value), float(alpha), np.inf)


def evidence(features: Any, target: Any, intercept: bool = False) -> Maximum:
    """The highest evidence of one target, over alpha and beta including their limits."""
    features, target = np.asarray(features, np.float64), np.asarray(target, np.float64)
    if intercept:
        features, target = without_mean(features, target)
    singular = linalg.svdvals(features)
    rank = int((singular > 1e-10 * singular[0]).sum()) if singular[0] > 0 else 0
    flat = without_features(target)
    if rank == 0:
        return flat
    coefficients = linalg.lstsq(features, target, cond=1e-10)[0]
    residual = linalg.norm(target - features @ coefficients) / linalg.norm(target)
    if residual < 1e-9 and rank < len(target):
        return Maximum(np.inf, 0.0, np.inf)  # an exact fit in fewer dimensions than samples
    candidates = [flat]
    if rank == len(target):
        candidates.append(without_noise(features, target))
    largest, least = singular[0] ** 2, singular[rank - 1] ** 2

    def negative(log_ratio: float) -> float:
        return -at_ratio(features, target, float(np.exp(log_ratio))).value

    # From where even the least direction is free of the prior to where the largest is ruled by
    # it, in steps much finer than the terms of the evidence are wide (about 4).
    grid = np.arange(np.log(max(1e-8 * least, 1e-12 * largest)), np.log(1e5 * largest), 0.25)
    values = [negative(x) for x in grid]
    for i in range(1, len(grid) - 1):
        if values[i] > min(values[i - 1], values[i + 1]):
            continue
        found = optimize.minimize_scalar(
            negative, bounds=grid[[i - 1, i + 1]], method="bounded", options={"xatol": 1e-9}
        )
        candidates.append(at_ratio(features, target, float(np.exp(found.x))))
    best = max(candidates, key=lambda found: found.value)
    if best.alpha == np.inf:
        return best
    # F F^T is rounded relative to its largest eigenvalue, and matters relative to the least one
    # of the covariance.
    floor = best.alpha / best.beta + (least if rank == len(target) else 0.0)
    error = 4 * np.finfo(float).eps * largest / floor
    return Maximum(best.value, best.alpha, best.beta, float(error))


def posterior_mean(features: Array, target: Array, ratio: float) -> Array:
    """The mean of the weights given the target: (F^T F + alpha/beta I)^-1 F^T y."""
    matrix = features.T @ features + ratio * np.eye(features.shape[1])
    return np.linalg.solve(matrix, features.T @ target)


def evidence_in_decimals(features: Any, target: Any, ratio: float, digits: int = 50) -> Decimal:
    """The highest evidence within 10 % of this alpha/beta, without intercept, to many digits.

    With t = alpha/beta, G = F^T F and b = F^T y, and the best alpha for each t:
    |tI + F F^T| = t^(N - D) |tI + G| and y^T (tI + F F^T)^-1 y = (y^T y - b^T (tI + G)^-1 b)/t.
    These cancel badly, which is what the digits are for.
    """
    with decimal.localcontext() as context:
        context.prec = digits
        rows = [[Decimal(float(x)) for x in row] for row in features]
        y = [Decimal(float(value)) for value in target]
        n, d = len(rows), len(rows[0])
        gram = [[_dot((r[i], r[j]) for r in rows) for j in range(i + 1)] for i in range(d)]
        b = [_dot((r[i], v) for r, v in zip(rows, y, strict=True)) for i in range(d)]
        square = _dot((v, v) for v in y)
        two_pi = Decimal("6.28318530717958647692528676655900576839433879875021164194988918")

        def value(log_ratio: Decimal) -> Decimal:
            pivots, reduced = _eliminate(gram, b, log_ratio.exp())
            q = square - sum(h * h / p for h, p in zip(reduced, pivots, strict=True))
            log_determinant = sum(p.ln() for p in pivots) - d * log_ratio
            return -(n * (two_pi * q / n).ln() + n + log_determinant) / (2 * n)

        golden = (Decimal(5).sqrt() - 1) / 2
        low, high = (Decimal(ratio).ln() + Decimal(step) for step in ("-0.1", "0.1"))
        # The evidence is flat at its maximum: an error of 1e-12 in ln t is one of 1e-24 there.
        while high - low > Decimal("1e-12"):
            left, right = high - golden * (high - low), low + golden * (high - low)
            low, high = (low, right) if value(left) > value(right) else (left, high)
        return value((low + high) / 2)


def _dot(pairs: Any) -> Decimal:
    return sum((a * b for a, b in pairs), Decimal(0))


def _eliminate(
    gram: list[list[Decimal]], b: list[Decimal], t: Decimal
) -> tuple[list[Decimal], list[Decimal]]:
    """Gaussian elimination of (tI + G) m = b, G by its lower triangle: pivots and reduced b."""
    matrix, reduced = [row[:] for row in gram], b[:]
    for i in range(len(b)):
        matrix[i][i] += t
    for k in range(len(b)):
        for i in range(k + 1, len(b)):
            factor = matrix[i][k] / matrix[k][k]
            for j in range(k + 1, i + 1):
                matrix[i][j] -= factor * matrix[j][k]
            reduced[i] -= factor * reduced[k]
    return [matrix[i][i] for i in range(len(b))], reduced
