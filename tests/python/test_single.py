"""Products in float32: their stated error, and what they keep exactly."""

from __future__ import annotations

import numpy as np
import pytest
from metric_tester import quietly
from numpy.typing import NDArray

import transferability as tx
from transferability import Stats

#: Roundings of a term at most, by src/stats/single.rs: p = 384 rows of a panel, k = 8 panels.
BOUND = (384 + 8 + 2) * 2.0**-24


def scatter(
    features: NDArray[np.generic], precision: str, weights: object = None, n_threads: int = 1
) -> NDArray[np.float64]:
    stats = Stats("unlabelled", precision, n_threads)
    stats.update(features, sample_weight=weights)
    return np.asarray(stats.moments()["scatter"])


def share_of_bound(features: NDArray[np.generic], weights: object = None) -> float:
    """Return the largest error of an entry beside its bound."""
    exact = scatter(features, "double", weights)
    size = np.sqrt(np.diag(exact))
    error = np.abs(scatter(features, "single", weights) - exact)
    return float((error / (BOUND * np.outer(size, size))).max())


@pytest.mark.parametrize("shape", [(60, 5), (20_000, 3), (9_000, 80)])  # a panel; groups; chunks
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_error_is_within_its_bound(shape: tuple[int, int], dtype: type) -> None:
    rng = np.random.default_rng(0)
    sizes = 10.0 ** (np.arange(shape[1]) % 5 - 2)
    features = ((rng.normal(size=shape) + 10) * sizes).astype(dtype)
    assert 0 < share_of_bound(features) < 1


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_grow_by_250_orders_keep_the_bound(weighted: bool) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2000, 4)) * 10.0 ** np.linspace(-125, 125, 2000)[:, None]
    weights = 2 ** (np.arange(2000) % 40) if weighted else None
    assert 0 < share_of_bound(features, weights) < 1


@pytest.mark.parametrize("step", [-40, -25, 25, 40])
def test_columns_of_any_size_keep_the_bound(step: int) -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(2000, 4)) * 10.0 ** (step * np.arange(4))
    features[1500] *= 1e30  # one row far above the others
    features[:300, 2] = 0.0  # a column that begins late
    assert 0 < share_of_bound(features) < 1


def test_a_row_far_above_the_first_ones_hides_no_column() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(500, 4))
    features[0, 0] = 1e25
    assert 0 < share_of_bound(features) < 1


@pytest.mark.parametrize("metric", ["ridge_probe", "h_score"])
def test_metrics_without_units_see_columns_of_any_size(metric: str) -> None:
    labels = np.arange(500) % 3
    features = np.random.default_rng(5).normal(size=(500, 4))
    features[:, 1] = (features[:, 1] + labels) * 1e-25
    double = quietly(tx.score, features, labels, metric)
    single = quietly(tx.score, features, labels, metric, precision="single")
    assert single == pytest.approx(float(double), rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_columns_are_exactly_zero(dtype: type) -> None:
    features = np.full((500, 3), 0.1, dtype)
    assert not scatter(features, "single").any()
    features[450, 1] = 0.2
    found = scatter(features, "single")
    assert np.argwhere(found).tolist() == [[1, 1]]


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    features = np.random.default_rng(2).normal(size=(9_000, 80)).astype(np.float32)
    one, two, three = (scatter(features, "single", None, n) for n in (1, 2, 3))
    assert np.array_equal(one, two)
    assert np.array_equal(one, three)
