"""Simulated rankings: true scores of several kinds, and scores with noise that models share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Rng = np.random.Generator


def _groups(n: int, rng: Rng) -> Matrix:
    centres = rng.normal(size=rng.integers(2, 5))
    return centres[rng.integers(len(centres), size=n)] + 0.1 * rng.normal(size=n)


def _hopeless(n: int, rng: Rng) -> Matrix:
    good = rng.random(n) < 0.4
    return np.where(good, 0.2 * rng.normal(size=n), rng.normal(size=n) - 2)


#: True scores of n models, with a spread of about 1.
KINDS: dict[str, Callable[[int, Rng], Matrix]] = {
    "normal": lambda n, rng: rng.normal(size=n),
    "uniform": lambda n, rng: rng.uniform(-1.7, 1.7, size=n),
    "heavy tails": lambda n, rng: rng.standard_t(3, size=n) / 1.7,
    "crowded top": lambda n, rng: -rng.exponential(size=n),
    "few stars": lambda n, rng: rng.exponential(size=n),
    "groups": _groups,
    "two groups": lambda n, rng: 0.15 * rng.normal(size=n) + rng.choice([-1.0, 1.0], size=n),
    "some hopeless": _hopeless,
}


@dataclass(frozen=True)
class Simulated:
    """A ranking whose true scores are known; the noise of a single model is about 1."""

    truth: Matrix  # (M,)
    scores: Matrix  # (M,)
    noise: Matrix  # resampled scores minus their mean, (200, M)
    covariance: Matrix  # (M, M)

    @property
    def member(self) -> dict[str, Matrix]:
        return {"scores": self.scores, "noise": self.noise, "covariance": self.covariance}


def simulate(kind: str, n_models: int, spread: float, rng: Rng) -> Simulated:
    """Simulate scores, with noise of different sizes of which models share a random part."""
    truth = spread * KINDS[kind](n_models, rng)
    sizes, shared = rng.uniform(0.7, 1.4, n_models), rng.uniform(0, 0.9)
    covariance = np.outer(sizes, sizes) * (shared + (1 - shared) * np.eye(n_models)) / (1 - shared)
    noise = rng.normal(size=(201, n_models)) @ np.linalg.cholesky(covariance).T
    return Simulated(truth, truth + noise[0], noise[1:] - noise[1:].mean(axis=0), covariance)


def draw_case(rng: Rng, most: int = 100) -> Simulated:
    """Simulate a ranking of any kind: 3 to `most` models, from close to far apart."""
    kind = str(rng.choice([*KINDS]))
    n_models = round(math.exp(rng.uniform(math.log(3), math.log(most))))
    return simulate(kind, n_models, math.exp(rng.uniform(math.log(0.2), math.log(10))), rng)
