"""Laws of the theory: what the numbers of a LogME score are, and what changes none of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import logme as reference

import transferability as tx
from transferability import TransferabilityWarning

METHODS = ("auto", "tridiagonal", "svd")


def sample(
    n: int = 60, d: int = 8, n_classes: int = 3, seed: int = 16
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with labels and targets (n, 2).

    With the default seed, alpha/beta of all of them is above 1.9 at all `SHAPES`, where the
    largest eigenvalue is below 400: condition numbers below 200.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    features = rng.normal(size=(n, d)) + rng.normal(size=(n_classes, d))[labels] / 2
    targets = features @ rng.normal(size=(d, 2)) / d**0.5 + rng.normal(size=(n, 2)) + 4
    return features, labels, targets


SHAPES = [(60, 8), (20, 30), (30, 30), (31, 30)]


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_is_the_density_at_alpha_and_beta(shape: tuple[int, int], intercept: bool) -> None:
    features, _, targets = sample(*shape)
    found = tx.logme(features, targets, intercept=intercept)
    for k in range(2):
        x, y = features, targets[:, k]
        if intercept:
            x, y = reference.without_mean(x, y)
        alpha, beta = found.alpha[k], found.beta[k]
        here = reference.log_marginal(x, y, alpha, beta)
        assert found.per_target[k] == pytest.approx(here, abs=1e-11)
        for a, b in [(1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99)]:
            assert reference.log_marginal(x, y, a * alpha, b * beta) < here


@pytest.mark.parametrize("method", ["tridiagonal", "svd"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients_are_the_posterior_mean(
    shape: tuple[int, int], intercept: bool, method: str
) -> None:
    features, _, targets = sample(*shape)
    found = tx.logme(features, targets, intercept=intercept, keep_coef=True, method=method)
    x = features - features.mean(axis=0) if intercept else features
    y = targets - targets.mean(axis=0) if intercept else targets
    for k in range(2):
        mean = reference.posterior_mean(x, y[:, k], found.alpha[k] / found.beta[k])
        # The condition number of the dense system is below 1e5 here: 1e5 x 2e-16.
        np.testing.assert_allclose(found.coef[k], mean, rtol=0, atol=1e-10 * abs(mean).max())
        offset = targets[:, k].mean() - mean @ features.mean(axis=0) if intercept else 0.0
        assert found.offset[k] == pytest.approx(offset, abs=1e-9)


@pytest.mark.parametrize("features", ["zero", "orthogonal", "constant"])
@pytest.mark.parametrize("shape", [(60, 8), (20, 30)])
def test_features_without_a_say_give_the_evidence_of_noise(
    shape: tuple[int, int], features: str
) -> None:
    x, _, targets = sample(*shape)
    y = targets[:, 0]
    if features == "constant":
        x, y = np.full_like(x, 7.0), y - y.mean()
    else:
        x = x - np.outer(y, y @ x) / (y @ y) if features == "orthogonal" else 0 * x
    intercept = features == "constant"
    found = tx.logme(x, y, intercept=intercept, keep_coef=True)
    flat = reference.without_features(reference.without_mean(x, y)[1] if intercept else y)
    assert found == pytest.approx(flat.value, abs=1e-14)
    assert found.alpha[0] == np.inf
    assert found.beta[0] == pytest.approx(flat.beta, rel=1e-12)
    assert not found.coef.any()
    assert found.converged.all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("seed", [7, 10])  # half of all others have their maximum at finite noise
def test_interpolation_gives_the_limit_without_noise(
    seed: int, intercept: bool, method: str
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 40))
    y = x @ rng.normal(size=40) + 3.0 * intercept
    with pytest.warns(TransferabilityWarning, match="limit of zero noise"):
        found = tx.logme(x, y, intercept=intercept, method=method)
    limit = reference.without_noise(*(reference.without_mean(x, y) if intercept else (x, y)))
    assert found == pytest.approx(limit.value, abs=1e-12)
    assert found.alpha[0] == pytest.approx(limit.alpha, rel=1e-9)
    assert found.beta[0] == np.inf


@pytest.mark.parametrize("factor", [1e-100, 2.0**-300, 1e-5, 3.0, 1e100])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_common_factor_of_the_features_changes_nothing(
    shape: tuple[int, int], factor: float
) -> None:
    features, labels, _ = sample(*shape)
    plain, scaled = tx.logme(features, labels), tx.logme(factor * features, labels)
    # Rounding of the products, an ulp or so each; the ratio is known to 1e-8.
    np.testing.assert_allclose(scaled.per_target, plain.per_target, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scaled.alpha / factor / factor, plain.alpha, rtol=1e-7)


@pytest.mark.parametrize("factor", [-3.0, 1e-100, 1e100])
@pytest.mark.parametrize("intercept", [False, True])
def test_a_factor_of_the_targets_takes_off_its_logarithm(factor: float, intercept: bool) -> None:
    features, _, targets = sample()
    plain = tx.logme(features, targets, intercept=intercept)
    scaled = tx.logme(features, factor * targets, intercept=intercept)
    expected = plain.per_target - np.log(abs(factor))
    np.testing.assert_allclose(scaled.per_target, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_intercept_takes_up_any_shift(shape: tuple[int, int]) -> None:
    features, _, targets = sample(*shape)
    plain = tx.logme(features, targets)  # with an intercept: the default of regression
    shifted = tx.logme(features + 1e3, targets - 1e3)
    # A shift by 1e3 rounds the data at 1e-13, and the ratio alpha/beta is above 1e-3.
    np.testing.assert_allclose(shifted.per_target, plain.per_target, rtol=0, atol=1e-9)
    without = tx.logme(features, targets - 1e3, intercept=False)
    assert without < plain - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_classes_are_told_apart_by_their_rows_alone(shape: tuple[int, int]) -> None:
    features, labels, _ = sample(*shape)
    plain = tx.logme(features, labels)
    renamed = tx.logme(features, np.array([50, -1, 7])[labels])
    assert renamed.classes == (-1, 7, 50)
    np.testing.assert_allclose(renamed.per_target, plain.per_target[[1, 2, 0]], rtol=0, atol=1e-13)
    columns = tx.logme(features, labels[:, None] == np.arange(3))
    assert columns.task == "multilabel"
    np.testing.assert_allclose(columns.per_target, plain.per_target, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), log_n=st.floats(2.0, 3.3), log_d=st.floats(0.3, 1.7))
def test_single_precision_is_as_good_as_it_says(seed: int, log_n: float, log_d: float) -> None:
    n, d = round(10**log_n), round(10**log_d)
    assume(n > 2 * d)
    features, labels, _ = sample(n, d, seed=seed)
    features = features.astype(np.float32)
    double = tx.logme(features, labels)
    single = tx.logme(features, labels, precision="single")
    difference = abs(single - double) / max(1.0, abs(double))
    assert difference <= max(single.rounding) <= 1e-4
    assert difference <= 1e-6  # a few float32 ulps, of products that are summed


def test_single_precision_is_another_computation() -> None:
    features, labels, _ = sample(2000, 20)
    features = features.astype(np.float32)
    assert tx.logme(features, labels) != tx.logme(features, labels, precision="single")
