"""GBC against its definition, with its bounds, its laws and what it refuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_tester import quietly
from reference import gbc as reference
from reference import golden

import transferability as tx
from transferability import DataError, TransferabilityWarning

KINDS = ("spherical", "diagonal", "full", "google")


gbc = partial(quietly, tx.gbc, task="classification")


@st.composite
def datasets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Features with constant, dependent and far-away columns, and classes of any sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, d = draw(st.integers(2, 40)), draw(st.integers(1, 30))
    labels = rng.integers(0, draw(st.integers(1, 5)), n)
    features = rng.normal(size=(n, d)) * draw(st.sampled_from([1e-3, 1.0, 30.0]))
    features += draw(st.sampled_from([0.0, 2.0])) * rng.normal(size=(5, d))[labels]
    features += draw(st.sampled_from([0.0, 100.0]))
    if draw(st.booleans()):
        features[:, rng.random(d) < 0.3] = 7.0
    if draw(st.booleans()):
        features = np.hstack([features, features[:, : 1 + d // 2]])
    return features, labels


@pytest.mark.parametrize("kind", KINDS)
@given(data=datasets(), n_components=st.sampled_from([64, 3, None]))
@settings(max_examples=60, deadline=None)
def test_definition_and_bounds(
    kind: str, data: tuple[np.ndarray, np.ndarray], n_components: int | None
) -> None:
    features, labels = data
    found = gbc(features, labels, covariance=kind, n_components=n_components)
    n_pairs = found.n_classes * (found.n_classes - 1)
    assert -n_pairs <= found <= 0
    # Dense covariances of dependent columns have the condition number of the largest variance over
    # the floor, up to 1e8, and both sides factor them.
    condition = features.var(axis=0).sum() / reference.FLOOR if kind == "full" else 0.0
    tolerance = max(1e-9, 8 * np.finfo(float).eps * condition * n_pairs)
    expected = reference.gbc(features, labels, kind, n_components)
    assert found == pytest.approx(expected, rel=1e-9, abs=tolerance)
    assert found == pytest.approx(found.per_target.sum(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["cla_iris_f8", "cla_wide_f8", "cla_c20_f4", "cla_offset_f8"])
def test_definition_on_recorded_inputs(key: str, kind: str) -> None:
    features, labels = golden.inputs(key)
    for n_components in (64, 5):
        found = gbc(features, labels, covariance=kind, n_components=n_components)
        expected = reference.gbc(features, labels, kind, n_components)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_components", [64, None])
def test_coincident_and_separated_classes(kind: str, n_components: int | None) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 6))
    labels = np.repeat(np.arange(4), 20)
    options = {"covariance": kind, "n_components": n_components}
    assert gbc(np.vstack([rows] * 4), labels, **options) == pytest.approx(-12, abs=1e-12)
    apart = np.vstack([rows + 1e4 * np.eye(6)[c] for c in range(4)])
    assert gbc(apart, labels, **options) == 0.0


@given(data=datasets())
@settings(max_examples=30, deadline=None)
def test_invariances(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    rotation = np.linalg.qr(rng.normal(size=(features.shape[1],) * 2))[0]
    found = gbc(features, labels)
    assert gbc(features[order], labels[order]) == pytest.approx(found, abs=1e-8)
    assert gbc(features + 5.0, labels) == pytest.approx(found, abs=1e-8)
    assert gbc(features @ rotation, labels) == pytest.approx(found, abs=1e-8)
    assert gbc(features, 9 - labels) == pytest.approx(found, abs=1e-8)
    twice = gbc(np.vstack([features] * 2), np.hstack([labels] * 2))
    assert twice == pytest.approx(found, abs=1e-8)  # population variances


def test_spherical_counts_the_variance_once_a_component() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(200, 5)) * np.repeat([1.0, 3.0], 100)[:, None]
    labels = np.repeat([0, 1], 100)
    assert gbc(features, labels) > gbc(features, labels, covariance="google")


def test_statistics_in_blocks_and_merged() -> None:
    features, labels = golden.inputs("cla_digits_relu_D32_f4")
    parts = [
        tx.Stats(class_scatters=True).update(features[rows], labels[rows])
        for rows in np.array_split(np.arange(len(labels)), 7)
    ]
    merged = sum(parts[1:], parts[0])
    for kind in KINDS:
        whole = tx.gbc(features, labels, covariance=kind)
        assert merged.score("gbc", covariance=kind) == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(30, 5), (30, 20), (12, 40)])
def test_weights_are_repeated_rows(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(5)
    features, labels = rng.normal(size=shape), np.arange(shape[0]) % 2
    weights = rng.integers(0, 4, shape[0])
    stats = tx.Stats(class_scatters=True).update(features, labels, weights)
    repeated = gbc(
        np.repeat(features, weights, axis=0), np.repeat(labels, weights), covariance=kind
    )
    assert stats.score("gbc", covariance=kind) == pytest.approx(repeated, rel=1e-9)


def test_threads_do_not_change_a_bit() -> None:
    features, labels = golden.inputs("cla_digits_relu_D128_f4")
    scores = {float(tx.gbc(features, labels, n_threads=n)) for n in (1, 2, 4)}
    assert len(scores) == 1


def test_what_deserves_a_second_look() -> None:
    features = np.random.default_rng(0).normal(size=(8, 3))
    with pytest.warns(TransferabilityWarning, match="single class: there is no pair"):
        assert tx.gbc(features, np.zeros(8, int)) == 0.0
    with pytest.warns(TransferabilityWarning, match="1 of 2 classes have a single row"):
        tx.gbc(features, [0] * 7 + [1], task="classification")
    for kind in KINDS:
        with pytest.warns(TransferabilityWarning, match="classes coincide and the score is its"):
            assert tx.gbc(np.ones((8, 3)), [0, 1] * 4, covariance=kind) == -2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance": "tied"}, "covariance is 'tied'; choose 'spherical', 'diagonal', 'full'"),
        ({"n_components": 0}, "n_components is 0; give a whole number of at least 1, or None"),
        ({"n_components": 2.5}, "n_components is 2.5; give a whole number"),
        ({"n_components": "all"}, "n_components is 'all'; give a whole number"),
        ({"task": "regression"}, "gbc is for classification, and this task is regression"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        tx.gbc(np.arange(8.0).reshape(4, 2), [0, 1, 0, 1], **options)
