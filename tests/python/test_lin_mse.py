"""LinMSE, LabMSE, LFC and CKA against recorded values, definitions and laws."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_tester import TOLERANCE, close, quietly
from reference import golden
from reference import hscore as reference

import transferability as tx
from transferability import DataError, TransferabilityWarning

RIDGES = {"linmse0": 0.0, "linmse1": 1.0, "linmse_lam0.1": 0.1}


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    text = (golden.DATA / "golden_hscore.json").read_text(encoding="utf-8")
    loaded = {case["key"]: case for case in json.loads(text)["cases"]}
    return {key: case for key, case in loaded.items() if case["kind"] == "regression"}


@pytest.mark.parametrize("name", RIDGES)
@pytest.mark.parametrize("key", cases())
def test_recorded_values(name: str, key: str) -> None:
    features, targets = golden.inputs(key)
    expected = cases()[key]["results"][f"{name}/REF"]
    lin_mse = functools.partial(
        quietly, tx.lin_mse, features, targets, task="regression", ridge=RIDGES[name]
    )
    score = lin_mse()
    assert close(score, expected["value"])
    assert close(lin_mse(outputs="sum"), expected["value_sum_outputs"])
    assert close(lin_mse(outputs="sum", penalty=True), expected["with_penalty"])
    assert close(score.per_target.mean(), score, 1e-14)
    if name == "linmse0":
        assert score.rank == expected["rank"]
        assert score.saturated == (score.n_samples - 1 <= score.rank)
    else:
        assert not score.saturated


@pytest.mark.parametrize(
    ("name", "key"),
    # There, its least-squares solver drops columns whose unit is small.
    [(n, k) for n in RIDGES for k in cases() if (n, k) != ("linmse0", "reg_illcond_f8")],
)
def test_recorded_values_of_the_authors_code(name: str, key: str) -> None:
    features, targets = golden.inputs(key)
    expected = cases()[key]["results"][f"{name}/cuongnn_patched_squared_kw"]
    score = quietly(tx.lin_mse, features, targets, task="regression", ridge=RIDGES[name])
    # scikit-learn computes float32 features in float32.
    tolerance = 1e-5 if features.dtype == np.float32 else TOLERANCE
    assert close(score, expected["value"], tolerance)


def sample(n: int = 60, d: int = 8, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(16)
    features = rng.normal(size=(n, d))
    targets = features @ rng.normal(size=(d, k)) / d**0.5 + rng.normal(size=(n, k)) + 4
    return features, targets


@st.composite
def datasets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(8, 40))
    d = draw(st.sampled_from([1, n // 3, n // 2, n + 1, 2 * n]))
    features, targets = rng.normal(size=(n, d)), rng.normal(size=(n, draw(st.integers(1, 3))))
    targets[:, 0] += 2 * features[:, 0]
    features += draw(st.sampled_from([0.0, 10.0]))
    if draw(st.booleans()):
        features[:, rng.random(d) < 0.3] = 0.0
    if draw(st.booleans()):
        features = np.hstack([features, features[:, : 1 + d // 2]])
    if draw(st.booleans()):
        features, targets = np.vstack([features, features[:5]]), np.vstack([targets, targets[:5]])
    return features, targets


@settings(deadline=None, max_examples=60)
@given(
    data=datasets(),
    ridge=st.sampled_from([0.0, 1e-4, 0.1, 10.0]),
    penalty=st.booleans(),
    outputs=st.sampled_from(["mean", "sum"]),
)
def test_values_are_those_of_the_definition(
    data: tuple[np.ndarray, np.ndarray], ridge: float, penalty: bool, outputs: str
) -> None:
    options = {"ridge": ridge, "penalty": penalty, "outputs": outputs}
    score = quietly(tx.lin_mse, *data, task="regression", **options)
    assert close(score, reference.lin_mse(*data, ridge, penalty, outputs == "sum"))
    lab = quietly(tx.lab_mse, *data, task="regression", **options)
    assert (lab.metric, float(lab)) == ("lab_mse", float(score))


SHAPES = [(60, 8), (31, 30), (20, 30), (20, 200)]


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_laws(shape: tuple[int, int], ridge: float) -> None:
    features, targets = sample(*shape)
    score = functools.partial(quietly, tx.lin_mse, ridge=ridge)
    plain = score(features, targets)
    order = np.random.default_rng(3).permutation(len(targets))
    assert close(score(features[order], targets[order]), plain, 1e-11)
    assert close(score(features + 1e3, targets - 1e3), plain, 1e-10)
    assert close(score(features, 1e3 * targets) / 1e6, plain, 1e-11)
    assert close(quietly(tx.lin_mse, 1e3 * features, targets, ridge=1e6 * ridge), plain, 1e-11)
    parts = [
        tx.Stats().update(features[part], targets[part])
        for part in np.array_split(np.arange(len(targets)), 4)
    ]
    assert close(quietly(sum(parts).score, "lin_mse", ridge=ridge), plain, 1e-11)


def test_units_of_columns_do_not_matter_without_ridge() -> None:
    features, targets = sample()
    units = 10.0 ** np.linspace(-40, 40, 8)
    assert close(tx.lin_mse(features * units, targets), tx.lin_mse(features, targets), 1e-11)


def test_more_directions_than_samples_are_saturated_and_say_so() -> None:
    features, targets = sample(20, 30)
    with pytest.warns(TransferabilityWarning, match=r"saturated|ridge"):
        score = tx.lin_mse(features, targets)
    assert score.saturated
    assert -1e-20 < score <= 0.0
    assert not tx.lin_mse(features, targets, ridge=0.1).saturated


def test_source_outputs_of_any_kind_are_features_of_lab_mse() -> None:
    features, targets = sample()
    outputs = np.exp(features)
    outputs /= outputs.sum(axis=1, keepdims=True)
    assert close(tx.lab_mse(outputs, targets), tx.lin_mse(outputs, targets), 0.0)
    assert close(tx.lab_mse(features, targets), tx.lin_mse(features, targets), 0.0)
    both = tx.score(features, targets, ["lab_mse", "lin_mse"], source_probs=outputs, method="svd")
    assert close(both["lab_mse"], tx.lab_mse(outputs, targets), 0.0)
    assert close(both["lin_mse"], tx.lin_mse(features, targets), 1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": -1.0}, "ridge is -1"),
        ({"ridge": float("inf")}, "ridge is inf"),
        ({"ridge": "much"}, "ridge"),
        ({"outputs": "max"}, "outputs"),
        ({"penalty": 3}, "penalty"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    for function in (tx.lin_mse, tx.lab_mse):
        with pytest.raises(DataError, match=message):
            function(*sample(), **options)


@settings(deadline=None, max_examples=60)
@given(data=datasets(), n_classes=st.integers(2, 4))
def test_lfc_and_cka_are_those_of_their_gram_matrices(
    data: tuple[np.ndarray, np.ndarray], n_classes: int
) -> None:
    features, targets = data
    labels = np.where(np.arange(len(targets)) == 0, 9, np.arange(len(targets)) % n_classes)
    if not features.std(axis=0).any():
        return
    classes = {"task": "classification"}
    assert close(tx.lfc(features, labels, **classes), reference.lfc(features, labels))
    columns = reference.indicators(labels)
    biased = functools.partial(tx.cka, estimator="biased")
    assert close(biased(features, labels, **classes), reference.cka(features, columns))
    assert close(biased(features, targets, task="regression"), reference.cka(features, targets))


@pytest.mark.parametrize("metric", ["lfc", "cka"])
@pytest.mark.parametrize("shape", SHAPES)
def test_laws_of_lfc_and_cka(shape: tuple[int, int], metric: str) -> None:
    features, labels = sample(*shape)[0], np.arange(shape[0]) % 3
    features += labels[:, None]
    function = getattr(tx, metric)
    plain = function(features, labels)
    assert -1.0 <= plain <= 1.0
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(shape[1], shape[1])))[0]
    assert close(function(features @ rotation, labels), plain, 1e-12)
    for factor in (-1e-100, 1e90):
        assert close(function(factor * features, labels), plain, 1e-12)
    parts = [
        tx.Stats("classification").update(features[part], labels[part])
        for part in np.array_split(np.arange(len(labels)), 4)
    ]
    assert close(sum(parts).score(metric), plain, 1e-12)
    if metric == "cka":
        assert close(function(features + 1e3, labels), plain, 1e-9)
        assert close(function(reference.indicators(labels), labels), 1.0, 1e-14)


def test_lfc_and_cka_without_variation() -> None:
    features, targets = sample()
    labels = np.arange(60) % 3
    for function in (tx.lfc, tx.cka):
        with pytest.raises(DataError, match="single class"):
            function(features, 0 * labels)
        with pytest.warns(TransferabilityWarning, match="same in all rows"):
            assert function(0 * features + 3, labels) == 0.0
    with pytest.raises(DataError, match="same in all rows"):
        tx.cka(features, 0 * targets, task="regression")
    with pytest.raises(DataError, match="is for classification"):
        tx.lfc(features, targets)
