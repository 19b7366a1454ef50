"""Values against formulas transcribed a second time, on inputs that the first time left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import transferability as tx

Array = NDArray[np.float64]


def evidence(features: Array, target: Array, intercept: bool) -> float:
    """LogME of one target by a grid over t = α/β and a refinement, rows of equal targets merged."""
    key = np.column_stack([features, target])
    _, first, counts = np.unique(key, axis=0, return_index=True, return_counts=True)
    x, y, n, total = features[first], target[first], len(first), len(features)
    if intercept:
        x, y = x - counts @ x / total, y - counts @ y / total
    root = np.sqrt(counts * n / total)
    u, s, _ = np.linalg.svd(x * root[:, None], full_matrices=False)
    kept = s > 1e-10 * s[0]
    squares, along = s[kept] ** 2, (u[:, kept].T @ (y * root)) ** 2
    outside = float(np.sum((y * root) ** 2) - along.sum())
    outside = outside if outside > 1e-12 * along.sum() else 0.0
    n -= intercept

    def value(log_t: Array) -> Array:
        t = np.exp(log_t)[:, None]
        q = np.sum(along * t / (squares + t), axis=1) + outside
        fit = n * np.log(n / q) - n - n * math.log(2 * math.pi)
        return (fit - np.sum(np.log1p(squares / t), axis=1)) / (2 * n)

    low, high = math.log(squares[-1]) - 30, math.log(squares[0]) + 30
    for _ in range(8):  # each round is 100 times finer
        grid = np.linspace(low, high, 2001)
        best, step = grid[value(grid).argmax()], grid[1] - grid[0]
        low, high = best - 10 * step, best + 10 * step
    return float(value(np.array([best]))[0])


def conflicting(n_rows: int, n_cols: int) -> tuple[Array, NDArray[np.int64]]:
    """Few-shot features of four classes, in which a row of class 0 occurs again as class 1."""
    rng = np.random.default_rng(n_rows)
    features = rng.normal(size=(n_rows, n_cols))
    labels = np.arange(n_rows) % 4
    features[-1], labels[-1] = features[0], 1
    return features, labels


@pytest.mark.parametrize("method", ["auto", "tridiagonal", "svd"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", [(13, 20), (30, 70), (40, 40)])
def test_a_row_with_two_labels_leaves_the_other_classes_bounded(
    shape: tuple[int, int], intercept: bool, method: str
) -> None:
    features, labels = conflicting(*shape)
    score = tx.logme(features, labels, task="classification", intercept=intercept, method=method)
    expected = [evidence(features, (labels == c).astype(float), intercept) for c in range(4)]
    np.testing.assert_allclose(score.per_target, expected, rtol=1e-9)
    assert score.warnings == ()


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_row_with_two_answers_leaves_the_other_targets_bounded(task: str) -> None:
    rng = np.random.default_rng(3)
    features, real = rng.normal(size=(24, 60)), rng.normal(size=(24, 3))
    targets = (real > 0).astype(float) if task == "multilabel" else real
    features[-1], targets[-1] = features[0], targets[0]
    targets[-1, 0] = 1 - targets[0, 0]
    score = tx.logme(features, targets, task=task)
    expected = [evidence(features, column, task == "regression") for column in targets.T]
    np.testing.assert_allclose(score.per_target, expected, rtol=1e-9)


def test_labels_among_the_features_stay_unbounded_beside_a_row_with_two_labels() -> None:
    features, labels = conflicting(30, 70)
    features[:, 5:] = 0.0  # five directions, too few for 29 rows
    features = np.hstack([features, (labels == 3)[:, None]])
    with pytest.warns(tx.errors.TransferabilityWarning, match="unbounded"):
        score = tx.logme(features, labels, task="classification")
    assert [math.isinf(value) for value in score.per_target] == [False, False, False, True]


def whitened_spread(features: Array, labels: NDArray[np.int64]) -> float:
    """‖ZA‖_* of NCTI for features of a large variance: whitening within classes, no shrinkage."""
    x = features - features.mean(0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    z = (u * s)[:, : len(x) - 1]
    codes, counts = np.unique(labels, return_counts=True)
    means = np.array([z[labels == c].mean(0) for c in codes])
    within = z - means[labels]
    scale = within.std(0)  # before the null space is left out, as in scikit-learn
    _, s, vt = np.linalg.svd(within / scale / math.sqrt(len(z)), full_matrices=False)
    kept = s > 1e-4
    whiten = vt[kept].T / s[kept] / scale[:, None]
    between = np.sqrt(counts / (len(codes) - 1))[:, None] * (means @ whiten)
    _, s, vt = np.linalg.svd(between, full_matrices=False)
    return float(np.linalg.norm(z @ whiten @ vt[s > 1e-4 * s[0]].T, "nuc"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n_rows", "n_classes"), [(5, 3), (6, 4), (8, 6), (8, 4), (30, 3)])
def test_ncti_has_no_direction_of_rounding(seed: int, n_rows: int, n_classes: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n_rows, 200))
    labels = np.arange(n_rows) % n_classes
    with pytest.warns(tx.errors.TransferabilityWarning, match="ncti is NaN"):
        score: Any = tx.ncti(features, labels, task="classification")
    assert score.spread == pytest.approx(whitened_spread(features, labels), rel=1e-6)


def test_equal_correlations_are_ties_of_parc_in_any_order_of_the_rows() -> None:
    rng = np.random.default_rng(7)
    labels = np.r_[np.arange(4), rng.integers(0, 4, 116)]
    rng.shuffle(labels)
    features = rng.normal(size=(120, 15)) + 0.8 * rng.normal(size=(4, 15))[labels]
    features = np.vstack([features, features[:30]])
    labels = np.r_[labels, (labels[:30] + 1) % 4]
    expected = float(tx.parc(features, labels))
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(labels))
        assert float(tx.parc(features[order], labels[order])) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_an_offset_costs_n_leep_no_digits(covariance: str) -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    features = rng.normal(size=(150, 8)) + 2 * np.eye(3, 8)[labels]
    features = np.round(features * 2**20) / 2**20  # exact with the offset
    n_leep: Callable[..., Any] = tx.n_leep
    found = [
        float(n_leep(features + offset, labels, n_components=None, covariance=covariance))
        for offset in (0.0, 2.0**20, 2.0**27)
    ]
    np.testing.assert_allclose(found[1:], found[0], rtol=1e-7)
