"""The covariance estimators follow scikit-learn's rules and values, and take rows in blocks.

Kinds of cases: scikit-learn's rules; values of every attribute and method; splits; the order of
calls; degenerate shapes; offsets; formats and memory; bad parameters and inputs; copies.
"""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import transferability as tx

pytest.importorskip("sklearn", minversion="1.6")

import sklearn.covariance as theirs
from scipy.linalg import pinvh
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import transferability.sklearn as ours

Array = NDArray[Any]
NAMES = ["EmpiricalCovariance", "LedoitWolf", "OAS", "ShrunkCovariance"]
#: Estimators of covariances that are far from singular, also with fewer rows than columns.
SHRUNK = NAMES[1:]
#: Both sides are right to about 1e-13 of the largest entry where the condition is below 1e3.
EQUAL = 1e-10


def features(n: int = 60, d: int = 8, seed: int = 0) -> Array:
    """Correlated columns away from zero, exact in float32 and with offsets up to 2**20."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((n, 2)) @ rng.normal(size=(2, d))
    return np.asarray(np.round((x + rng.standard_normal(d)) * 4096) / 4096)


def check_equal(found: Any, expected: Any, names: tuple[str, ...], rtol: float = EQUAL) -> None:
    """Compare attributes, relative to the largest entry."""
    for name in names:
        value, right = getattr(found, name), getattr(expected, name)
        largest = max(float(np.abs(right).max()), np.finfo(float).tiny)
        np.testing.assert_allclose(value, right, rtol=0, atol=rtol * largest, err_msg=name)


def estimates(name: str) -> tuple[str, ...]:
    shrinkage = ("shrinkage_",) if name in ("LedoitWolf", "OAS") else ()
    return ("covariance_", "location_", *shrinkage)


@parametrize_with_checks(
    [getattr(ours, name)() for name in NAMES]
    + [ours.LedoitWolf(assume_centered=True, store_precision=False)]
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_rules(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("assume_centered", [False, True])
@pytest.mark.parametrize("store_precision", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_scikit_learn(
    name: str, store_precision: bool, assume_centered: bool
) -> None:
    x, test = features(), features(2500, seed=1)  # more rows than distances take at once
    options = {"store_precision": store_precision, "assume_centered": assume_centered}
    found = getattr(ours, name)(**options).fit(x)
    expected = getattr(theirs, name)(**options).fit(x)
    check_equal(found, expected, estimates(name))
    assert (found.precision_ is None) == (expected.precision_ is None) == (not store_precision)
    for value, right in (
        (found.get_precision(), expected.get_precision()),
        (found.mahalanobis(test), expected.mahalanobis(test)),
        (found.score(test), expected.score(test)),
        (found.score(test[:1]), quiet(expected.score, test[:1])),
    ):
        np.testing.assert_allclose(value, right, rtol=EQUAL, atol=EQUAL * np.abs(right).max())
    for norm in ("frobenius", "spectral"):
        for scaling in (True, False):
            arguments = {"norm": norm, "scaling": scaling, "squared": scaling}
            value = found.error_norm(np.eye(8), **arguments)
            assert value == pytest.approx(expected.error_norm(np.eye(8), **arguments), rel=EQUAL)


def quiet(function: Any, *arguments: Any) -> Any:
    """Call scikit-learn's, which warns of one row."""
    with pytest.warns(UserWarning, match="one sample"):
        return function(*arguments)


@pytest.mark.parametrize("shape", [(2, 3), (10, 30), (20, 20), (500, 3), (7, 1), (130, 129)])
@pytest.mark.parametrize("name", NAMES)
def test_shapes(name: str, shape: tuple[int, int]) -> None:
    x = features(*shape)
    found, expected = (getattr(module, name)().fit(x) for module in (ours, theirs))
    check_equal(found, expected, estimates(name))
    if name in SHRUNK:
        check_equal(found, expected, ("precision_",))
        assert found.score(x) == pytest.approx(expected.score(x), rel=EQUAL)


def test_shrinkage_of_a_given_amount() -> None:
    x = features()
    for amount in (0, 0.0, 0.25, 1, np.float32(0.5)):
        found, expected = (m.ShrunkCovariance(shrinkage=amount).fit(x) for m in (ours, theirs))
        check_equal(found, expected, ("covariance_",))


