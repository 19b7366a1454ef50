"""EMMS from its definition: least squares by SVD, and weights by comparing all faces or by descent.

With F (N, D) the features and E_1 … E_K (N, D2) the label embeddings, every column standardised,
EMMS looks for weights on the simplex and a linear map W that minimise

    |F W - sum_k weights_k E_k|^2  [+ N ridge |W|^2].

Here nothing is shared between embeddings and no Gram matrix of the features is formed.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
DATA = Path(__file__).parents[2] / "data"
TEXT = (DATA / "golden_emms.json").read_text(encoding="utf-8")
CASES: dict[str, dict[str, Any]] = {case["key"]: case for case in json.loads(TEXT)["cases"]}


def inputs(key: str) -> tuple[NDArray[Any], Array]:
    """Features and label embeddings of a recorded case."""
    with np.load(DATA / "golden_emms.npz") as file:
        return file[f"{key}__F"], file[f"{key}__E"]


def standardised(values: NDArray[Any], eps: float) -> Array:
    """Every column about its mean, by its population std + eps; zeros where constant."""
    values = np.asarray(values, float)
    varies = (values != values[:1]).any(axis=0)
    centred = np.where(varies, values - values.mean(axis=0), 0.0)
    centred -= centred.mean(axis=0)
    return centred / np.where(varies, centred.std(axis=0) + eps, 1)


def left_over(features: NDArray[Any], views: NDArray[Any], ridge: float = 0.0) -> Array:
    """M with weights^T M weights the smallest sum of squares that a linear map leaves."""
    # Fits do not depend on the units of the features, and with eps = 0 ridges do not either.
    x, e = standardised(features, 0.0), standardised(views, 1e-8)
    n_samples = len(e)
    if ridge > 0:  # rows that pull the map towards zero, the textbook's way
        x = np.vstack([x, np.sqrt(n_samples * ridge) * np.eye(x.shape[1])])
        e = np.concatenate([e, np.zeros((len(x) - n_samples, *e.shape[1:]))])
    # Directions that Gram matrices cannot tell from rounding are none.
    flat = e.reshape(len(e), -1)
    residuals = flat - x @ np.linalg.lstsq(x, flat, 1e-7)[0]
    return np.einsum("ijk,ijl->kl", residuals.reshape(e.shape), e)


def best_weights(matrix: Array) -> tuple[Array, float]:
    """Minimise weights^T M weights on the simplex by looking at all of its faces."""
    n_views = len(matrix)
    best, least = np.full(n_views, 1 / n_views), np.inf
    for size in range(1, n_views + 1):
        for face in itertools.combinations(range(n_views), size):
            part = matrix[np.ix_(face, face)]
            bordered = np.block(
                [[part, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]]
            )
            solved = np.linalg.lstsq(bordered, np.eye(size + 1)[-1], None)[0][:-1]
            if (solved < -1e-12).any() or abs(solved.sum() - 1) > 1e-9:
                continue
            weights = np.zeros(n_views)
            weights[list(face)] = solved
            value = float(weights @ matrix @ weights)
            if value < least:
                best, least = weights, value
    return best, least


def by_descent(matrix: Array) -> float:
    """The same minimum, by a general method that knows nothing of faces."""
    n_views = len(matrix)
    scale = max(matrix.diagonal().max(), 1e-300)
    result = optimize.minimize(
        lambda w: w @ matrix @ w / scale,
        np.full(n_views, 1 / n_views),
        jac=lambda w: 2 * matrix @ w / scale,
        bounds=[(0, 1)] * n_views,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return float(result.fun * scale)


def emms(features: NDArray[Any], views: NDArray[Any], ridge: float = 0.0) -> tuple[float, Array]:
    """The score, minus the mean square that is left per entry, and the weights."""
    weights, least = best_weights(left_over(features, views, ridge))
    return -least / (views.shape[0] * views.shape[1]), weights
