"""Metrics of many classes against their definitions: pairs, blocks, ties and threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from metric_tester import quietly as quiet_call
from numpy.typing import NDArray
from reference import probe as reference
from reference import samples

import transferability as tx

Array = NDArray[np.float64]
METRICS = ("ridge_probe", "gbc", "h_score", "lda", "sfda", "ncti", "logme")


def quietly(function: Any, features: Any, labels: Any, *arguments: Any, **options: Any) -> Any:
    """Score classes, of which there are more than the package would guess."""
    return quiet_call(function, features, labels, *arguments, task="classification", **options)


def sample(
    n: int, d: int, n_classes: int, *, spread: float = 1.0, seed: int = 3
) -> tuple[Array, NDArray[np.int64]]:
    """Classes of at least one row, the first ones with more; equal covariances."""
    rng = np.random.default_rng(seed)
    more = (n_classes * rng.random(n - n_classes) ** 2).astype(int)
    labels = rng.permutation(np.concatenate([np.arange(n_classes), more]))
    features = rng.normal(size=(n, d)) + spread * rng.normal(size=(n_classes, d))[labels]
    return features, labels


def left_out_errors(features: Array, labels: Any, ridge: float) -> tuple[Array, Array]:
    """0/1 columns and the errors of rows that are left out, (N, C), from the hat matrix."""
    x = reference.standardised(features)
    n, d = x.shape
    targets = np.eye(labels.max() + 1)[np.unique(labels, return_inverse=True)[1]]
    hat = x @ np.linalg.solve(x.T @ x + n * ridge * np.eye(d), x.T) + 1 / n
    return targets, (targets - hat @ targets) / (1 - np.diag(hat))[:, None]


def accuracy(features: Array, labels: Any, ridges: Any) -> tuple[float, float]:
    """Leave-one-out accuracy at the ridge of the least squared error, and that ridge."""
    found = [left_out_errors(features, labels, ridge) for ridge in ridges]
    best = int(np.argmin([(errors**2).sum() for _, errors in found]))
    targets, errors = found[best]
    right = (targets - errors).argmax(axis=1) == targets.argmax(axis=1)
    return float(right.mean()), float(ridges[best])


def test_the_oracle_refits_without_each_row() -> None:
    features, labels = sample(90, 6, 30)
    ridges = [1e-4, 0.1, 3.0]
    expected = reference.ridge_accuracy(features, labels, ridges)
    assert accuracy(features, labels, ridges) == expected


# Blocks are of 512 rows and of 512 classes; below 2 C = D the errors of all classes are formed.
@pytest.mark.parametrize(
    ("n", "d", "n_classes"),
    [(90, 6, 30), (200, 30, 14), (200, 30, 15), (200, 30, 16), (1300, 12, 700), (1100, 3, 1030)],
)
@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_ridge_probe_of_many_classes(n: int, d: int, n_classes: int, spread: float) -> None:
    features, labels = sample(n, d, n_classes, spread=spread)
    found = quietly(tx.ridge_probe, features, labels)
    expected, ridge = accuracy(features, labels, reference.RIDGES)
    assert (float(found), found.ridge) == (pytest.approx(expected, abs=1e-12), ridge)
    counts = np.array(found.class_counts)
    assert found == pytest.approx(found.per_target @ counts / counts.sum(), abs=1e-12)


def test_ridge_probe_of_one_class_beside_many() -> None:
    """Coefficients of one class that are far longer than those of the others."""
    features, labels = sample(1200, 8, 600)
    labels[np.random.default_rng(0).random(1200) < 0.5] = 0
    labels = np.unique(labels, return_inverse=True)[1]
    found = quietly(tx.ridge_probe, features, labels)
    assert (float(found), found.ridge) == accuracy(features, labels, reference.RIDGES)


def test_ridge_probe_of_twins() -> None:
    """Classes of the same rows: the twin is always predicted, as the row itself is left out."""
    features, labels = sample(300, 10, 100, spread=3.0)
    features, labels = np.vstack([features] * 2), np.hstack([labels, labels + 100])
    found = quietly(tx.ridge_probe, features, labels)
    assert (float(found), found.ridge) == accuracy(features, labels, reference.RIDGES)
    assert found == 0.0


def test_ridge_probe_where_classes_tie() -> None:
    """Without a say of the features: the largest class, or the earlier of two."""
    labels = np.repeat(np.arange(40), 3)
    flat = np.full((120, 4), 2.5)
    assert quietly(tx.ridge_probe, flat, labels) == 0.0  # left out, a class is the smallest
    assert quietly(tx.ridge_probe, flat, np.append(labels[:-1], 0)) == pytest.approx(4 / 120)
    # A column that is constant but for one row says nothing about the others.
    almost = flat.copy()
    almost[0, 0] = 7.0
    expected = accuracy(almost, labels, reference.RIDGES)[0]
    assert quietly(tx.ridge_probe, almost, labels) == pytest.approx(expected, abs=1e-12)


def test_ridge_probe_of_ridges_that_rounding_would_decide() -> None:
    """Totals that agree to 1e-13 are compared by the errors themselves; equal ridges are one."""
    features, labels = sample(300, 10, 60)
    best = quietly(tx.ridge_probe, features, labels)
    near = [best.ridge, best.ridge * (1 + 1e-13), best.ridge * (1 - 1e-13), best.ridge]
    found = quietly(tx.ridge_probe, features, labels, ridges=near)
    assert found == best
    assert found.ridge == pytest.approx(best.ridge, rel=1e-12)
    assert quietly(tx.ridge_probe, features, labels, ridges=[best.ridge] * 3) == best


def test_ridge_probe_of_classes_that_are_columns() -> None:
    """Exact fits: what is left is the ridge's doing, 1e-12 of the targets at the smallest."""
    labels = np.tile(np.arange(12), 20)
    features = np.eye(12)[labels] @ np.random.default_rng(2).normal(size=(12, 14))
    features += 1e-9 * np.random.default_rng(3).normal(size=features.shape)
    found = quietly(tx.ridge_probe, features, labels)
    assert (float(found), found.ridge) == (1.0, 1e-6)