@pytest.mark.parametrize("cuts", [[1], [30], [1, 2, 3], [59], list(range(1, 60)), [7, 7, 40]])
@pytest.mark.parametrize("d", [8, 100])  # statistics hold the scatter, and the rows
@pytest.mark.parametrize("name", NAMES)
def test_any_split_has_the_values_of_fit(name: str, d: int, cuts: list[int]) -> None:
    x = features(60, d)
    split = getattr(ours, name)()
    for block in np.split(x, cuts):
        if len(block):
            split.partial_fit(block)
    whole = getattr(ours, name)().fit(x)
    check_equal(split, whole, estimates(name), 1e-12)
    if name in SHRUNK:
        assert split.score(x) == pytest.approx(whole.score(x), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_new_rows_renew_every_attribute(name: str) -> None:
    x = features(90)
    estimator = getattr(ours, name)().fit(x[:30])
    first = {key: getattr(estimator, key) for key in (*estimates(name), "precision_")}
    estimator.partial_fit(x[30:])
    whole = getattr(ours, name)().fit(x)
    check_equal(estimator, whole, (*estimates(name), "precision_"))
    assert all(np.any(getattr(estimator, key) != value) for key, value in first.items())
    estimator.fit(x[:30])  # starts anew
    assert estimator.stats_.n_samples == 30
    check_equal(estimator, getattr(ours, name)().fit(x[:30]), tuple(first), 0)


@pytest.mark.parametrize("smallest", [1e-3, 1e-7, 1e-9, 1e-12, 1e-14, 1e-18, 0.0])
def test_precisions_of_any_condition(smallest: float) -> None:
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    values = np.array([1.0, 0.5, 0.3, 0.2, 0.1, smallest])
    covariance = basis * values @ basis.T
    covariance = (covariance + covariance.T) / 2
    estimator = ours.EmpiricalCovariance().fit(features(20, 6))
    estimator.covariance_ = covariance
    found, expected = estimator.get_precision(), pinvh(covariance)
    assert np.abs(found - found.T).max() <= 1e-14 * np.abs(found).max()
    # Either is right to the condition number times rounding.
    off = np.abs(found - expected).max() / np.abs(expected).max()
    assert off < max(1e-14 / max(smallest, 1e-8), 1e-13)


def test_precisions_of_extreme_scales() -> None:
    x = features()
    for scale in (1e-140, 1e-100, 1e100, 1e140):
        found = ours.OAS().fit(x * scale).precision_ * scale * scale
        np.testing.assert_allclose(found, ours.OAS().fit(x).precision_, rtol=1e-9, atol=1e-12)


def test_statistics_serve_for_more() -> None:
    x = features()
    estimator = ours.LedoitWolf().partial_fit(x[:20]).partial_fit(x[20:])
    assert isinstance(estimator.stats_, tx.Stats)
    np.testing.assert_allclose(
        estimator.stats_.spectrum(), np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1], rtol=1e-12
    )
    covariance, shrinkage = estimator.stats_.covariance_and_shrinkage("oas")
    expected = theirs.OAS().fit(x)
    np.testing.assert_allclose(covariance, expected.covariance_, rtol=0, atol=EQUAL)
    assert shrinkage == pytest.approx(expected.shrinkage_, rel=EQUAL)
    np.testing.assert_allclose(estimator.stats_.mean(), x.mean(axis=0), rtol=1e-14)
    with pytest.raises(tx.errors.DataError, match="hold no rows yet"):
        tx.Stats("unlabelled").mean()


