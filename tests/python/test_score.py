"""Score, the one-shot functions and Stats."""

from __future__ import annotations

import copy
import json
import math
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError, DtypeError


def test_a_score_is_a_float_that_remembers(features: Any, labels: Any) -> None:
    score = tx.logme(features, labels)
    assert isinstance(score, float)
    assert score + 1 == float(score) + 1
    assert f"{score:.3f}" == f"{float(score):.3f}"
    assert str(score) == repr(float(score))
    assert "metric='logme'" in repr(score)
    assert (score.n_samples, score.n_features, score.n_classes) == (90, 6, 3)
    assert score.classes == score.targets == (-3, 4, 70)
    assert sum(score.class_counts) == 90
    assert score == pytest.approx(score.per_target.mean())
    assert score.seconds > 0
    for name in ("alpha", "beta", "converged", "iterations"):
        assert getattr(score, name).shape == (3,)
        assert name in dir(score)
    with pytest.raises(AttributeError, match="no 'coef'"):
        _ = score.coef
    with pytest.raises(AttributeError, match="cannot be changed"):
        score.task = "regression"


def test_a_score_is_a_value(features: Any, labels: Any) -> None:
    score = tx.logme(features, labels, keep_coef=True)
    with pytest.raises(AttributeError, match="cannot be changed"):
        del score.task
    for twin in (score, pickle.loads(pickle.dumps(score)), copy.deepcopy(score)):
        for array in (twin.per_target, twin.alpha, twin.coef):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        with pytest.raises(TypeError):
            twin.details["alpha"] = 1


def test_a_score_leaves_the_arrays_of_its_caller_alone(features: Any, labels: Any) -> None:
    """They stay writeable, and writing to them does not change the score."""
    score = tx.logme(features, labels)
    own, ridges = np.zeros(2), np.array([0.1, 1.0])
    changed = score.replace(per_target=own, details={"own": own})
    probed = tx.ridge_probe(features, labels, ridges=ridges)
    for array in (own, ridges):
        array[0] = 7.0
    assert (changed.per_target.tolist(), changed.own.tolist()) == ([0.0, 0.0], [0.0, 0.0])
    assert probed.ridges.tolist() == [0.1, 1.0]
    for array in (changed.per_target, changed.own, probed.ridges):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert changed.replace(value=0.5).per_target is changed.per_target


def test_errors_are_also_those_of_python() -> None:
    for name in tx.errors.__all__:
        kind = getattr(tx, name)
        assert issubclass(kind, (tx.TransferabilityError, UserWarning))
    assert issubclass(tx.OutOfMemoryError, MemoryError)


def test_scores_pickle_and_copy(features: Any, labels: Any) -> None:
    score = tx.logme(features, labels, keep_coef=True)
    for twin in (pickle.loads(pickle.dumps(score)), copy.deepcopy(score), copy.copy(score)):
        assert twin == score
        assert repr(twin) == repr(score)
        np.testing.assert_array_equal(twin.coef, score.coef)
    assert score.coef.shape == (3, 6)


def test_a_score_explains_itself(features: Any, labels: Any) -> None:
    text = tx.logme(features, labels).explain()
    for part in ("LogME", "higher is better", "know nothing would get", "90 rows x 6", "integers"):
        assert part in text
    assert "Compare it only" in tx.logme(features, features[:, 0] * 2 + 1e-3 * labels).explain()


def test_the_baseline_is_what_useless_features_get(labels: Any) -> None:
    text = tx.logme(np.full((90, 3), 1e-9) * np.arange(3), labels, intercept=False).explain()
    assert float(text.split("know nothing would get ")[1].split()[0]) < 0


def test_to_dict_is_ready_for_json(features: Any, labels: Any) -> None:
    facts = json.loads(json.dumps(tx.logme(features, labels).to_dict(), allow_nan=False))
    assert facts["classes"] == [-3, 4, 70]
    assert len(facts["details"]["alpha"]) == 3
    odd = tx.Score(math.inf, metric="logme", per_target=np.array([math.nan, 1.0]))
    assert odd.to_dict()["value"] == "inf"
    assert odd.to_dict()["per_target"] == [None, 1.0]


def test_score_takes_names_lists_and_all(features: Any, labels: Any) -> None:
    single = tx.score(features, labels)
    assert single == tx.logme(features, labels)
    assert isinstance(single, tx.Score)
    assert tx.score(features, labels, ["logme"])["logme"] == single
    everything = tx.score(features, labels, "all")
    # Statistics that also keep every class add up in another order.
    assert everything["logme"] == pytest.approx(single, abs=1e-12)
    assert isinstance(everything.skipped, dict)
    assert tx.score(features, labels, intercept=True) == tx.logme(features, labels, intercept=True)


@pytest.mark.parametrize(
    ("metrics", "options", "error", "message"),
    [
        ("logm", {}, DataError, r"unknown metric 'logm' \(did you mean 'logme'"),
        (None, {}, DtypeError, "metrics is None; give a name"),
        (["logme", 3], {}, DtypeError, r"metrics is \['logme', 3\]; give a name"),
        ([], {}, DataError, "metrics is empty"),
        ({"cka": {"estimator": "biased"}}, {}, DtypeError, "metrics is a mapping.*beside it"),
        (
            "logme",
            {"intercpt": True},
            DtypeError,
            r"unknown option 'intercpt' .*'intercept'.*; logme takes",
        ),
        ("logme", {"nonsense": 1}, DtypeError, "logme takes intercept, keep_coef, standardize$"),
        ("logme", {"leave_out": "group"}, DtypeError, "it is an option of .*ridge_probe.*, knn"),
        (["logme", "cka"], {"k": 5}, DtypeError, "unknown option 'k'.* it is an option of .*knn"),
    ],
)
def test_unknown_names_are_named(
    metrics: Any, options: Any, error: Any, message: str, features: Any, labels: Any
) -> None:
    with pytest.raises(error, match=message):
        tx.score(features, labels, metrics, **options)


