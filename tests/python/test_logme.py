"""LogME against recorded values, and against its definition on data of awkward kinds."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import golden
from reference import logme as reference

import transferability as tx
from transferability import DataError, TransferabilityWarning

METHODS = ("auto", "tridiagonal", "svd")
TOLERANCE = 1e-9  # relative to max(1, |value|): what the package promises

# Recorded values that are not the answer, with the answer and the reason.
EXPLAINED: dict[str, Any] = {
    # Four classes are linear functions of 20 features: the evidence has no upper bound, and the
    # recorded value says how large 1/rounding was.
    "cla_perfect_f8": np.inf,
    # The fixed point stops at a local maximum; the global one by grid search over an SVD.
    "reg_illcond_f8": -1.2047701679303966,
    # The second of two targets is zero everywhere: recorded as inf, refused here.
    "reg_zerotarget_f8": "target column 1 is zero everywhere",
    # The reference's SVD fails on the NaN.
    "cla_nanval_f8": r"features\[3, 1\] is NaN",
}
# Where the tridiagonal form alone, without the SVD that "auto" falls back on, has fewer digits.
INEXACT = {"cla_perfect_f8", "reg_illcond_f8"}


def score(key: str, method: str = "auto", **options: Any) -> tx.Score:
    features, response = golden.inputs(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferabilityWarning)
        return tx.logme(
            features,
            response,
            task=golden.cases()[key]["kind"],
            intercept=False,
            method=method,
            **options,
        )


def error(actual: float, expected: float) -> float:
    return 0.0 if actual == expected else abs(actual - expected) / max(1.0, abs(expected))


@pytest.mark.parametrize("key", golden.cases())
@pytest.mark.parametrize("method", METHODS)
def test_recorded_values(method: str, key: str) -> None:
    expected = EXPLAINED.get(key, golden.converged(key).get("value"))
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            score(key, method)
        return
    actual = score(key, method)
    # A method that has lost digits must say how many.
    stated = actual.rounding.max() if method == "tridiagonal" and key in INEXACT else 0.0
    assert error(actual, expected) <= max(TOLERANCE, stated)
    assert actual == pytest.approx(actual.per_target.mean(), rel=1e-14)


@pytest.mark.parametrize("key", [key for key in golden.cases() if key not in EXPLAINED])
def test_recorded_precisions_and_weights(key: str) -> None:
    expected, actual = golden.converged(key), score(key, keep_coef=True)
    if "alpha" not in expected:  # no class is absent
        expected = golden.cases()[key]["results"]["REF_converged"]
    recorded = {name: np.array(expected[name], float) for name in ("alpha", "beta", "mnorm")}
    recorded["alpha"][recorded["alpha"] > 1e15] = np.inf  # the fixed point on its way there
    # Both stop where the evidence is flat to 1e-16, which fixes alpha to about the root of it.
    np.testing.assert_allclose(actual.alpha, recorded["alpha"], rtol=1e-6)
    np.testing.assert_allclose(actual.beta, recorded["beta"], rtol=1e-6)
    norms = np.linalg.norm(actual.coef, axis=1)
    np.testing.assert_allclose(norms, recorded["mnorm"], rtol=1e-6, atol=1e-12)
    assert actual.converged.all()


def test_offset_of_a_million_in_fifty_digits() -> None:
    # One float64 Gram matrix would have lost 12 digits; the features themselves hold 10.
    features, labels = golden.inputs("cla_offsetbig_f8")
    found = score("cla_offsetbig_f8")
    ratios = zip(found.classes, found.alpha / found.beta, strict=True)
    exact = [reference.evidence_in_decimals(features, labels == c, ratio) for c, ratio in ratios]
    assert float(sum(exact) / len(exact)) == pytest.approx(-0.1232940969668031, abs=1e-15)
    for method in METHODS:
        assert score("cla_offsetbig_f8", method) == pytest.approx(
            float(sum(exact) / len(exact)), abs=1e-14
        )


def test_perfect_features_are_unbounded_and_say_so() -> None:
    with pytest.warns(TransferabilityWarning, match="evidence is unbounded and the score is inf"):
        found = tx.logme(*golden.inputs("cla_perfect_f8"))
    assert found == np.inf
    assert not found.converged.any()


@st.composite
def datasets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of awkward kinds with labels and targets that they know something about."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(6, 40))
    d = draw(st.sampled_from([1, n // 3, n // 2, n - 2, n - 1, n, n + 1, 2 * n]))
    n_classes = draw(st.integers(2, 3))
    labels = np.arange(n) % n_classes
    if draw(st.booleans()):  # one class of two rows, the rest in another
        labels = (np.arange(n) < 2).astype(int)
    signal = draw(st.sampled_from([0.0, 0.5, 3.0]))
    features = rng.normal(size=(n, d)) + signal * rng.normal(size=(n_classes, d))[labels]
    features += draw(st.sampled_from([0.0, 1.0, 30.0]))
    if draw(st.booleans()):
        features[:, rng.random(d) < 0.3] = 0.0
    if draw(st.booleans()):
        features = np.hstack([features, features[:, : 1 + d // 2]])
    targets = signal * features[:, 0] + rng.normal(size=n) + draw(st.sampled_from([0.0, 5.0]))
    if draw(st.booleans()):  # the same rows with other labels, or the fit could be exact
        features, labels = (
            np.vstack([features, features[:3]]),
            np.append(labels, 1 - labels[:3] % 2),
        )
        targets = np.append(targets, targets[:3] + 1)
    return features, labels, targets


@settings(deadline=None, max_examples=80)
@given(data=datasets(), intercept=st.booleans(), regression=st.booleans())
@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
def test_value_is_the_global_maximum_of_the_density(
    data: tuple[np.ndarray, ...], intercept: bool, regression: bool
) -> None:
    features, labels, targets = data
    if regression:
        task, response, columns = "regression", targets, [targets]
    else:
        task, response = "classification", labels
        columns = [labels == c for c in np.unique(labels)]
    for method in ("auto", "svd"):
        found = tx.logme(features, response, task=task, intercept=intercept, method=method)
        for k, column in enumerate(columns):
            best = reference.evidence(features, column, intercept)
            # Rounding of either side, where it states more than the promised digits.
            tolerance = max(TOLERANCE, best.error, found.rounding[k])
            assert error(found.per_target[k], best.value) <= tolerance