@pytest.mark.parametrize("offset", [2.0**20, -(2.0**20)])
@pytest.mark.parametrize("name", NAMES)
def test_offsets_cost_no_digits(name: str, offset: float) -> None:
    x, test = features(), features(100, seed=1)
    near, far = getattr(ours, name)().fit(x), getattr(ours, name)()
    for block in np.split(x + offset, 3):  # exact
        far.partial_fit(block)
    check_equal(far, near, ("covariance_", "precision_"))
    # Rounding of the mean, of 1e6 standard deviations, is about 1e-10 of one.
    np.testing.assert_allclose(far.location_ - offset, near.location_, atol=1e-9)
    np.testing.assert_allclose(far.mahalanobis(test + offset), near.mahalanobis(test), rtol=1e-8)
    assert far.score(test + offset) == pytest.approx(near.score(test), rel=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_one_row_and_constant_features(name: str) -> None:
    estimator = getattr(ours, name)()
    with pytest.warns(tx.TransferabilityWarning, match="single row") as caught:
        estimator.fit([[1.0, 2.0, 3.0]])
    assert caught[0].filename == __file__
    assert not estimator.covariance_.any()
    assert not estimator.precision_.any()
    assert estimator.location_.tolist() == [1, 2, 3]
    streamed = getattr(ours, name)().partial_fit([[1.0, 2.0, 3.0]])  # no warning: more may come
    streamed.partial_fit([[1.0, 2.0, 3.0]])
    expected = getattr(theirs, name)().fit(np.array([[1.0, 2.0, 3.0]] * 2))
    check_equal(streamed, expected, estimates(name))


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i2", "i8", "u1", "?", "O"])
def test_number_formats_are_read_as_float64(dtype: str) -> None:
    x = np.round(features(60, 5) * 3 + 20).astype(dtype)
    x[:2] = x[:2] * 0  # booleans vary too
    for name in NAMES:
        found = getattr(ours, name)().fit(x)
        check_equal(found, getattr(theirs, name)().fit(x.astype(float)), estimates(name))
        assert found.covariance_.dtype == found.location_.dtype == np.float64
        assert found.score(x) == pytest.approx(found.score(x.astype(float)), rel=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_features_are_not_copied(tmp_path: Path, order: str) -> None:
    x = np.asarray(features(40000, 32), dtype=np.float16, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    estimator = ours.LedoitWolf()
    for call in (estimator.fit, estimator.partial_fit, estimator.score):
        call(x[:100])  # imports and small tables
        tracemalloc.start()
        call(mapped)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 8, f"{call.__name__}: {peak} bytes for {x.nbytes}"


def test_frames_have_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(features(60, 3), columns=["a", "b", "c"])
    estimator = ours.OAS().partial_fit(frame[:30]).partial_fit(frame[30:])
    assert estimator.feature_names_in_.tolist() == ["a", "b", "c"]
    check_equal(estimator, theirs.OAS().fit(frame), estimates("OAS"))
    with pytest.raises(ValueError, match="feature names"):
        estimator.partial_fit(frame[["b", "a", "c"]])


@pytest.mark.parametrize("name", NAMES)
def test_copies(name: str) -> None:
    x = features()
    estimator = getattr(ours, name)(store_precision=False, assume_centered=True, n_threads=1)
    estimator.partial_fit(x[:30])
    loaded = pickle.loads(pickle.dumps(estimator))
    assert repr(loaded) == repr(estimator)
    for one in (loaded, estimator):
        one.partial_fit(x[30:])
    check_equal(loaded, estimator, estimates(name), 0)
    assert isinstance(loaded, theirs.EmpiricalCovariance)
    fresh = clone(estimator)
    assert fresh.get_params() == estimator.get_params()
    assert not hasattr(fresh, "covariance_")


def test_unfitted_estimators_say_so() -> None:
    estimator = ours.LedoitWolf()
    for read in (
        lambda: estimator.covariance_,
        lambda: estimator.precision_,
        lambda: estimator.shrinkage_,
        lambda: estimator.score(features()),
        lambda: estimator.mahalanobis(features()),
        estimator.get_precision,
    ):
        with pytest.raises(NotFittedError, match="not fitted"):
            read()
    with pytest.raises(AttributeError, match="has no 'shrinkage_'"):
        _ = ours.EmpiricalCovariance().fit(features()).shrinkage_


@pytest.mark.parametrize(
    ("name", "option", "value", "message"),
    [
        ("EmpiricalCovariance", "assume_centered", "no", "assume_centered is 'no'"),
        ("OAS", "assume_centered", 1, "assume_centered is 1"),
        ("LedoitWolf", "store_precision", None, "store_precision is None"),
        ("LedoitWolf", "block_size", 0, "block_size is 0"),
        ("LedoitWolf", "block_size", 10.5, "block_size is 10.5"),
        ("ShrunkCovariance", "shrinkage", 1.5, "shrinkage is 1.5"),
        ("ShrunkCovariance", "shrinkage", "oas", "shrinkage is 'oas'"),
        ("ShrunkCovariance", "shrinkage", None, "shrinkage is None"),
        ("ShrunkCovariance", "shrinkage", float("nan"), "shrinkage is nan"),
        ("OAS", "n_threads", 0, "n_threads"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_parameters(name: str, option: str, value: Any, message: str, method: str) -> None:
    estimator = getattr(ours, name)(**{option: value})
    with pytest.raises(tx.errors.TransferabilityError, match=message):
        getattr(estimator, method)(features())
    assert not hasattr(estimator, "stats_")


def test_refused_rows_change_nothing() -> None:
    x = features()
    estimator = ours.LedoitWolf().fit(x)
    before = pickle.dumps(estimator.stats_.moments())
    bad = x[:5].copy()
    bad[3, 2] = np.nan
    for rows, error, message in (
        (bad, tx.errors.DataError, r"\[3, 2\] is NaN"),
        (x[:, :3], ValueError, "X has 3 features"),
        (x[0], ValueError, "Expected 2D array"),
        (x[:0], ValueError, r"0 sample\(s\)"),
        (x[:5] + 1j, ValueError, "Complex data"),
        (np.ma.masked_array(x[:5], x[:5] > 0), tx.errors.DtypeError, "X is a masked array"),
    ):
        for call in (estimator.partial_fit, estimator.score):
            with pytest.raises(error, match=message):
                call(rows)
        assert pickle.dumps(estimator.stats_.moments()) == before
