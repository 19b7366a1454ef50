"""NCE and LEEP: recorded values, definitions, laws and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_tester import TOLERANCE, quietly
from reference import golden
from reference import source as reference

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning

CASES, ARRAYS = golden.shipped("source")
NORMALIZE = (None, "entropy_sum", "entropy_ratio")
ROUNDING = 1e-13  # a sum of at most a few hundred terms of size below 10


def recorded(key: str) -> tuple[Any, Any, Any]:
    return tuple(ARRAYS[f"{key}__{name}"] for name in "Pzy")  # type: ignore[return-value]


@pytest.mark.parametrize("key", CASES)
def test_recorded_values(key: str) -> None:
    probs, source, labels = recorded(key)
    labels = labels.astype(int)  # one case records float labels, which are classes
    for name, function, given_ in (("leep", tx.leep, probs), ("nce", tx.nce, source)):
        expected = CASES[key]["results"][f"{name}/REF"]["value"]
        score = quietly(function, given_, labels)
        assert abs(score - expected) <= TOLERANCE * max(1, abs(expected))


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("key", ["cla_wine_f8", "cla_c10_f8", "cla_leep_f4_probs_f8"])
def test_definition(key: str, normalize: str | None) -> None:
    probs, source, labels = recorded(key)
    expected = reference.normalized(reference.leep(probs, labels), labels, normalize)
    assert tx.leep(probs, labels, normalize=normalize) == pytest.approx(expected, abs=ROUNDING)
    expected = reference.normalized(reference.nce(source, labels), labels, normalize)
    assert tx.nce(source, labels, normalize=normalize) == pytest.approx(expected, abs=ROUNDING)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Any, Any]:
    """Source probabilities, some of them zero, and labels of at least two classes."""
    n, n_source = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probs = rng.dirichlet(np.full(n_source, draw(st.sampled_from([0.02, 0.3, 5.0]))), n)
    labels = rng.integers(0, draw(st.integers(2, 5)), n)
    labels[:2] = 0, 1
    return probs, labels


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_agrees_with_the_definition(task: tuple[Any, Any]) -> None:
    probs, labels = task
    source = probs.argmax(axis=1)
    score, expected = quietly(tx.leep, probs, labels), reference.leep(probs, labels)
    assert score == pytest.approx(expected, abs=ROUNDING)
    assert quietly(tx.nce, source, labels) == pytest.approx(
        reference.nce(source, labels), abs=ROUNDING
    )


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_bounds_and_parts(task: tuple[Any, Any]) -> None:
    # LEEP is the likelihood after one step of expectation maximisation from -H(Y), and no such
    # step lowers it; NCE + H(Y) is mutual information.
    probs, labels = task
    for function, given_ in ((tx.leep, probs), (tx.nce, probs.argmax(axis=1))):
        score = quietly(function, given_, labels)
        assert -score.label_entropy - ROUNDING <= score <= ROUNDING
        assert score.label_entropy == pytest.approx(reference.entropy(labels), abs=ROUNDING)
        ratio = quietly(function, given_, labels, normalize="entropy_ratio")
        assert -ROUNDING <= ratio * score.label_entropy <= score.label_entropy + ROUNDING
        for normalize in NORMALIZE:
            score = quietly(function, given_, labels, normalize=normalize)
            mean = np.average(score.per_target, weights=score.class_counts)
            assert score == pytest.approx(mean, rel=1e-12, abs=ROUNDING)


@settings(max_examples=40, deadline=None)
@given(tasks(), st.integers(0, 2**32 - 1))
def test_order_and_names_do_not_matter(task: tuple[Any, Any], seed: int) -> None:
    probs, labels = task
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(probs)), rng.permutation(probs.shape[1])
    names = np.array(["e", "d", "c", "b", "a"])[labels]
    unused = np.insert(probs, 1, 0.0, axis=1)
    score = quietly(tx.leep, probs, labels)
    for other in (probs[rows][:, columns], unused[rows]):
        assert quietly(tx.leep, other, names[rows]) == pytest.approx(score, abs=ROUNDING)
    source = probs.argmax(axis=1)
    score = quietly(tx.nce, source, labels)
    for other in (-7 * source, source.astype("U"), source * 10**15):
        assert quietly(tx.nce, other[rows], names[rows]) == pytest.approx(score, abs=ROUNDING)


@settings(max_examples=30, deadline=None)
@given(tasks())
def test_hard_probabilities_make_leep_nce(task: tuple[Any, Any]) -> None:
    probs, labels = task
    source = probs.argmax(axis=1)
    hard = np.eye(probs.shape[1])[source]
    assert quietly(tx.leep, hard, labels) == pytest.approx(
        quietly(tx.nce, source, labels), abs=ROUNDING
    )
    for function, given_ in ((tx.leep, probs), (tx.nce, source)):
        twice = quietly(
            function, np.concatenate([given_, given_]), np.concatenate([labels, labels])
        )
        assert twice == pytest.approx(quietly(function, given_, labels), abs=ROUNDING)


def test_predictions_that_know_everything_or_nothing() -> None:
    labels = np.arange(60) % 3
    for normalize, best, worst in zip(
        NORMALIZE, (0, np.log(3), 1), (-np.log(3), 0, 0), strict=True
    ):
        assert tx.nce(labels, labels, normalize=normalize) == pytest.approx(best, abs=ROUNDING)
        probs = np.eye(3)[labels]
        assert tx.leep(probs, labels, normalize=normalize) == pytest.approx(best, abs=ROUNDING)
        source = np.arange(60) // 3 % 4  # every label as often with every source class
        assert tx.nce(source, labels, normalize=normalize) == pytest.approx(worst, abs=ROUNDING)
        flat = np.full((60, 8), 0.125)
        assert tx.leep(flat, labels, normalize=normalize) == pytest.approx(worst, abs=ROUNDING)


def test_logits() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(50, 7)) * 5, rng.integers(0, 3, 50)
    expected = tx.leep(reference.softmax(logits), labels)
    assert tx.leep(logits, labels, from_logits=True) == pytest.approx(expected, abs=ROUNDING)
    # A constant in a row does not count, and the exponentials of these would overflow.
    far = logits + rng.integers(-4, 5, (50, 1)) * 2.0**20
    near = tx.leep(far - np.round(far.max(axis=1, keepdims=True)), labels, from_logits=True)
    assert tx.leep(far, labels, from_logits=True) == pytest.approx(near, abs=ROUNDING)
    masked = np.insert(logits, 3, -np.inf, axis=1)
    assert tx.leep(masked, labels, from_logits=True) == pytest.approx(expected, abs=ROUNDING)
    with pytest.raises(DataError, match=r"row 0 .*from_logits=True"):
        tx.leep(logits + 100, labels)
    with pytest.raises(DataError, match=r"source_probs\[0, \d\] is -.*from_logits=True"):
        tx.leep(logits, labels)
    masked[4] = -np.inf
    with pytest.raises(DataError, match=r"source_probs\[4, 0\] is -inf"):
        tx.leep(masked, labels, from_logits=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_rows_that_do_not_sum_to_1(dtype: Any) -> None:
    rng = np.random.default_rng(2)
    probs, labels = rng.dirichlet(np.ones(9), 40), rng.integers(0, 3, 40)
    assert tx.leep(probs.astype(dtype), labels) == pytest.approx(
        tx.leep(probs, labels), abs=4 * float(np.finfo(dtype).eps) + ROUNDING
    )
    probs[17] *= 1.1
    with pytest.raises(DataError, match=r"row 17 of source_probs sums to 1\.[01]"):
        tx.leep(probs.astype(dtype), labels)
    probs[17] = 0
    with pytest.raises(DataError, match="row 17 of source_probs sums to 0"):
        tx.leep(probs.astype(dtype), labels)


def test_float32_probabilities_in_float64() -> None:
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.full(1000, 0.1), 30).astype(np.float32).astype(np.float64)
    tx.leep(probs, rng.integers(0, 2, 30))


@pytest.mark.parametrize(
    ("source_probs", "message"),
    [
        ([[0.5, 0.5], [np.nan, 1.0], [1, 0]], r"source_probs\[1, 0\] is NaN"),
        ([[0.5, 0.5], [0, 1], [np.inf, 0]], r"source_probs\[2, 0\] is inf"),
        ([[0.5, 0.5], [-0.25, 1.25], [1, 0]], r"source_probs\[1, 0\] is -0.25"),
        ([[0.5, 0.5], [1, 0]], "source_probs has 2 rows"),
        (np.zeros((3, 0)), "source_probs"),
        ([0.5, 0.5, 1.0], "source_probs must be 2-D"),
    ],
)
def test_bad_probabilities(source_probs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tx.leep(source_probs, [0, 1, 0])


def test_bad_arguments() -> None:
    probs, labels = np.full((4, 2), 0.5), [0, 1, 0, 1]
    for function, given_ in ((tx.leep, probs), (tx.nce, [0, 1, 1, 0])):
        with pytest.raises(DataError, match=r"normalize is 'x'; choose"):
            function(given_, labels, normalize="x")
        with pytest.raises(DataError, match="not whole numbers"):
            function(given_, [0.5, 1.5, 2.5, 3.5])
        with pytest.raises(DataError, match="is for classification, and this task is regression"):
            function(given_, [0.5, 1.5, 2.5, 3.5], task="regression")
        with pytest.raises(DataError, match="entropy of the labels, which is 0"):
            function(given_, [1, 1, 1, 1], normalize="entropy_ratio")
    with pytest.raises(DataError, match="source_labels has 3 rows"):
        tx.nce([0, 1, 1], labels)
    with pytest.raises(DataError, match="source_labels has 1 missing"):
        tx.nce(["a", None, "b", "b"], labels)
    with pytest.raises((DataError, DtypeError), match="source_labels"):
        tx.nce(probs, labels)
    with pytest.raises(DtypeError, match="source_probs must hold real numbers"):
        tx.leep(probs.astype("U"), labels)


def test_single_classes_are_defined_with_a_warning() -> None:
    probs, labels = np.eye(3)[np.arange(9) % 3], np.arange(9) % 3
    for function, given_ in ((tx.leep, probs), (tx.nce, labels)):
        with pytest.warns(TransferabilityWarning, match="single class"):
            assert function(given_, np.zeros(9, int)) == 0
    with pytest.warns(TransferabilityWarning, match="source"):
        score = tx.nce(np.ones(9, int), labels)
    assert score == pytest.approx(-np.log(3))
    for one in (np.ones((9, 1)), np.eye(4)[np.full(9, 2)]):
        with pytest.warns(TransferabilityWarning, match="source"):
            assert tx.leep(one, labels) == pytest.approx(-np.log(3))


def test_details() -> None:
    probs, labels = np.eye(4)[[0, 0, 1, 3]], ["a", "b", "b", "b"]
    score = tx.leep(probs, labels)
    assert score.classes == ("a", "b")
    assert score.n_source_classes == 3
    np.testing.assert_allclose(score.per_target, [np.log(0.5), np.log(0.5) / 3])
    assert tx.nce(["x", "x", "y", "z"], labels).n_source_classes == 3
    assert "3 source classes" in score.explain()


def test_layouts_threads_and_the_callers_arrays() -> None:
    rng = np.random.default_rng(4)
    probs, labels = rng.dirichlet(np.full(12, 0.3), 5000), rng.integers(0, 4, 5000)
    before = probs.copy()
    scores = {
        float(tx.leep(array, labels, n_threads=n))
        for array in (probs, np.asfortranarray(probs), probs.tolist())
        for n in (1, 2, 5)
    }
    assert len(scores) == 1
    assert scores.pop() == pytest.approx(reference.leep(probs, labels), abs=ROUNDING)
    np.testing.assert_array_equal(probs, before)


def test_together_with_metrics_of_features(features: Any, labels: Any) -> None:
    probs = reference.softmax(features)
    source = probs.argmax(axis=1)
    scores = tx.score(
        features, labels, ["logme", "leep", "nce"], source_probs=probs, source_labels=source
    )
    assert scores["leep"] == tx.leep(probs, labels)
    assert scores["nce"] == tx.nce(source, labels)
    assert scores["logme"] == tx.logme(features, labels)
    ranking = tx.rank(
        {"a": features, "b": features},
        labels,
        ["leep", "nce"],
        source_probs={"a": probs, "b": np.full((90, 2), 0.5)},
        source_labels={"a": source, "b": np.arange(90) % 2},
    )
    assert ranking["a"].scores["leep"] == tx.leep(probs, labels)
    with pytest.raises(DataError, match="source_probs"):
        tx.score(features, labels, "leep")


def test_sums_of_any_size_are_written_short() -> None:
    for scale in (1e300, 1e-320):
        probs, labels = np.full((6, 4), scale), np.arange(6) % 2
        with pytest.raises(DataError, match="row 0 of source_probs sums to") as caught:
            tx.leep(probs, labels)
        assert len(str(caught.value)) < 250
