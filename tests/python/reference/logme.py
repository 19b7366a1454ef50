"""LogME from its definition: slow, obvious, and sharing no formula with the package.

The evidence of a target y (N,) given features F (N, D) is the Gaussian density

    N(y; 0, I/beta + F F^T/alpha),

its logarithm divided by N, maximised over alpha and beta. Here that N x N covariance is built and
factorised for every pair; nothing is decomposed once and reused. With an intercept of flat prior,
y and F are first projected on the N - 1 directions orthogonal to the vector of ones.

`logme_50_digits` does the same in decimal arithmetic, for data on which float64 is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Maximum:
    """Where the evidence of one target is highest, and how far rounding may move it."""

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


def best_alpha(features: Array, target: Array, ratio: float) -> float:
    """The alpha that is best while alpha/beta = ratio: a common factor of a covariance."""
    unscaled = ratio * np.eye(len(target)) + features @ features.T
    return float(len(target) / (target @ linalg.solve(unscaled, target, assume_a="pos")))


def at_ratio(features: Array, target: Array, ratio: float) -> Maximum:
    """The evidence at the best alpha and beta of this ratio."""
    alpha = best_alpha(features, target, ratio)
    value = log_marginal(features, target, alpha, alpha / ratio)
    return Maximum(value, alpha, alpha / ratio)


def without_features(target: Array) -> Maximum:
    """alpha = inf: y ~ N(0, I/beta), so 1/beta is the mean square of y."""
    variance = target @ target / len(target)
    return Maximum(float(-(np.log(2 * np.pi * variance) + 1) / 2), np.inf, float(1 / variance))


def without_noise(features: Array, target: Array) -> Maximum:
    """beta = inf, if every target is a linear function of the features: y ~ N(0, F F^T/alpha)."""
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

    # From where the least direction is all but free of the prior to where the largest is all
    # but ruled by it, in steps much finer than a logistic function is wide.
    grid = np.arange(np.log(max(1e-4 * least, 1e-11 * largest)), np.log(1e5 * largest), 0.25)
    values = [-negative(x) for x in grid]
    for i in np.argsort(values)[-4:]:
        bounds = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
        found = optimize.minimize_scalar(
            negative, bounds=bounds, method="bounded", options={"xatol": 1e-9}
        )
        candidates.append(at_ratio(features, target, float(np.exp(found.x))))
    best = max(candidates, key=lambda found: found.value)
    # Rounding of F F^T, relative to the least eigenvalue of the covariance.
    floor = best.alpha / best.beta + (least if rank == len(target) else 0.0)
    error = 0.0 if best.alpha == np.inf else 4 * np.finfo(float).eps * largest / floor
    return Maximum(best.value, best.alpha, best.beta, float(error))


def posterior_mean(features: Array, target: Array, ratio: float) -> Array:
    """The mean of the weights given the targets: (F^T F + alpha/beta I)^-1 F^T y."""
    matrix = features.T @ features + ratio * np.eye(features.shape[1])
    return np.linalg.solve(matrix, features.T @ target)


def logme_50_digits(features: Any, target: Any, ratio: float) -> Decimal:
    """The highest evidence near this alpha/beta, without intercept, in decimal arithmetic.

    The covariance has D + D rows by the matrix determinant lemma and the Woodbury identity:
    |tI + F F^T| = t^(N - D) |tI + F^T F|, and y^T (tI + F F^T)^-1 y = (y^T y - b^T m)/t with
    b = F^T y and (tI + F^T F) m = b. Cancellation is what the digits are for.
    """
    rows = [[Decimal(float(x)) for x in row] for row in features]
    y = [Decimal(float(value)) for value in target]
    n, d = len(rows), len(rows[0])
    with localcontext() as context:
        context.prec = 60
        gram = [
            [sum((row[i] * row[j] for row in rows), Decimal(0)) for j in range(i + 1)]
            for i in range(d)
        ]
        b = [sum((row[i] * v for row, v in zip(rows, y, strict=True)), Decimal(0)) for i in range(d)]
        square = sum((v * v for v in y), Decimal(0))
        two_pi = Decimal("6.28318530717958647692528676655900576839433879875021164194988918")

        def value(log_ratio: Decimal) -> Decimal:
            t = log_ratio.exp()
            pivots, half = _eliminate(gram, b, t)
            q = (square - sum((h * h / p for h, p in zip(half, pivots, strict=True)), Decimal(0)))
            logs = sum((p.ln() for p in pivots), Decimal(0)) - d * log_ratio
            return -(n * (two_pi * q / n).ln() + n + logs) / (2 * n)

        golden = (Decimal(5).sqrt() - 1) / 2
        low, high = (Decimal(ratio).ln() + Decimal(step) for step in ("-0.1", "0.1"))
        # The evidence is flat at its maximum: half the digits of t are all of its digits.
        while high - low > Decimal("1e-26"):
            left, right = high - golden * (high - low), low + golden * (high - low)
            if value(left) > value(right):
                high = right
            else:
                low = left
        return value((low + high) / 2)


def _eliminate(
    gram: list[list[Decimal]], b: list[Decimal], t: Decimal
) -> tuple[list[Decimal], list[Decimal]]:
    """Gaussian elimination of (tI + gram) m = b: the pivots, and b on the way."""
    matrix = [row[:] for row in gram]
    half = b[:]
    for i in range(len(b)):
        matrix[i][i] += t
    for k, pivot_row in enumerate(matrix):
        for i in range(k + 1, len(b)):
            factor = matrix[i][k] / pivot_row[k]
            for j in range(k + 1, i + 1):
                matrix[i][j] -= factor * matrix[j][k]
            half[i] -= factor * half[k]
    return [matrix[i][i] for i in range(len(b))], half
