"""H-scores against recorded values, their definitions, and the laws that they obey."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_tester import close, quietly
from reference import golden
from reference import hscore as reference

import transferability as tx
from transferability import DataError, TransferabilityWarning
from transferability.compat import tllib, transformer_ranker

# Float32 features with exactly dependent columns: what is left of the dependence after rounding
# is a rank of 20 to an SVD of the features, and of 10 to any second moment, as tllib has it.
EXPLAINED = {"cla_rankdef_f4": 1.9896852206494353}
RANKS = {"cla_rankdef_f4": 10}


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    text = (golden.DATA / "golden_hscore.json").read_text(encoding="utf-8")
    loaded = {case["key"]: case for case in json.loads(text)["cases"]}
    return {key: case for key, case in loaded.items() if case["kind"] == "classification"}


NUMBERS = [key for key in cases() if key != "cla_nanval_f8"]


@pytest.mark.parametrize("key", NUMBERS)
def test_recorded_h_scores(key: str) -> None:
    expected = cases()[key]["results"]["hscore/REF_projector"]
    score = quietly(tx.h_score, *golden.inputs(key), task="classification")
    assert close(score, EXPLAINED.get(key, expected["value"]))
    rank = RANKS.get(key, expected["rank"])
    assert score.rank == rank
    assert score.saturated == (score.n_samples - 1 <= rank)
    assert 0.0 <= score <= score.n_classes - 1
    assert close(score.per_target.sum(), score, 1e-14)


@pytest.mark.parametrize("key", NUMBERS)
def test_recorded_regularized_h_scores(key: str) -> None:
    expected = cases()[key]["results"]["hscore_shrunk/REF"]
    features, labels = golden.inputs(key)
    score = quietly(tx.regularized_h_score, features, labels, task="classification")
    assert close(score, expected["value"])
    # Where N = 2 the numerator is what rounding makes of 0; recorded as -4e-16.
    assert score.shrinkage == pytest.approx(max(expected["shrinkage"], 0.0), rel=1e-9, abs=1e-12)
    again = quietly(tx.h_score, features, labels, task="classification", shrinkage="ledoit-wolf")
    assert again == score
    given = quietly(tx.h_score, features, labels, task="classification", shrinkage=score.shrinkage)
    assert given == score


@pytest.mark.parametrize(
    "name", ["hscore/tllib", "hscore_shrunk/tllib", "hscore_shrunk/transformer_ranker"]
)
@pytest.mark.parametrize("key", cases())
def test_compat_equals_its_peer(name: str, key: str) -> None:
    functions = {
        "hscore/tllib": tllib.h_score,
        "hscore_shrunk/tllib": tllib.regularized_h_score,
        "hscore_shrunk/transformer_ranker": transformer_ranker.HScore().fit,
    }
    expected = cases()[key]["results"][name]
    if "error" in expected:
        with pytest.raises(DataError, match=r"LinAlgError|is NaN"):
            functions[name](*golden.inputs(key))
        return
    assert close(functions[name](*golden.inputs(key)), expected["value"])


@st.composite
def datasets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Well-conditioned features of few and many columns, with labels they know something of."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(8, 40))
    d = draw(st.sampled_from([1, 2, n // 3, n // 2, n + 1, 2 * n]))
    n_classes = draw(st.integers(2, 4))
    labels = np.sort(np.arange(n) % n_classes)
    if draw(st.booleans()):  # a class of one row
        labels = np.where(np.arange(n) == 0, -7, np.arange(n) % 2)
    features = rng.normal(size=(n, d))
    features += draw(st.sampled_from([0.0, 2.0])) * rng.normal(size=(9, d))[labels]
    features += draw(st.sampled_from([0.0, 10.0]))
    if draw(st.booleans()):
        features[:, rng.random(d) < 0.3] = 0.0
    if draw(st.booleans()):
        features = np.hstack([features, features[:, : 1 + d // 2]])
    if draw(st.booleans()):
        features = np.vstack([features, features[:5]])
        labels = np.append(labels, labels[:5])
    return features, labels


@settings(deadline=None, max_examples=60)
@given(data=datasets(), shrinkage=st.sampled_from(["ledoit-wolf", "oas", 0.0, 1e-4, 0.3, 1.0]))
def test_values_are_those_of_the_definition(
    data: tuple[np.ndarray, np.ndarray], shrinkage: float | str
) -> None:
    features, labels = data
    plain = quietly(tx.h_score, features, labels, task="classification")
    assert close(plain, reference.h_score(features, labels))
    score = quietly(tx.h_score, features, labels, task="classification", shrinkage=shrinkage)
    if isinstance(shrinkage, str):
        estimate = reference.ledoit_wolf if shrinkage == "ledoit-wolf" else reference.oas
        assert score.shrinkage == pytest.approx(estimate(features), rel=1e-9, abs=1e-12)
    if score.shrinkage == 0.0:  # its limit: the definition divides the two covariances unequally
        expected = plain * len(labels) / (len(labels) - 1)
    else:
        expected = reference.shrunk_h_score(features, labels, score.shrinkage)
    assert close(score, expected)


def sample(n: int = 60, d: int = 8, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(16)
    labels = np.arange(n) % n_classes
    return rng.normal(size=(n, d)) + rng.normal(size=(n_classes, d))[labels], labels


SHAPES = [(60, 8), (31, 30), (20, 30), (20, 200)]
SHRINKAGES: list[Any] = [None, "ledoit-wolf", "oas", 0.1]


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_laws(shape: tuple[int, int], shrinkage: Any) -> None:
    features, labels = sample(*shape)
    rng = np.random.default_rng(3)
    score = functools.partial(quietly, tx.h_score, shrinkage=shrinkage)
    plain = score(features, labels)
    order = rng.permutation(len(labels))
    rotation = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0]
    for other in (
        score(features[order], labels[order]),
        score(features + 1e3, labels),  # rounds the data at 1e-13
        score(features @ rotation, labels),
        score(-1e-60 * features, labels),
        score(1e60 * features, labels),
        score(features, np.array(["x", "a", "k"])[labels]),
    ):
        assert close(other, plain, 1e-10)
    renamed = score(features, np.array([2, 0, 1])[labels])
    np.testing.assert_allclose(renamed.per_target, plain.per_target[[1, 2, 0]], atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_units_of_columns_do_not_matter_without_shrinkage(shape: tuple[int, int]) -> None:
    features, labels = sample(*shape)
    features[:, 5] = features[:, :3].sum(axis=1)
    units = 10.0 ** np.linspace(-40, 40, shape[1])
    plain, scaled = (quietly(tx.h_score, x, labels) for x in (features, features * units))
    assert scaled.rank == plain.rank
    # Columns of units apart have entries of ulps apart.
    assert close(scaled, plain, 1e-10)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_split_merges_to_the_same(shape: tuple[int, int], shrinkage: Any) -> None:
    features, labels = sample(*shape)
    features += 100.0  # so that blocks have shifts of their own
    whole = quietly(tx.h_score, features, labels, shrinkage=shrinkage)
    parts = [
        tx.Stats("classification").update(features[part], labels[part])
        for part in np.array_split(np.arange(len(labels)), 4)
    ]
    merged = quietly(sum(parts[::-1]).score, "h_score", shrinkage=shrinkage)
    assert close(merged, whole, 1e-11)
    weights = np.random.default_rng(5).integers(0, 4, len(labels))
    weighted = tx.Stats("classification").update(features, labels, weights)
    rows = np.repeat(np.arange(len(labels)), weights)
    repeated = quietly(tx.h_score, features[rows], labels[rows], shrinkage=shrinkage)
    assert close(quietly(weighted.score, "h_score", shrinkage=shrinkage), repeated, 1e-10)


def test_more_directions_than_samples_are_saturated_and_say_so() -> None:
    features, labels = sample(20, 30)
    with pytest.warns(TransferabilityWarning, match="always 2.*shrinkage"):
        score = tx.h_score(features, labels)
    assert score == 2.0
    assert score.saturated
    shrunk = tx.regularized_h_score(features, labels)
    assert shrunk < 2.0
    assert "shrunk by" in shrunk.explain()


def test_one_class_and_no_features_score_zero_and_say_so() -> None:
    features, labels = sample()
    for function in (tx.h_score, tx.regularized_h_score):
        with pytest.warns(TransferabilityWarning, match="single class"):
            assert function(features, 0 * labels) == 0.0
        with pytest.warns(TransferabilityWarning, match="same in all rows"):
            assert function(0 * features + 3, labels) == 0.0


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("n", [100, 800])
def test_single_precision_is_as_good_as_it_says(n: int, shrinkage: Any) -> None:
    features, labels = sample(n, 40)
    features[:, 7] = features[:, 2] - features[:, 3]
    features[:, 11] = 5.0
    features = features.astype(np.float32)
    double, single = (
        tx.h_score(features, labels, shrinkage=shrinkage, precision=precision)
        for precision in ("double", "single")
    )
    assert abs(single - double) <= single.rounding
    assert single.rounding < 1e-3
    if shrinkage is None:
        assert (single.rank, double.rank) == (38, 38)


def test_features_that_almost_repeat_others_are_resolved_by_the_samples_or_warned_of() -> None:
    features, labels = sample()
    almost = features[:, :4] + 1e-6 * np.random.default_rng(5).normal(size=(60, 4))
    features = np.hstack([features, almost])
    scale = np.sqrt(np.sum((features - features.mean(axis=0)) ** 2, axis=0))
    q = np.linalg.qr((features - features.mean(axis=0)) / scale)[0]
    indicators = reference.indicators(labels)
    expected = np.sum((q.T @ indicators) ** 2 / indicators.sum(axis=0))
    # Singular values down to 1e-6 of the largest, seen at 2e-16: 10 digits.
    assert close(tx.h_score(features, labels), expected)
    with pytest.warns(TransferabilityWarning, match="few digits only"):
        fast = tx.h_score(features, labels, method="tridiagonal")
    assert abs(fast - expected) <= fast.rounding


def test_threads_change_no_bit() -> None:
    features, labels = sample(400, 60, 40)
    for shrinkage in SHRINKAGES:
        one, two = (tx.h_score(features, labels, shrinkage=shrinkage, n_threads=n) for n in (1, 2))
        assert one == two


@pytest.mark.parametrize(
    ("shrinkage", "message"),
    [(-0.1, "between 0 and 1"), (1.5, "1.5"), (float("nan"), "nan"), ("lw", "ledoit-wolf")],
)
def test_bad_shrinkage_is_refused(shrinkage: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tx.h_score(*sample(), shrinkage=shrinkage)


def test_bad_input_is_refused() -> None:
    features, labels = sample()
    with pytest.raises(DataError, match="is for classification"):
        tx.h_score(features, features[:, 0])
    with pytest.raises(DataError, match="59"):
        tx.h_score(features, labels[:-1])
    features[3, 1] = np.inf
    with pytest.raises(DataError, match=r"features\[3, 1\]"):
        tx.regularized_h_score(features, labels)


@pytest.mark.parametrize("factor", [1e-105, 1e-90, 1e90, 1e105])
def test_shrinkage_does_not_depend_on_the_scale(factor: float) -> None:
    """Fourth powers of these features leave the range of float64."""
    features, labels = sample()
    expected = float(tx.regularized_h_score(features, labels))
    assert float(tx.regularized_h_score(factor * features, labels)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "score", [tllib.h_score, tllib.regularized_h_score, transformer_ranker.HScore().fit]
)
def test_compat_refuses_what_its_peer_fails_on(score: Any) -> None:
    features, labels = sample()
    for bad, message in (
        ((features[:, 0], labels), "2-D"),
        ((features, labels[:-1]), "give one for each"),
        ((features[:1], labels[:1]), "at least 2 rows"),
        ((features, labels + np.nan), r"labels\[0\] is nan"),
        ((features * 1e90, labels), "overflow"),
    ):
        with pytest.raises(DataError, match=message):
            score(*bad)
    with pytest.raises(tx.DtypeError, match="dtype complex128"):
        score(features + 1j, labels)
    with pytest.raises(DataError, match="regression"):
        transformer_ranker.HScore(regression=True)
