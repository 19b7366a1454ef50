"""Leave-one-out nearest neighbours against their definition, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import samples as reference

import transferability as tx
from transferability import DataError

METRICS = ("l2", "cosine")


def problem(
    n: int = 90, d: int = 7, n_classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    labels[:n_classes] = np.arange(n_classes)
    return rng.normal(size=(n, d)) + rng.normal(size=(n_classes, d))[labels], labels


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 2, 5, 8])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_definition(metric: str, k: int, dtype: type) -> None:
    features, labels = problem(seed=k)
    features = features.astype(dtype)
    score = tx.knn(features, labels, k=k, metric=metric)
    assert score == pytest.approx(reference.knn(features, labels, k, metric), abs=1e-15)
    shares = np.array(score.class_counts) / score.n_samples
    assert score == pytest.approx(score.per_target @ shares, abs=1e-15)


@pytest.mark.parametrize("metric", METRICS)
def test_targets(metric: str) -> None:
    features, _ = problem(seed=5)
    targets = features[:, :2] ** 2 + np.random.default_rng(1).normal(size=(len(features), 2))
    score = tx.knn(features, targets, k=4, metric=metric)
    assert score == pytest.approx(reference.knn_r2(features, targets, 4, metric), abs=1e-12)
    single = tx.knn(features, targets[:, 0], k=4, metric=metric)
    assert single == pytest.approx(score.per_target[0], abs=1e-12)


def test_several_labels_a_row_are_voted_one_by_one() -> None:
    features, labels = problem()
    columns = np.stack([labels == 0, labels > 1], axis=1).astype(int)
    score = tx.knn(features, columns)
    expected = [reference.knn(features, column) for column in columns.T]
    np.testing.assert_allclose(score.per_target, expected, atol=1e-15)
    assert score == pytest.approx(np.mean(expected), abs=1e-15)


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(12, 70),
    k=st.integers(1, 9),
    metric=st.sampled_from(METRICS),
)
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore:every row coincides", "ignore:.* single sample")
def test_ties_everywhere(seed: int, n: int, k: int, metric: str) -> None:
    # Powers of 2 and small integers: distances are exact, and many are equal.
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 2, size=(n, 4)).astype(np.float32)
    features[:, 0] = 1
    if metric == "cosine":  # norms whose quotients are exact, or ties would depend on rounding
        features = 2.0 ** rng.integers(-2, 3, size=(n, 1)) * np.eye(4)[rng.integers(4, size=n)]
    labels = rng.integers(3, size=n)
    assert tx.knn(features, labels, k=k, metric=metric, task="classification") == pytest.approx(
        reference.knn(features, labels, k, metric), abs=1e-15
    )


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
def test_near_neighbours_far_from_zero(offset: float) -> None:
    # Their squares agree to the last digit; their differences do not.
    rng = np.random.default_rng(3)
    features, labels = problem(80, 5)
    features = np.round(features * 64) / 64 + offset
    labels = rng.permutation(labels)
    assert tx.knn(features, labels) == pytest.approx(reference.knn(features, labels), abs=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-30, 1e30, 1e140, 1e305])
def test_scale_changes_nothing(scale: float) -> None:
    features, labels = problem(seed=2)
    factor = 2.0 ** np.round(np.log2(scale))
    assert tx.knn(features * factor, labels) == tx.knn(features, labels)


def test_one_row_far_outside_costs_no_digits() -> None:
    features, labels = problem(seed=4)
    features[7] *= 1e12
    assert tx.knn(features, labels) == pytest.approx(reference.knn(features, labels), abs=1e-15)


def test_one_row_far_outside_among_many() -> None:
    features, labels = problem(1_500, 6, seed=4)
    expected = tx.knn(features[1:], labels[1:]) * 1_499
    features[0] = 1e9
    # It is nobody's neighbour; only its own vote is added.
    assert abs(float(tx.knn(features, labels)) * 1_500 - expected) < 1 + 1e-9


@pytest.mark.filterwarnings("ignore:every row coincides")
def test_rows_all_alike() -> None:
    # Every other row is a nearest neighbour: the first k rows vote.
    labels = np.arange(600) % 2
    assert tx.knn(np.ones((600, 3)), labels) == reference.knn(np.ones((600, 3)), labels)


def test_many_rows_against_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    features, labels = problem(3_000, 20, 5, seed=9)
    features = features.astype(np.float32)
    model = KNeighborsClassifier(6, algorithm="kd_tree").fit(features, labels)
    order = model.kneighbors(features, return_distance=False)
    others = np.array([row[row != i][:5] for i, row in enumerate(order)])
    far = np.sqrt(((features[:, None].astype(float) - features[others]) ** 2).sum(axis=2))
    right = [reference.vote(labels[i], d) == y for i, d, y in zip(others, far, labels, strict=True)]
    assert tx.knn(features, labels) == pytest.approx(np.mean(right), abs=1e-15)


def test_threads_change_nothing() -> None:
    features, labels = problem(2_000, 6, 3)
    scores = [tx.knn(features, labels, n_threads=n) for n in (1, 2, 5)]
    assert len(set(map(float, scores))) == 1


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_orders_of_rows_and_columns_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels = problem(60, 4, 3, seed)
    rows, columns = rng.permutation(60), rng.permutation(4)
    assert tx.knn(features[rows][:, columns], labels[rows]) == tx.knn(features, labels)


def test_bad_input() -> None:
    features, labels = problem()
    with pytest.raises(DataError, match="k is 0"):
        tx.knn(features, labels, k=0)
    with pytest.raises(DataError, match=r"k is 90.*89 other rows"):
        tx.knn(features, labels, k=90)
    with pytest.raises(DataError, match="metric is 'l1'"):
        tx.knn(features, labels, metric="l1")
    features[4] = 0
    with pytest.raises(DataError, match=r"row 4 .*no direction"):
        tx.knn(features, labels, metric="cosine")
    features[4, 2] = np.nan
    with pytest.raises(DataError, match=r"features\[4, 2\] is NaN"):
        tx.knn(features, labels)
    with pytest.raises(DataError, match="constant"):
        tx.knn(features[:4], np.ones(4), task="regression", k=2)
