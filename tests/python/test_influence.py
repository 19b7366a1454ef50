"""Influences of rows: derivatives of the score by weights, from naive weighted transcriptions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import transferability as tx
from transferability._inputs.inputs import read_inputs
from transferability._metric.plan import plan
from transferability._scoring.evaluate import Settings, evaluate
from transferability._uncertainty.influence import compute_influence

Rows = NDArray[np.float64]
STEP = 1e-5  # central differences: an error of STEP² times a third derivative of about 1


def influences(
    metric: str,
    features: Any,
    labels: Any,
    task: str = "auto",
    *,
    spectrum: bool = False,
    **more: Any,
) -> tuple[float, Any]:
    """The score, and what its module says of the rows."""
    sources = {key: more.pop(key) for key in ("source_probs", "source_labels") if key in more}
    given = read_inputs(features, labels, task, **sources)
    options = plan(metric, given.target.task, more, given.provides())[0][metric]

    def run(**native: Any) -> Any:
        settings = Settings(method="svd" if spectrum else "auto")
        found = evaluate(given, {metric: {**options, **native}}, settings)[metric]
        assert not isinstance(found, Exception), found
        return found

    return float(run()), compute_influence(metric, run)


def differences(value: Callable[[Rows], float], n: int, rows: Any) -> list[float]:
    found = []
    for row in rows:
        up, down = np.ones(n), np.ones(n)
        up[row] += STEP
        down[row] -= STEP
        found.append(n * (value(up) - value(down)) / (2 * STEP))
    return found


def weighted_evidence(x: Rows, targets: Rows, weights: Rows, intercept: bool) -> float:
    """The mean over targets of the largest log evidence per sample, rows counted by weights."""
    from scipy.optimize import minimize_scalar

    n = weights.sum()
    if intercept:
        x = x - weights @ x / n
        targets = targets - weights @ targets / n
        n -= 1
    root = np.sqrt(weights)
    left, singular, _ = np.linalg.svd(x * root[:, None], full_matrices=False)
    values = singular**2

    def of(y: Rows) -> float:
        along = (left.T @ (root * y)) ** 2
        outside = max(float(weights @ (y * y) - along.sum()), 0.0)

        def minus(log_t: float) -> float:
            t = np.exp(log_t)
            q = outside + np.sum(along * t / (values + t))
            return float(
                -(n * np.log(n / q) - np.sum(np.log1p(values / t)) - n - n * np.log(2 * np.pi))
                / (2 * n)
            )

        grid = np.linspace(-8, 18, 105)
        best = int(np.argmin([minus(point) for point in grid]))
        ends = grid[max(best - 1, 0)], grid[min(best + 1, 104)]
        return -float(minimize_scalar(minus, bounds=ends, options={"xatol": 1e-9}).fun)

    return float(np.mean([of(y) for y in targets.T]))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("spectrum", [False, True])
def test_logme_of_z_scores(spectrum: bool, intercept: bool) -> None:
    # The mean and the scales of the columns depend on the weights too.
    rng = np.random.default_rng(5)
    x = (rng.normal(size=(60, 5)) + 1.5) * [1.0, 30.0, 0.1, 2.0, 1.0]
    x[:, 3] = 4.0
    targets = x[:, :2] / [1.0, 30.0] + 2 * rng.normal(size=(60, 2)) + 1
    options = {"intercept": intercept, "standardize": True, "spectrum": spectrum}
    value, found = influences("logme", x, targets, "regression", **options)

    def weighted(weights: Rows) -> float:
        mean = weights @ x / weights.sum()
        scale = np.sqrt(weights @ (x - mean) ** 2 / weights.sum())
        z = (x - mean) / np.where(scale > 1e-12, scale, np.inf)
        return weighted_evidence(z, targets, weights, intercept)

    assert value == pytest.approx(weighted(np.ones(60)), abs=1e-8)
    rows = [0, 7, 13]
    assert found[rows] == pytest.approx(differences(weighted, 60, rows), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("shape", [(60, 5), (20, 30)])
@pytest.mark.parametrize("kind", ["classes", "classes and intercept", "regression", "multilabel"])
def test_logme(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(shape[0] + 9)
    x = rng.normal(size=shape) + 1.5
    noise = 2 * rng.normal(size=(shape[0], 2))
    labels: Any = (x[:, 0] + noise[:, 0] > 1.5).astype(int) + (x[:, 1] > 2)
    labels[:3] = 0, 1, 2
    targets, task, intercept = np.eye(3)[labels], "classification", kind.endswith("intercept")
    if kind == "regression":
        labels = targets = x[:, :2] + noise
        task, intercept = "regression", True
    if kind == "multilabel":
        targets = (x[:, :2] + noise > 1.5).astype(float)
        labels, task = np.column_stack([targets, np.ones(shape[0])]), "multilabel"
    value, found = influences("logme", x, labels, task, intercept=intercept)

    def weighted(weights: Rows) -> float:
        return weighted_evidence(x, targets, weights, intercept)

    assert value == pytest.approx(weighted(np.ones(shape[0])), abs=1e-8)
    rows = [0, 7, 13]
    expected = differences(weighted, shape[0], rows)
    # The maximum is known to 1e-9 in ln t, the differences to 1e-11/STEP.
    assert found[rows] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    if shape[0] > shape[1]:  # two ways to the same; at one t they agree to 1e-8 (influence.rs)
        again = influences("logme", x, labels, task, intercept=intercept, spectrum=True)[1]
        assert again[rows] == pytest.approx(expected, rel=1e-4, abs=1e-5)
        # Each has its own maximum, known to some 1e-9 in ln t.
        assert np.abs(again - found).max() <= 1e-7 * np.abs(found).max()


def test_logme_where_the_features_say_nothing() -> None:
    labels = np.arange(40) % 2
    value, found = influences("logme", np.repeat(np.eye(5)[:, :3], 8, axis=0), labels)
    assert found is not None
    flat = np.array([-(np.log(2 * np.pi * 0.5) + 1) / 2] * 2)
    assert value >= flat.mean() - 1e-12
    noise = np.random.default_rng(3).normal(size=(40, 1)) * (1 - 2 * labels[:, None]) ** 2
    noise -= np.array([noise[labels == c].mean() for c in (0, 1)])[labels][:, None]
    value, found = influences("logme", noise, labels)
    assert value == pytest.approx(flat.mean())  # no signal
    # Each 0/1 column is noise of variance ½ about 0: ½ (ln 2 - ln 2π - 2 y²) - value, over both.
    own = (np.log(2.0) - np.log(2 * np.pi)) / 2 - 0.5 - flat.mean()
    assert found == pytest.approx(np.full(40, own))


def test_an_exact_fit_has_no_influences() -> None:
    labels = np.arange(30) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert influences("logme", np.eye(3)[labels], labels)[1] is None


def test_h_score() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = rng.normal(size=(60, 5)) + np.eye(3, 5)[labels] + 3

    def weighted(weights: Rows) -> float:
        centred = x - weights @ x / weights.sum()
        total = (centred * weights[:, None]).T @ centred
        sums = np.stack([weights[labels == c] @ centred[labels == c] for c in range(3)])
        counts = np.array([weights[labels == c].sum() for c in range(3)])
        return float(np.trace(np.linalg.solve(total, (sums / counts[:, None]).T @ sums)))

    value, found = influences("h_score", x, labels)
    assert value == pytest.approx(weighted(np.ones(60)))
    # Cancellation in the differences: 1e-15/STEP times N.
    assert found[[0, 1, 5]] == pytest.approx(differences(weighted, 60, [0, 1, 5]), abs=1e-7)
    assert influences("h_score", x, labels, shrinkage=0.1)[1] is None
    assert influences("h_score", x[:, [0, 0, 1]], labels)[1] is None  # which direction counts?


@pytest.mark.parametrize("logits", [False, True])
def test_leep(logits: bool) -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(50) % 3
    raw = rng.normal(size=(50, 4)) + np.eye(3, 4)[labels]
    probs = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)

    def weighted(weights: Rows) -> float:
        joint = np.stack([weights[labels == c] @ probs[labels == c] for c in range(3)])
        q = joint / joint.sum(axis=0)
        return float(weights @ np.log((q[labels] * probs).sum(axis=1)) / weights.sum())

    given = {"source_probs": raw if logits else probs, "from_logits": logits}
    value, found = influences("leep", None, labels, **given)
    assert value == pytest.approx(weighted(np.ones(50)))
    assert found[[0, 1, 8]] == pytest.approx(differences(weighted, 50, [0, 1, 8]), abs=1e-7)
    assert influences("leep", None, labels, normalize="entropy_ratio", **given)[1] is None


def test_nce() -> None:
    rng = np.random.default_rng(2)
    labels, source = rng.integers(0, 3, 50), rng.integers(5, 9, 50)

    def weighted(weights: Rows) -> float:
        terms = np.empty(50)
        for i in range(50):
            same = source == source[i]
            both = same & (labels == labels[i])
            terms[i] = np.log(weights[both].sum() / weights[same].sum())
        return float(weights @ terms / weights.sum())

    value, found = influences("nce", None, labels, source_labels=source)
    assert value == pytest.approx(weighted(np.ones(50)))
    assert found[[0, 1, 8]] == pytest.approx(differences(weighted, 50, [0, 1, 8]), abs=1e-7)


def test_ridge_probe() -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(40) % 3
    x = rng.normal(size=(40, 6)) + np.eye(3, 6)[labels]
    value, found = influences("ridge_probe", x, labels, ridges=[0.1])
    unit = (x - x.mean(axis=0)) / x.std(axis=0)
    hits = []
    for i in range(40):
        rest = np.arange(40) != i
        z = np.column_stack([np.ones(39), unit[rest]])
        penalty = 40 * 0.1 * np.diag([0.0] + [1.0] * 6)
        coef = np.linalg.solve(z.T @ z + penalty, z.T @ np.eye(3)[labels[rest]])
        hits.append(float(np.argmax(coef[0] + unit[i] @ coef[1:]) == labels[i]))
    assert value == np.mean(hits)
    assert found == pytest.approx(np.array(hits) - value)
    assert influences("ridge_probe", x, x[:, :2])[1] is None  # R² goes by the jackknife


def test_knn() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(40) % 3
    x = rng.normal(size=(40, 4)) + np.eye(3, 4)[labels]
    value, found = influences("knn", x, labels, k=3)
    square = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(square, np.inf)

    def hit(i: int, without: int = -1) -> float:
        near = [j for j in np.argsort(square[i]) if j != without][:3]
        distance = np.sqrt(square[i, near])
        votes = [((labels[near] == c).sum(), -distance[labels[near] == c].sum()) for c in range(3)]
        return float(max(range(3), key=lambda c: votes[c]) == labels[i])

    for j in (0, 1, 17):
        moved = sum(hit(i) - hit(i, j) for i in range(40) if i != j)
        assert found[j] == pytest.approx(hit(j) - value + moved / 2)
    assert influences("knn", x, labels, k=39)[1] is None  # no neighbour is left to take a place


@pytest.mark.parametrize("metric", ["logme", "h_score", "knn", "ridge_probe"])
def test_rows_keep_their_influence_in_another_order(metric: str) -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, 90)
    x = rng.normal(size=(90, 8)) + np.eye(3, 8)[labels]
    order = rng.permutation(90)
    first, second = influences(metric, x, labels), influences(metric, x[order], labels[order])
    assert second[1] == pytest.approx(first[1][order], rel=1e-9, abs=1e-10)


def test_metrics_without_influences_have_none() -> None:
    labels = np.arange(30) % 3
    x = np.random.default_rng(7).normal(size=(30, 4))
    assert influences("transrate", x, labels)[1] is None
    assert isinstance(tx.transrate(x, labels), tx.Score)