def test_groups_left_out_of_many_classes() -> None:
    features, labels = sample(160, 6, 40, spread=2.0)
    rows = np.arange(160)
    alone = quietly(tx.ridge_probe, features, labels, groups=rows, leave_out="group")
    assert alone == pytest.approx(float(quietly(tx.ridge_probe, features, labels)), abs=1e-12)
    groups = rows // 4
    x, targets = reference.standardised(features), np.eye(40)[labels]
    hat = x @ np.linalg.solve(x.T @ x + 160 * 0.1 * np.eye(6), x.T) + 1 / 160
    errors = np.zeros_like(targets)
    for group in range(40):
        own = groups == group
        left = np.eye(own.sum()) - hat[np.ix_(own, own)]
        errors[own] = np.linalg.solve(left, (targets - hat @ targets)[own])
    right = (targets - errors).argmax(axis=1) == labels
    found = quietly(
        tx.ridge_probe, features, labels, groups=groups, leave_out="group", ridges=[0.1]
    )
    assert found == pytest.approx(right.mean(), abs=1e-12)


def overlaps(features: Array, labels: Any, n_components: int, times: int | None) -> Array:
    """Summed overlaps of spherical Gaussians, by differences of their means."""
    rows = features - features.mean(axis=0)
    sigma, basis = np.linalg.svd(rows, full_matrices=False)[1:]
    k = min(n_components, int((sigma**2 > 1e-12 * sigma[0] ** 2).sum()))
    rows = rows @ basis[:k].T
    own = [rows[labels == c] for c in np.unique(labels)]
    means = np.array([x.mean(axis=0) for x in own])
    variances = np.array([np.maximum(x.var(axis=0), 1e-4).mean() for x in own])
    squares = np.array([((means - mean) ** 2).sum(axis=1) for mean in means])
    mean = (variances[:, None] + variances) / 2
    logs = np.log(mean) - (np.log(variances)[:, None] + np.log(variances)) / 2
    table = np.exp(-squares / mean / 8 - (times or k) * logs / 2)
    np.fill_diagonal(table, 0)
    return np.asarray(table.sum(axis=1))


@pytest.mark.parametrize("n_classes", [255, 257, 530])
@pytest.mark.parametrize(("n_components", "spread"), [(64, 1.0), (5, 0.0), (7, 40.0)])
@pytest.mark.parametrize("kind", ["spherical", "google"])
def test_gbc_of_many_classes(n_classes: int, n_components: int, spread: float, kind: str) -> None:
    features, labels = sample(3 * n_classes, 12, n_classes, spread=spread)
    found = quietly(tx.gbc, features, labels, n_components=n_components, covariance=kind)
    expected = overlaps(features, labels, n_components, 1 if kind == "google" else None)
    # Variances of classes far from the mean, 1e3 of them, have 12 digits; so have the exponents.
    shown = expected > np.finfo(float).tiny
    exponents, own = np.log(expected[shown]), np.log(-found.per_target[shown])
    np.testing.assert_allclose(own, exponents, rtol=1e-12, atol=1e-12)
    assert (-found.per_target[~shown] <= 2 * np.finfo(float).tiny).all()
    assert found == pytest.approx(-expected.sum(), rel=1e-11)


