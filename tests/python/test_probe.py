"""The metrics that read a linear classifier: against definitions, authors and scikit-learn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_tester import TOLERANCE, quietly
from reference import golden
from reference import probe as reference

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning

RECORDED = json.loads((golden.DATA / "golden_probe.json").read_text(encoding="utf-8"))["cases"]

# Where the authors' code has fewer digits, and why. They do not centre, and a shrinkage of 1e-10
# multiplies the rounding of directions that do not vary by up to 1e10.
INEXACT = {
    "cla_constcol_f4": 1e-6,  # a column of 3.7 whose deviations are not exactly 0 there
    "cla_constcol_f8": 1e-6,
    "cla_duprows_f8": 1e-6,  # few distinct rows
    "cla_offsetbig_f4": 1e-2,  # offset/std is 1e6: four digits of each feature are left
    "cla_offsetbig_f8": 1e-2,
}
# Where it has no value and we have one: Sw = 0, or a single column.
DEFINED = {
    "cla_n_eq_c_f8": 1.0,
    "cla_n_eq_c_wide_f8": 1.0,
    "cla_zero_f8": None,  # the sum of the squared shares of the classes
    "cla_d1_f8": None,
}
REFUSED = {
    "cla_allsame_f8": "at least two classes",
    "cla_n2_f8": "at least 3 samples",
    "cla_nanval_f8": r"features\[3, 1\] is NaN",
}


def sample(n: int = 60, d: int = 8, n_classes: int = 3, seed: int = 5) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    features = 0.4 * rng.normal(size=(n, d)) + 0.3 * rng.normal(size=(n_classes, d))[labels]
    return features, labels


@pytest.mark.parametrize("key", RECORDED)
def test_what_the_authors_code_returned(key: str) -> None:
    features, labels = golden.inputs(key)
    if key in REFUSED:
        for metric in (tx.lda, tx.sfda):
            with pytest.raises(DataError, match=REFUSED[key]):
                quietly(metric, features, labels, task="classification")
        return
    lda = quietly(tx.lda, features, labels, task="classification")
    sfda = quietly(tx.sfda, features, labels, task="classification")
    if key in DEFINED:
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        if key == "cla_d1_f8":
            expected = (reference.sfda(features, labels), reference.lda(features, labels))
        else:
            expected = (DEFINED[key] or (shares**2).sum(),) * 2
    else:
        expected = RECORDED[key][:2]
        assert sfda.shrinkage == pytest.approx(RECORDED[key][2], rel=1e-6)
        assert lda.shrinkage == sfda.shrinkage
    if key in INEXACT:  # the same formula with centred features
        assert sfda == pytest.approx(reference.sfda(features, labels), abs=TOLERANCE)
        assert lda == pytest.approx(reference.lda(features, labels), abs=TOLERANCE)
    tolerance = INEXACT.get(key, TOLERANCE)
    assert sfda == pytest.approx(expected[0], abs=tolerance)
    assert lda == pytest.approx(expected[1], abs=tolerance)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Features of awkward kinds, tall and wide, with unequal classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(8, 40))
    d = draw(st.sampled_from([1, 2, n // 2, n - 1, n, n + 1, 2 * n]))
    n_classes = draw(st.integers(2, 4))
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    signal = draw(st.sampled_from([0.0, 0.3, 1.0]))
    features = 0.4 * rng.normal(size=(n, d)) + signal * rng.normal(size=(n_classes, d))[labels]
    if draw(st.booleans()):
        features = np.hstack([features, np.full((n, 1), 3.7), features[:, : 1 + d // 2]])
    features += draw(st.sampled_from([0.0, 1.0, 100.0]))
    return features, labels * 7 - 3


@settings(deadline=None, max_examples=60)
@given(data=datasets(), shrinkage=st.sampled_from([None, 1e-3, 0.2, 1.0]))
def test_posteriors_are_bayes_rule(
    data: tuple[np.ndarray, np.ndarray], shrinkage: float | None
) -> None:
    features, labels = data
    found = quietly(tx.lda, features, labels, shrinkage=shrinkage)
    # Condition numbers: down to 1e-3 of the mean variance and up to all of it; by default 1e-10.
    tolerance = 1e-9 if shrinkage else 1e-7
    assert found == pytest.approx(reference.lda(features, labels, shrinkage), abs=tolerance)
    assert 0.0 < found <= 1.0 + 1e-12
    counts = np.array(found.class_counts)
    assert found == pytest.approx(found.per_target @ counts / counts.sum(), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(data=datasets())
def test_sfda_is_its_definition(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    found = quietly(tx.sfda, features, labels)
    # Where the shrinkage is its least, 1e-10, rounding counts 1e10-fold.
    tolerance = 1e-9 if found.shrinkage > 1e-4 else 1e-6
    assert found == pytest.approx(reference.sfda(features, labels), abs=tolerance)


@pytest.mark.parametrize("metric", ["lda", "sfda", "ridge_probe"])
@pytest.mark.parametrize("shape", [(60, 8), (20, 30), (30, 30), (31, 30)])
def test_what_changes_nothing(metric: str, shape: tuple[int, int]) -> None:
    compute = getattr(tx, metric)
    features, labels = sample(*shape)
    plain = quietly(compute, features, labels)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(shape[0]), rng.permutation(shape[1])
    for name, (f, y) in {
        "order of rows": (features[rows], labels[rows]),
        "order of columns": (features[:, columns], labels),
        "names of classes": (features, np.array(["b", "c", "a"])[labels]),
        "offset": (features + 100.0, labels),
        "constant columns": (np.hstack([features, np.zeros((shape[0], 3))]), labels),
        "layout": (np.asfortranarray(features), labels),
    }.items():
        if metric != "ridge_probe" and name == "constant columns":
            continue  # the mean variance, which shrinkage goes towards, is over all columns
        again = quietly(compute, f, y)
        assert again == pytest.approx(plain, abs=1e-9), name
    threads = [quietly(compute, features, labels, n_threads=n) for n in (1, 2)]
    assert threads[0] == threads[1]


def test_scale_is_nothing_to_the_probe_and_to_fixed_shrinkage() -> None:
    features, labels = sample()
    scales = 10.0 ** np.linspace(-3, 3, features.shape[1])
    assert tx.ridge_probe(features * scales, labels) == tx.ridge_probe(features, labels)
    fixed = tx.lda(features, labels, shrinkage=0.1)
    assert tx.lda(1e6 * features, labels, shrinkage=0.1) == pytest.approx(fixed, abs=1e-12)
    assert tx.lda(1e6 * features, labels) != pytest.approx(tx.lda(features, labels), abs=1e-6)


def test_centred_rows_leave_the_power_method_somewhere_to_start() -> None:
    features, labels = sample()  # as layer norm without gain makes them: every row sums to zero
    features -= features.mean(axis=1, keepdims=True)
    assert tx.sfda(features, labels) == pytest.approx(reference.sfda(features, labels), abs=1e-6)
    found = tx.lda(features, labels)
    assert found.shrinkage == pytest.approx(
        reference.adaptive_shrinkage(features, labels), rel=1e-9
    )


@pytest.mark.parametrize("metric", ["lda", "sfda"])
def test_saturation_is_said(metric: str) -> None:
    features, labels = sample(20, 40)
    with pytest.warns(TransferabilityWarning, match="cannot be told apart"):
        found = getattr(tx, metric)(20 * features, labels)
    assert found == 1.0
    assert found.saturated.all()
    assert not getattr(tx, metric)(*sample()).saturated.any()


def test_collapsed_classes_are_the_limit_of_no_variation() -> None:
    means = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    labels = np.repeat([0, 1, 2], [2, 3, 5])
    with pytest.warns(TransferabilityWarning, match="do not vary within"):
        found = tx.lda(means[labels], labels)
    # The first class is alone; the others share a mean, 3 to 5.
    np.testing.assert_allclose(found.per_target, [1.0, 3 / 8, 5 / 8])
    assert found == pytest.approx(0.2 + 0.3 * 3 / 8 + 0.5 * 5 / 8)


@settings(deadline=None, max_examples=25)
@given(data=datasets())
def test_probe_leaves_every_row_out(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    ridges = [1e-3, 0.1, 10.0]
    found = quietly(tx.ridge_probe, features, labels, ridges=ridges)
    expected, ridge = reference.ridge_accuracy(features, labels, ridges)
    assert (found, found.ridge) == (pytest.approx(expected, abs=1e-12), ridge)
    counts = np.array(found.class_counts)
    assert found == pytest.approx(found.per_target @ counts / counts.sum(), abs=1e-12)
    targets = features[:, :1] ** 2 + np.arange(len(labels))[:, None] / 9
    targets = np.hstack([targets, np.random.default_rng(0).normal(size=(len(labels), 1))])
    found = quietly(tx.ridge_probe, features, targets, task="regression", ridges=ridges)
    r2, best = reference.ridge_r2(features, targets, ridges)
    np.testing.assert_allclose(found.per_target, r2, rtol=0, atol=1e-8)  # 1/ridge is 1e3
    np.testing.assert_array_equal(found.ridge, best)
    assert found == pytest.approx(found.per_target.mean(), abs=1e-14)


@pytest.mark.parametrize("shape", [(200, 12), (30, 60)])
def test_probe_agrees_with_scikit_learn(shape: tuple[int, int]) -> None:
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    features, _ = sample(*shape)
    targets = features[:, :2] + np.random.default_rng(2).normal(size=(shape[0], 2))
    ridges = np.array([1e-4, 1e-2, 1.0, 100.0])
    peer = RidgeCV(shape[0] * ridges, alpha_per_target=True, store_cv_results=True)
    peer.fit(StandardScaler().fit_transform(features), targets)
    r2 = 1 - peer.cv_results_.sum(axis=0) / (shape[0] * targets.var(axis=0))[:, None]
    found = tx.ridge_probe(features, targets, ridges=ridges)
    np.testing.assert_allclose(found.per_target, r2.max(axis=1), rtol=0, atol=1e-9)
    np.testing.assert_allclose(shape[0] * found.ridge, peer.alpha_)
    np.testing.assert_array_equal(found.ridges, ridges)


def test_probe_of_columns_of_labels_is_a_mean_r2() -> None:
    features, labels = sample()
    columns = np.column_stack([labels == 0, labels == 1, np.zeros(60, bool)])
    with pytest.warns(TransferabilityWarning, match="1 of 3 label columns"):
        found = tx.ridge_probe(features, columns)
    assert (found.task, found.targets) == ("multilabel", (0, 1))
    r2, _ = reference.ridge_r2(features, columns[:, :2].astype(float))
    np.testing.assert_allclose(found.per_target, r2, rtol=0, atol=1e-7)


def test_features_without_a_say() -> None:
    labels = np.repeat([0, 1], [20, 10])
    found = quietly(tx.ridge_probe, np.full((30, 3), 2.5), labels)
    assert found == pytest.approx(20 / 30)
    targets = np.random.default_rng(0).normal(size=30)
    found = quietly(tx.ridge_probe, np.zeros((30, 3)), targets)
    assert found == pytest.approx(1 - (30 / 29) ** 2)  # each row's mean of the others
    found = quietly(tx.lda, np.zeros((30, 3)), labels)
    assert found == pytest.approx(4 / 9 + 1 / 9)


@pytest.mark.parametrize("metric", ["lda", "sfda", "ridge_probe"])
def test_lone_samples_are_said(metric: str) -> None:
    features, labels = sample()
    labels[0] = 9
    with pytest.warns(TransferabilityWarning, match="1 class has a single sample"):
        found = getattr(tx, metric)(features, labels)
    assert np.isfinite(found.per_target).all()


@pytest.mark.parametrize("metric", ["lda", "sfda", "ridge_probe"])
def test_bad_input(metric: str) -> None:
    compute = getattr(tx, metric)
    features, labels = sample()
    with pytest.raises(DataError, match="at least two classes"):
        compute(features, np.zeros(60, int))
    with pytest.raises(DataError, match="at least 3 samples, got 2"):
        compute(features[:2], labels[:2], task="classification")
    with pytest.raises(DataError, match="59"):
        compute(features, labels[:59])
    if metric != "ridge_probe":
        with pytest.raises(DataError, match=f"{metric} is for classification"):
            compute(features, features[:, 0])


@pytest.mark.parametrize("shrinkage", [-0.1, 1.5, np.nan, 0.0])
def test_shrinkage_out_of_range(shrinkage: float) -> None:
    with pytest.raises(DataError, match=r"shrinkage is .*0 < shrinkage <= 1"):
        tx.lda(*sample(), shrinkage=shrinkage)
    with pytest.raises(DtypeError, match="shrinkage is 'much'"):
        tx.lda(*sample(), shrinkage="much")  # type: ignore[arg-type]


@pytest.mark.parametrize("ridges", [[], [0.0], [1.0, -1.0], [np.nan], [np.inf]])
def test_ridges_out_of_range(ridges: Any) -> None:
    with pytest.raises(DataError, match="ridges"):
        tx.ridge_probe(*sample(), ridges=ridges)
    with pytest.raises(DtypeError, match="ridges is"):
        tx.ridge_probe(*sample(), ridges=[[1.0]])  # type: ignore[list-item]


@pytest.mark.parametrize("metric", ["lda", "sfda", "ridge_probe"])
def test_single_precision(metric: str) -> None:
    features, labels = sample(300, 20)
    features = features.astype(np.float32)
    double = quietly(tx.score, features, labels, metric)
    single = quietly(tx.score, features, labels, metric, precision="single")
    # Covariances are summed again in float64; the probe's best ridge is far above the noise.
    assert single == pytest.approx(double, abs=1e-9)


def test_probe_says_which_ridges_rounding_decides() -> None:
    features, labels = sample()
    with pytest.warns(TransferabilityWarning, match="1 of 2 ridges are too small"):
        found = tx.ridge_probe(features, labels, ridges=[1e-20, 0.1])
    assert found.ridge == 0.1
    with pytest.raises(DataError, match="all ridges are below"):
        tx.ridge_probe(features, labels, ridges=[1e-20])


def test_probe_refuses_a_target_that_does_not_vary() -> None:
    features, _ = sample()
    with pytest.raises(DataError, match="column 1 is constant"):
        tx.ridge_probe(features, np.column_stack([features[:, 0], np.ones(60)]))


def test_statistics_alone_are_not_enough() -> None:
    stats = tx.Stats().update(*sample())
    for metric in ("lda", "sfda", "ridge_probe"):
        with pytest.raises(DataError, match="samples"):
            stats.score(metric)


def test_explanations_say_what_the_number_is() -> None:
    assert "probability" in tx.lda(*sample()).explain()
    assert "probability" in tx.sfda(*sample()).explain()
    assert "left out" in tx.ridge_probe(*sample()).explain()
