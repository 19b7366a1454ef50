"""LEEP and NCE of other libraries: their recorded numbers, their quirks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference import golden

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning
from transferability._metric import registry
from transferability.compat import thuml, tllib, transformer_ranker

CASES, ARRAYS = golden.shipped("source")
LEEPS = {"thuml": thuml.LEEP, "tllib": tllib.log_expected_empirical_prediction}
NCES = {"thuml": thuml.NCE, "tllib": tllib.negative_conditional_entropy}


@pytest.mark.parametrize("key", CASES)
@pytest.mark.parametrize("library", LEEPS)
def test_recorded_values(library: str, key: str) -> None:
    probs, source, labels = (ARRAYS[f"{key}__{name}"] for name in "Pzy")
    results = CASES[key]["results"]
    assert NCES[library](source, labels) == pytest.approx(
        results[f"nce/{library}"]["value"], abs=1e-12
    )
    expected = results[f"leep/{library}"]
    if "error" in expected:
        with pytest.raises(DtypeError, match="IndexError"):
            LEEPS[library](probs, labels)
    elif expected["value"] == "nan":
        with pytest.warns(TransferabilityWarning, match="no row gives any mass"):
            assert np.isnan(LEEPS[library](probs, labels))
    else:
        assert LEEPS[library](probs, labels) == pytest.approx(expected["value"], abs=1e-12)


def test_quirks() -> None:
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    # A negative id indexes from the end, and is not counted for the class that it is scored as.
    conditional = np.array([0.9, 0.1]) / [1.5, 0.5], np.array([0.6, 0.4]) / [1.5, 0.5]
    expected = np.mean(
        np.log([probs[0] @ conditional[0], probs[1] @ conditional[1], probs[2] @ conditional[1]])
    )
    assert thuml.LEEP(probs, [0, -1, 1]) == pytest.approx(expected, abs=1e-15)
    assert thuml.NCE([0, 0, 1], [0, -1, 1]) == thuml.NCE([0, 0, 1], [0, 1, 1])
    assert thuml.NCE([0.2, 0.7, 1.9], [[0], [1], [1]]) == thuml.NCE([0, 0, 1], [0, 1, 1])
    # Whatever the rows hold is taken.
    assert np.isfinite(thuml.LEEP(3 * probs, [0, 1, 0]))
    with pytest.warns(TransferabilityWarning, match="are no probabilities"):
        assert thuml.LEEP(probs * [[0], [1], [1]], [0, 1, 1]) == -np.inf


@pytest.mark.parametrize("leep", LEEPS.values())
def test_bad_probabilities(leep: Any) -> None:
    with pytest.raises(DataError, match=r"2 rows, .* 3; give one for each"):
        leep(np.ones((3, 2)), [0, 1])
    with pytest.raises(DataError, match="expected 2-D"):
        leep(np.ones(3), [0, 1, 1])
    with pytest.raises(DataError, match="no rows or no columns"):
        leep(np.ones((3, 0)), [0, 1, 1])
    with pytest.raises(DtypeError, match="give class ids"):
        leep(np.ones((2, 2)), ["a", "b"])
    with pytest.raises(DataError, match="class id -3; with 2 classes"):
        leep(np.ones((2, 2)), [1, -3])
    with pytest.raises(DataError, match="at least one class id"):
        leep(np.ones((1, 2)), [-1])
    with pytest.raises(DataError, match=r"are more than .* cells"):
        leep(np.ones((1, 2)), [2_000_000_000])


@pytest.mark.parametrize("nce", NCES.values())
def test_bad_source_labels(nce: Any) -> None:
    with pytest.raises(DataError, match=r"2 rows, .* 3; give one for each"):
        nce([0, 1, 1], [0, 1])
    with pytest.raises(DataError, match="is empty"):
        nce([], [])
    with pytest.raises(DataError, match=r"\[1\] is not finite"):
        nce([0, np.nan], [0, 1])
    with pytest.raises(DataError, match="at least one class id"):
        nce([-1, -1], [0, 1])
    with pytest.raises(DataError, match=r"are more than .* cells"):
        nce([0, 2_000_000_000], [0, 1])


def ranker_data(n_classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(n_classes)
    labels = rng.integers(0, n_classes, 120)
    features = rng.normal(size=(120, 8))
    features[:, 0] += 2 * labels
    return features, labels


class Ranker:
    """What `install` needs of transformer_ranker.TransformerRanker."""

    def __init__(self) -> None:
        self.transferability_metrics: dict[str, Any] = {"logme": transformer_ranker.LogME, "x": int}


def test_install() -> None:
    features, labels = ranker_data(5)
    ranker = Ranker()
    replaced = transformer_ranker.install(ranker, intercept=True)
    assert replaced == {"logme": transformer_ranker.LogME}
    assert ranker.transferability_metrics["x"] is int
    assert not {"nce", "leep"} & set(ranker.transferability_metrics)
    estimator = ranker.transferability_metrics["logme"](regression=False)
    score = estimator.fit(embeddings=features, labels=labels)
    assert type(score) is float
    assert score == estimator.score == tx.logme(features, labels, intercept=True)
    estimator = ranker.transferability_metrics["logme"](regression=True)
    targets = np.sin(features[:, 1])
    assert estimator.fit(features, targets) == tx.logme(features, targets)
    ranker.transferability_metrics.update(replaced)
    assert ranker.transferability_metrics["logme"] is transformer_ranker.LogME


def test_the_recommended_metrics_have_their_options() -> None:
    features, labels = ranker_data(5)
    for options in ({}, {"standardize": False}):
        ranker = Ranker()
        transformer_ranker.install(ranker, "recommended", **options)
        expected = tx.score(features, labels, "recommended", **options)
        for name in ("logme", "ridge_probe"):
            found = ranker.transferability_metrics[name]().fit(features, labels)
            assert found == expected[name]


def test_what_cannot_be_installed() -> None:
    with pytest.raises(DataError, match="leep needs source_probs, and a ranker has"):
        transformer_ranker.install(Ranker(), ["logme", "leep"])
    with pytest.raises(DataError, match="unknown metric 'hlogme'"):
        transformer_ranker.install(Ranker(), "hlogme")
    with pytest.raises(DtypeError, match="unknown option 'depth'"):
        transformer_ranker.install(Ranker(), "logme", depth=3)
    with pytest.raises(DtypeError, match="no dict transferability_metrics"):
        transformer_ranker.install(object())


def test_an_estimator_for_other_tasks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = Ranker()
    transformer_ranker.install(ranker, "logme")
    one_task = replace(registry.spec_of("logme"), tasks=("classification",))
    monkeypatch.setitem(registry._specs, "logme", one_task)
    ranker.transferability_metrics["logme"](regression=False)
    with pytest.raises(ValueError, match="logme is not for regression"):
        ranker.transferability_metrics["logme"](regression=True)
