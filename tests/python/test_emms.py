"""EMMS against recorded values, its definition, and the laws that it must obey."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import emms as reference

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning
from transferability.compat import emms as compat

TOLERANCE = 1e-9  # relative to max(1, |value|): what the package promises
quiet = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")


def score(features: Any, views: Any, **options: Any) -> tx.Score:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferabilityWarning)
        return tx.emms(features, views, **options)


def weights_of(found: tx.Score) -> np.ndarray:
    return np.array(list(found.weights.values()))


@pytest.mark.parametrize("key", reference.CASES)
def test_recorded_cases(key: str) -> None:
    features, views = reference.inputs(key)
    recorded = reference.CASES[key]["results"]["REF"]
    found = score(features, views)
    n_entries = views.shape[0] * views.shape[1]
    # The alternation ends at or above the minimum, and at it for one view.
    assert -found * n_entries <= recorded["sse_final"] + TOLERANCE * n_entries
    if views.shape[2] == 1 or key == "emm_identical_labels_K2":
        assert -found * n_entries == pytest.approx(recorded["sse_final"], rel=TOLERANCE, abs=1e-20)
    assert found.saturated == (features.shape[0] <= features.shape[1])
    value, weights = reference.emms(features, views)
    assert found == pytest.approx(value, abs=TOLERANCE)
    if found.saturated:
        assert found == 0
        np.testing.assert_allclose(weights_of(found), 1 / views.shape[2], rtol=1e-15)
    else:
        # Where views are equal their weights are not determined, only the mixture that they make.
        np.testing.assert_allclose(views @ weights_of(found), views @ weights, atol=1e-7)
        if key != "emm_identical_labels_K2":
            np.testing.assert_allclose(weights_of(found), weights, atol=1e-8)


def test_the_exact_optimum_of_a_recorded_case() -> None:
    found = score(*reference.inputs("emm_synth0"))
    assert -found * 160 * 8 == pytest.approx(381.105, abs=5e-4)


@pytest.mark.parametrize("key", reference.CASES)
def test_compat_is_the_authors_recipe(key: str) -> None:
    features, views = reference.inputs(key)
    before = views.copy()
    # Saturated ones are rounding noise of 1e-28 on either side.
    expected = reference.CASES[key]["results"]["opengvlab"]["value"]
    assert compat.EMMS(features, views) == pytest.approx(expected, rel=1e-10, abs=1e-20)
    np.testing.assert_array_equal(views, before)
    raw, first = (reference.CASES[key]["results"]["REF"][k] for k in ("lam_raw_iter1", "lam_iter1"))
    np.testing.assert_allclose(compat.sparsemax(raw), first, rtol=1e-12)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Features of awkward kinds, with label views that they know something about."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(4, 40))
    d = draw(st.sampled_from([1, n // 2, n - 2, n - 1, n, 2 * n]))
    n_dims, n_views = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    features = rng.normal(size=(n, max(d, 1))) * 10.0 ** draw(st.sampled_from([-3, 0, 4]))
    features += draw(st.sampled_from([0.0, 1e4]))
    kind = draw(st.sampled_from(["plain", "duplicated", "few directions", "constant columns"]))
    if kind == "duplicated":
        features = np.hstack([features, features[:, : 1 + features.shape[1] // 2]])
    if kind == "few directions":
        features = features[:, :2] @ rng.normal(size=(min(2, features.shape[1]), n + 3))
    if kind == "constant columns":
        features[:, rng.random(features.shape[1]) < 0.6] = 3.0
    views = rng.normal(size=(n, n_dims, n_views))
    views += draw(st.sampled_from([0, 1, 5])) * rng.normal(size=(n, n_dims, 1))
    views += draw(st.sampled_from([0, 1])) * features[:, :1, None] / np.abs(features).max()
    if draw(st.booleans()):
        views[..., -1] = views[..., 0]
    return features, views


@quiet
@settings(deadline=None, max_examples=100)
@given(problem=problems(), ridge=st.sampled_from([0.0, 0.0, 1e-9, 1e-3, 1.0, 1e4]))
def test_value_is_the_minimum_over_map_and_weights(
    problem: tuple[np.ndarray, np.ndarray], ridge: float
) -> None:
    features, views = problem
    found = tx.emms(features, views, ridge=ridge)
    matrix = reference.left_over(features, views, ridge)
    n_entries = views.shape[0] * views.shape[1]
    assert found == pytest.approx(-reference.by_descent(matrix) / n_entries, abs=1e-8)
    assert found == pytest.approx(-reference.best_weights(matrix)[1] / n_entries, abs=TOLERANCE)
    weights = weights_of(found)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    # No direction of the simplex descends (Karush, Kuhn and Tucker).
    assert (matrix @ weights).min() >= (-found - TOLERANCE) * n_entries
    assert -1 - 1e-9 <= found <= 0
    assert found >= max(found.alone.values()) - 1e-12


@quiet
@settings(deadline=None, max_examples=40)
@given(problem=problems(), seed=st.integers(0, 1000), ridge=st.sampled_from([0.0, 0.1]))
def test_laws(problem: tuple[np.ndarray, np.ndarray], seed: int, ridge: float) -> None:
    features, views = problem
    found = tx.emms(features, views, ridge=ridge)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(views))
    same = pytest.approx(float(found), abs=TOLERANCE)
    assert tx.emms(features[rows], views[rows], ridge=ridge) == same
    # A unit for every column: powers of two, so that rounding is the same.
    units = 2.0 ** rng.integers(-3, 4, size=features.shape[1])
    assert tx.emms(features * units, views, ridge=ridge) == same
    # The 1e-8 beside standard deviations leaves 1e-7.
    moved = views * 2.0 ** rng.integers(0, 4, size=(1, *views.shape[1:])) + 2.0
    assert tx.emms(features, moved, ridge=ridge) == pytest.approx(float(found), abs=1e-6)
    order = rng.permutation(views.shape[2])
    assert tx.emms(features, views[..., order], ridge=ridge) == same
    # Another view can only help, and so can another feature, and less ridge.
    slack = found - TOLERANCE
    more = np.concatenate([views, rng.normal(size=(*views.shape[:2], 1))], axis=2)
    assert tx.emms(features, more, ridge=ridge) >= slack
    wider = np.hstack([features, rng.normal(size=(len(features), 1))])
    assert tx.emms(wider, views, ridge=ridge) >= slack
    assert tx.emms(features, views, ridge=2 * ridge + 0.01) <= found + TOLERANCE


def test_two_equal_views_share_their_weight(features: np.ndarray) -> None:
    view = features[:, :2] ** 2
    found = tx.emms(features, {"a": view, "b": features[:, 1:3] * view, "c": view})
    assert found.weights["a"] == pytest.approx(found.weights["c"], abs=1e-12)
    assert list(found.weights) == ["a", "b", "c"]


def test_many_views_and_wide_panels_on_any_number_of_threads() -> None:
    # Above 50 million multiplications rows are cut, and above 2^21 products columns are.
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 300)).astype(np.float32)
    views = rng.normal(size=(600, 500, 16)) + features[:, :1, None]
    views[..., 7] += features[:, :1] * 3
    one, two = (tx.emms(features, views, n_threads=n) for n in (1, 2))
    assert one == two
    assert one.weights == two.weights
    matrix = reference.left_over(features.astype(float), views)
    assert one == pytest.approx(-reference.by_descent(matrix) / (600 * 500), abs=1e-8)
    gradient = matrix @ weights_of(one) / (600 * 500)
    assert gradient.min() >= -one - TOLERANCE


def test_embeddings_of_classes_are_summed_by_class(features: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    classes = rng.integers(0, 7, size=90)
    views = rng.normal(size=(7, 5, 3))[classes] + 3.0
    found = tx.emms(features, views)
    value, weights = reference.emms(features, views)
    assert found == pytest.approx(value, abs=TOLERANCE)
    np.testing.assert_allclose(weights_of(found), weights, atol=1e-8)
    # Rows that hardly differ are not the same, and give nearly the same by the longer way.
    apart = views * (1 + 1e-9 * rng.normal(size=views.shape))
    assert tx.emms(features, apart) == pytest.approx(float(found), abs=1e-7)
    for n_samples, n_groups in ((6000, 50), (6000, 1500)):
        classes = rng.integers(0, n_groups, size=n_samples)
        wide = rng.normal(size=(n_samples, 40)) + rng.normal(size=(n_groups, 40))[classes]
        views = rng.normal(size=(n_groups, 20, 2))[classes]
        found = tx.emms(wide, views)
        assert found == pytest.approx(reference.emms(wide, views)[0], abs=TOLERANCE)
        assert tx.emms(wide, views, n_threads=1) == found


def test_more_views_than_faces_can_be_compared() -> None:
    rng = np.random.default_rng(1)
    features, views = rng.normal(size=(80, 5)), rng.normal(size=(80, 2, 40))
    found = tx.emms(features, views)
    gradient = reference.left_over(features, views) @ weights_of(found) / 160
    assert gradient.min() >= -found - TOLERANCE
    assert found == pytest.approx(weights_of(found) @ gradient * -1, abs=TOLERANCE)


def test_input_of_any_kind_is_left_alone(features: np.ndarray) -> None:
    views = np.asfortranarray(features[:, :6].reshape(90, 2, 3) ** 3)
    before = views.copy()
    views.setflags(write=False)
    found = tx.emms(features, views)
    np.testing.assert_array_equal(views, before)
    strided = np.repeat(views, 2, axis=0)[::2]
    assert tx.emms(features, strided) == found
    named = {str(k): views[..., k] for k in range(3)}
    assert tx.emms(features, named) == found
    narrow = tx.emms(features.astype(np.float16), views.astype(np.float16))
    assert narrow == pytest.approx(float(found), abs=0.01)
    assert tx.emms(features, np.round(views * 50).astype(np.int8)) < 0
    # An offset of a million keeps 9 of the digits that float64 leaves.
    assert tx.emms(features + 2.0**20, views + 2.0**20) == pytest.approx(float(found), abs=1e-8)


def test_labels_do_not_matter(features: np.ndarray, labels: np.ndarray) -> None:
    views = features[:, :6].reshape(90, 2, 3) ** 3
    found = tx.emms(features, views)
    assert tx.score(features, labels, "emms", label_embeddings=views) == found
    assert found.task == "unlabelled"
    ranking = tx.rank({"a": features, "b": features[:, :1]}, labels, "emms", label_embeddings=views)
    assert ranking.best.name == "a"
    assert "mixture" in found.explain()
    assert found.to_dict()["details"]["weights"] == found.weights


def test_saturation_is_flagged_and_cured_by_ridge() -> None:
    rng = np.random.default_rng(2)
    views = rng.normal(size=(30, 4, 3))
    with pytest.warns(TransferabilityWarning, match="direction for every sample"):
        found = tx.emms(rng.normal(size=(30, 50)), views)
    assert (found, found.saturated, found.rank) == (0.0, True, 29)
    assert "does not tell" in found.explain()
    for n_features in (29, 50):
        features = rng.normal(size=(30, n_features))
        assert score(features, views).saturated
        cured = tx.emms(features, views, ridge=0.1)
        assert not cured.saturated
        assert cured < -0.01
    # Fewer directions than samples in more columns than rows are no saturation.
    low = tx.emms(rng.normal(size=(30, 4)) @ rng.normal(size=(4, 60)), views)
    assert (low.saturated, low.rank) == (False, 4)


def test_features_that_know_nothing() -> None:
    views = np.random.default_rng(3).normal(size=(50, 3, 2))
    for shape in ((50, 4), (50, 80)):
        with pytest.warns(TransferabilityWarning, match="explain nothing"):
            found = tx.emms(np.zeros(shape), views)
        alone = np.array(list(found.alone.values()))
        np.testing.assert_allclose(alone, -1, rtol=1e-7)
        assert score(np.ones(shape), views, ridge=1.0) == pytest.approx(float(found), abs=1e-12)


def test_what_deserves_a_second_look(features: np.ndarray) -> None:
    view = features[:, :3] ** 2
    with pytest.warns(TransferabilityWarning, match="one view"):
        assert tx.emms(features, {"only": view}).weights == {"only": 1.0}
    constant = view.copy()
    constant[:, 1] = 4.2
    with pytest.warns(TransferabilityWarning, match=r"1 of 3 columns of .*\"b\"\] are the same"):
        tx.emms(features, {"a": view, "b": constant})
    with pytest.warns(TransferabilityWarning, match=r"3 columns of .*\"b\"\] have a standard dev"):
        tx.emms(features, {"a": view, "b": view * 1e-6})


def test_bad_input(features: np.ndarray) -> None:
    view = features[:, :3] ** 2
    broken = view.copy()
    broken[4, 2] = np.nan
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        ({"a": view, "b": broken}, {}, DataError, r"\"b\"\]\[4, 2\] is NaN"),
        ({"a": view * 1e200}, {}, DataError, "scale it down"),
        ({"a": view, "b": np.ones_like(view)}, {}, DataError, '"b"\\] is the same in all rows'),
        ({"a": view, "b": view[:, :2]}, {}, DataError, "one shape"),
        ({"a": view[:50]}, {}, DataError, "90"),
        ({}, {}, DataError, "no views"),
        (view, {}, DataError, r"label_embeddings\[:, :, None\]"),
        (np.zeros((90, 0, 2)), {}, DataError, "empty"),
        (np.zeros((90, 3, 0)), {}, DataError, "no views"),
        (None, {}, DataError, "label_embeddings is None"),
        ({"a": view.astype(complex)}, {}, DtypeError, "complex"),
        ({"a": view}, {"ridge": -1}, DataError, "ridge is -1"),
        ({"a": view}, {"ridge": np.nan}, DataError, "ridge is nan"),
        ({"a": view}, {"ridge": "much"}, DtypeError, "ridge is 'much'"),
    ]
    for views, options, error, message in cases:
        with pytest.raises(error, match=message):
            tx.emms(features, views, **options)
    with pytest.raises(DataError, match=r"features\[0, 0\] is inf"):
        tx.emms(np.full((90, 2), np.inf), {"a": view})
    with pytest.raises(DataError, match="pass label_embeddings"):
        tx.score(features, np.arange(90) % 3, "emms")


def test_bad_input_to_compat(features: np.ndarray) -> None:
    view = features[:, :3, None] ** 2
    for values, message in (
        (view[..., 0], r"Y\[:, :, None\]"),
        (view[:50], "50"),
        (np.where(view == view[3, 1, 0], np.nan, view), r"Y\[3, 1, 0\] is nan"),
    ):
        with pytest.raises(DataError, match=message):
            compat.EMMS(features, values)
    with pytest.raises(DtypeError, match="real numbers"):
        compat.EMMS(features, view.astype(complex))
    assert compat.EMMS(features.astype(np.float16), (view * 10).astype(np.int64)) < 0