@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
def test_svd_agrees(task: str, features: Any, labels: Any) -> None:
    target = {
        "classification": labels.astype(str),
        "regression": features[:, 0] + labels,
        "multilabel": (features[:, :2] > 0).astype(int),
    }[task]
    fast, slow = (tx.logme(features, target, method=method) for method in ("auto", "svd"))
    assert slow == pytest.approx(fast, rel=1e-9)
    assert slow.targets == fast.targets
    assert (slow.classes, slow.class_counts) == (fast.classes, fast.class_counts)


def test_auto_takes_the_svd_where_statistics_lose_digits() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 5))
    targets = features @ np.arange(1.0, 6) + 1e-5 * rng.normal(size=200)
    auto, svd = (tx.logme(features, targets, method=method) for method in ("auto", "svd"))
    assert auto == svd
    assert auto.warnings == ()
    with pytest.warns(tx.TransferabilityWarning, match="method="):
        tx.logme(features, targets, method="tridiagonal")


def test_warnings_point_at_the_caller(features: Any) -> None:
    with pytest.warns(tx.TransferabilityWarning) as caught:
        score = tx.logme(features, np.ones(90, int))
    assert [str(w.message) for w in caught] == list(score.warnings)
    assert caught[0].filename == __file__


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, 89), max_size=4), order=st.randoms())
def test_any_split_and_merge_order_gives_the_same_score(cuts: list[int], order: Any) -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(90, 7)) + 3
    labels = np.array(["a", "b", "c"])[rng.integers(0, 3, 90)]
    edges = [0, *sorted(set(cuts)), 90]
    parts = [
        tx.Stats("classification").update(features[i:j], labels[i:j]) for i, j in pairwise(edges)
    ]
    order.shuffle(parts)
    merged = sum(parts[1:], start=parts[0])
    assert merged.n_samples == 90
    assert merged.score("logme") == pytest.approx(tx.logme(features, labels), rel=1e-9)


def test_stats_update_in_blocks(features: Any, labels: Any) -> None:
    stats = tx.Stats()
    assert (stats.task, stats.n_samples, stats.n_features) == ("auto", 0, 0)
    assert stats.update(features[:40], labels[:40]) is stats
    stats.update(features[40:], labels[40:])
    assert (stats.task, stats.n_samples, stats.n_features) == ("classification", 90, 6)
    assert stats.classes == (-3, 4, 70)
    assert stats.nbytes > 0
    assert "n_samples=90" in repr(stats)
    score = stats.score(["logme"])["logme"]
    assert score == pytest.approx(tx.logme(features, labels), rel=1e-9)
    assert "integers" in score.task_note


def test_integer_weights_repeat_rows(features: Any, labels: Any) -> None:
    weights = np.arange(90) % 4
    weighted = tx.Stats().update(features, labels, sample_weight=weights).score("logme")
    repeated = tx.logme(np.repeat(features, weights, axis=0), np.repeat(labels, weights))
    assert weighted == pytest.approx(repeated, rel=1e-9)
    assert weighted.n_samples == weights.sum()


def test_merging_changes_neither_input(features: Any, labels: Any) -> None:
    first = tx.Stats().update(features[:50], labels[:50])
    second = tx.Stats().update(features[50:], labels[50:])
    before = first.score(), second.score()
    total = first + second
    assert (first.score(), second.score()) == before
    total.update(features, labels)
    assert first.n_samples == 50
    assert (tx.Stats() + first).score() == first.score()
    copied = first.copy().update(features, labels)
    assert (copied.n_samples, first.n_samples) == (140, 50)


def fixed(stats: tx.Stats) -> tx.Stats:
    """The same rows as classes for good; real numbers would make targets of an open task."""
    return stats.replace(task="classification")


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda s, x, y: tx.Stats().score(), DataError, "no rows yet"),
        (lambda s, x, y: s.update(x, y, np.ones(90)), DtypeError, "sample_weight must hold int"),
        (lambda s, x, y: s.update(x, y, np.full(90, -1)), DataError, r"sample_weight\[0\] is -1"),
        (
            lambda s, x, y: s.update(x, y, np.full(90, 2**63, "u8")),
            DataError,
            "9223372036854775808",
        ),
        (lambda s, x, y: s.update(x, y, [1, 2]), DataError, r"shape \(2,\)"),
        (lambda s, x, y: s.update(x[:, :3], y), DataError, "columns"),
        (lambda s, x, y: s.update(x, y.astype(str)), DataError, "labels"),
        (lambda s, x, y: fixed(s).update(x, x[:, 0]), DataError, "task='regression'"),
        (lambda s, x, y: s + 1, DtypeError, "merges with Stats only"),
        (lambda s, x, y: fixed(s) + tx.Stats().update(x, x[:, 0]), DataError, "cannot merge"),
        (lambda s, x, y: tx.Stats("clustering"), DataError, "task is"),
    ],
)
def test_stats_refuse_and_stay_as_they_were(
    use: Any, error: Any, message: str, features: Any, labels: Any
) -> None:
    stats = tx.Stats().update(features, labels)
    before = stats.score()
    with pytest.raises(error, match=message):
        use(stats, features, labels)
    assert stats.score() == before