def test_gbc_of_tight_classes_in_pairs_far_from_each_other() -> None:
    """Distances of pairs that a product of their means would round away."""
    rng = np.random.default_rng(1)
    centres = 1e4 * rng.normal(size=(150, 6))
    means = np.repeat(centres, 2, axis=0)
    means[1::2] += 0.02
    labels = np.repeat(np.arange(300), 4)
    features = means[labels] + 1e-3 * rng.normal(size=(1200, 6))
    found = quietly(tx.gbc, features, labels, n_components=None)
    variance = 1e-4
    own = np.array([features[labels == c].mean(axis=0) for c in range(300)])
    squares = ((own[::2] - own[1::2]) ** 2).sum(axis=1)
    # The features have 12 digits of their offsets, which are 1e6 of the distances.
    expected = np.repeat(np.exp(-squares / variance / 8), 2)
    np.testing.assert_allclose(-found.per_target, expected, rtol=1e-7)


def test_gbc_of_classes_that_coincide() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 5)) + 50.0
    labels = np.repeat(np.arange(280), 3)
    found = quietly(tx.gbc, np.vstack([rows] * 280), labels)
    assert found == pytest.approx(-280 * 279, rel=1e-12)


@pytest.mark.parametrize("spread", [0.3, 2.0])
@pytest.mark.parametrize("shape", [(1300, 12, 600), (700, 3, 520)])
def test_discriminants_of_many_classes(shape: tuple[int, int, int], spread: float) -> None:
    features, labels = sample(*shape, spread=spread)
    for shrinkage in (None, 0.1):
        found = quietly(tx.lda, features, labels, shrinkage=shrinkage)
        expected = reference.lda(features, labels, shrinkage)
        assert found == pytest.approx(expected, rel=1e-8 if shrinkage is None else 1e-11)
    expected = reference.sfda(features, labels)
    assert quietly(tx.sfda, features, labels) == pytest.approx(expected, rel=1e-8)


def test_discriminants_of_classes_without_variation() -> None:
    """One point a class, some of them the same."""
    means = np.random.default_rng(4).normal(size=(300, 9))
    means[200:] = means[:100]
    labels = np.repeat(np.arange(300), 2)
    found = quietly(tx.lda, means[labels], labels)
    assert found == pytest.approx((100 + 200 / 2) / 300, abs=1e-12)


@pytest.mark.parametrize("scale", [0.05, 1.0])  # with and without shrinkage
@pytest.mark.parametrize(("n", "d", "n_classes"), [(400, 8, 150), (300, 20, 3), (90, 120, 40)])
def test_ncti_of_many_classes(n: int, d: int, n_classes: int, scale: float) -> None:
    features, _ = sample(n, d, n_classes)
    labels = np.arange(n) % n_classes
    features = scale * (features + 2 * np.eye(n_classes, d)[labels])
    features = features + np.repeat([[1.0, 2.0]], n, axis=0) @ np.ones((2, d))
    found = quietly(tx.score, features, labels, "ncti")
    parts = (found.details["spread"], found.details["posterior"], found.details["within"])
    assert parts == pytest.approx(samples.ncti(features, labels), rel=1e-8)


@pytest.mark.parametrize("metric", METRICS)
def test_threads_and_layout_do_not_change_a_bit(metric: str) -> None:
    features, labels = sample(1300, 9, 600)
    labels = np.char.add("class ", labels.astype(str))

    def numbers(rows: Any, n_threads: int) -> bytes:
        found = quietly(tx.score, rows, labels, metric, n_threads=n_threads)
        parts = [v for v in found.details.values() if isinstance(v, float)]
        return np.array([float(found), *parts, *(found.per_target)]).tobytes()

    expected = numbers(features, 1)
    assert numbers(features, 2) == numbers(features, 3) == expected
    assert numbers(np.asfortranarray(features), 2) == expected


# From 1,024 classes on, float32 leaves out those that are far from a row: none of them at a small
# spread, almost all at a large one, some blocks of them in between.
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("spread", [0.3, 4.0, 30.0])
def test_classes_that_float32_leaves_out(spread: float, size: float) -> None:
    features, labels = sample(1500, 6, 1100, spread=spread)
    found = quietly(tx.lda, size * features, labels, shrinkage=0.05)
    expected = reference.lda(features, labels, 0.05)
    assert found == pytest.approx(expected, rel=1e-11)


def test_second_softmax_of_classes_that_float32_leaves_out() -> None:
    features, labels = sample(1100, 4, 1030, spread=20.0)
    expected = reference.sfda(features, labels)
    assert quietly(tx.sfda, features, labels) == pytest.approx(expected, rel=1e-8)
