"""Groups of rows that leave together: the ridge probe and k-NN against refits, and who uses them.

The refits share no formula with the package. Every ridge is fitted to the rows of other groups by
least squares on rows of its own, so that its condition is the root of that of the normal equations.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import samples as reference

import transferability as tx
from transferability import DataError, TransferabilityWarning
from transferability._metric import registry
from transferability.cli import main

Array = Any
RIDGES = [1e-3, 1e-1, 10.0]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refit(x: Array, y: Array, groups: Array, ridge: float) -> Array:
    """Predict every row by a ridge regression fitted to the rows of the other groups.

    Columns have the scale of all rows, and the penalty is the number of all rows times `ridge`.
    """
    n = len(x)
    x = x - x.mean(axis=0)
    size = np.sqrt((x**2).mean(axis=0))
    x = np.divide(x, size, out=np.zeros_like(x), where=size > 0)
    y = np.asarray(y, float).reshape(n, -1)
    predicted = np.empty_like(y)
    for group in np.unique(groups):
        own = groups == group
        rest, mean = x[~own], y[~own].mean(axis=0)
        rows = np.vstack([rest - rest.mean(axis=0), np.sqrt(n * ridge) * np.eye(x.shape[1])])
        goal = np.vstack([y[~own] - mean, np.zeros((x.shape[1], y.shape[1]))])
        w = np.linalg.lstsq(rows, goal, rcond=None)[0]
        predicted[own] = mean + (x[own] - rest.mean(axis=0)) @ w
    return predicted


def refit_accuracy(
    x: Array, labels: Array, groups: Array, ridges: Any
) -> tuple[float, float, Array]:
    """Accuracy at the ridge of the least squared error, that ridge, and which rows are right."""
    hot = (labels[:, None] == np.unique(labels)).astype(float)
    all_ = [refit(x, hot, groups, ridge) for ridge in ridges]
    best = int(np.argmin([((hot - predicted) ** 2).sum() for predicted in all_]))
    right = np.unique(labels)[all_[best].argmax(axis=1)] == labels
    return float(right.mean()), ridges[best], right


def refit_r2(x: Array, y: Array, groups: Array, ridges: Any) -> tuple[Array, Array]:
    """R² of each target at its best ridge, and those ridges."""
    errors = np.array([((y - refit(x, y, groups, ridge)) ** 2).sum(axis=0) for ridge in ridges])
    best = errors.argmin(axis=0)
    r2 = 1 - errors.min(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    return r2, np.array(ridges)[best]


def sample(n: int, d: int, sizes: Any = 7, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Features, classes, targets and groups; rows of a group are alike, and stand mixed."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes) if np.ndim(sizes) else np.arange(n) % sizes
    groups = rng.permutation(groups)
    x = rng.normal(size=(n, d)) + rng.normal(size=(groups.max() + 1, d))[groups]
    w = rng.normal(size=(d, 2)) / np.sqrt(d)
    y = x @ w + rng.normal(size=(n, 2)) + rng.normal(size=(groups.max() + 1, 2))[groups]
    return x, (y[:, 0] > 0).astype(int) + (y[:, 1] > 0.5), y, groups


SHAPES = {
    "many rows": (120, 9, 6),
    "few rows": (40, 70, 5),
    "as many rows as columns": (40, 40, 5),
    "one row more": (41, 40, 8),
    "two groups": (90, 8, 2),
    "two groups of few rows": (30, 50, 2),
    "unbalanced": (100, 12, (1, 1, 2, 3, 5, 9, 20, 59)),
    "unbalanced, few rows": (60, 80, (1, 1, 2, 3, 5, 9, 39)),
    "one huge group": (150, 10, (140, 4, 3, 3)),
    "one huge group, few rows": (50, 60, (44, 3, 3)),
    "fewer rows without a group than columns": (60, 40, (30, 20, 10)),
    "the others are one row": (30, 5, (29, 1)),
    "groups of just half as many rows as columns": (80, 16, 10),
    "groups of one more": (81, 16, 9),
    "one feature": (40, 1, 4),
    "several panels": (700, 6, 350),
    "groups across panels": (900, 30, (300, 280, 14, 14, 14, 278)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("ridge", [1e-3, 1e-1, 10.0])
def test_ridge_probe_is_a_refit_without_each_group(name: str, ridge: float) -> None:
    x, _, y, groups = sample(*SHAPES[name])
    found = tx.ridge_probe(x, y, groups=groups, ridges=[ridge])
    expected, _ = refit_r2(x, y, groups, [ridge])
    np.testing.assert_allclose(found.per_target, expected, rtol=1e-9, atol=1e-9)
    predicted = refit(x, y, groups, ridge)
    for group, own in found.per_group.items():
        rows = groups == group
        left = ((y - predicted)[rows] ** 2).sum(axis=0)
        whole = ((y[rows] - y[rows].mean(axis=0)) ** 2).sum(axis=0)
        np.testing.assert_allclose(own.per_target, 1 - left / whole, rtol=1e-9, atol=1e-9)
    assert {*found.per_group, *found.left_out} == {*groups.tolist()}


@pytest.mark.parametrize("name", SHAPES)
def test_accuracy_and_ridge_are_those_of_refits(name: str) -> None:
    x, labels, _, groups = sample(*SHAPES[name])
    found = tx.ridge_probe(x, labels, groups=groups, ridges=RIDGES, task="classification")
    expected, ridge, right = refit_accuracy(x, labels, groups, RIDGES)
    assert (float(found), found.ridge) == (pytest.approx(expected, abs=1e-15), ridge)
    for group, own in found.per_group.items():
        rows = groups == group
        assert own == pytest.approx(right[rows].mean(), abs=1e-15)
        assert own.classes == tuple(np.unique(labels[rows]))
        shares = [right[rows & (labels == c)].mean() for c in own.classes]
        np.testing.assert_allclose(own.per_target, shares, atol=1e-15)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), n=st.integers(6, 60), d=st.integers(1, 60), k=st.integers(2, 9))
def test_random_groups(seed: int, n: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, k, n)
    groups[:2] = 0, 1
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, 2))
    x[:, 0] += groups  # and a column that says the group
    found = tx.ridge_probe(x, y, groups=groups, ridges=RIDGES)
    expected, ridges = refit_r2(x, y, groups, RIDGES)
    np.testing.assert_allclose(found.per_target, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.ridge, ridges)


@pytest.mark.parametrize(("n", "d"), [(60, 9), (30, 50), (600, 5)])
def test_groups_of_one_row_are_rows(n: int, d: int) -> None:
    x, labels, y, _ = sample(n, d)
    for labelled in (labels, y):
        found = tx.ridge_probe(x, labelled, groups=np.arange(n))
        alone = tx.ridge_probe(x, labelled)
        assert float(found) == pytest.approx(float(alone), rel=1e-12)
        np.testing.assert_allclose(found.per_target, alone.per_target, rtol=1e-12)
        np.testing.assert_array_equal(found.ridge, alone.ridge)
        assert tx.knn(x, labelled, groups=np.arange(n)) == pytest.approx(
            float(tx.knn(x, labelled)), rel=1e-12
        )


@pytest.mark.parametrize("name", SHAPES)
def test_names_and_order_of_groups_do_not_matter(name: str) -> None:
    x, labels, y, groups = sample(*SHAPES[name])
    named = np.array([f"patient {99 - g}" for g in groups])
    for labelled in (labels, y):
        first = tx.ridge_probe(x, labelled, groups=groups)
        again = tx.ridge_probe(x, labelled, groups=named)
        assert float(again) == pytest.approx(float(first), rel=1e-10, abs=1e-12)
        for group, own in first.per_group.items():
            other = again.per_group[f"patient {99 - group}"]
            assert float(other) == pytest.approx(float(own), rel=1e-8, abs=1e-10)


def test_threads_change_nothing() -> None:
    x, labels, y, groups = sample(900, 40, (300, 300, 100, 100, 90, 8, 2))
    for labelled in (labels, y):
        scores = [
            tx.ridge_probe(x, labelled, groups=groups, n_threads=t).per_target for t in (1, 2, 5)
        ]
        np.testing.assert_array_equal(scores[0], scores[1])
        np.testing.assert_array_equal(scores[0], scores[2])


@pytest.mark.parametrize(("n", "d"), [(200, 12), (40, 60)])
def test_units_of_columns_do_not_matter(n: int, d: int) -> None:
    x, labels, _, groups = sample(n, d, 8)
    scales = 2.0 ** np.arange(d)[::-1]
    found = tx.ridge_probe(x * scales + 1e3 * scales, labels, groups=groups)
    assert found == pytest.approx(float(tx.ridge_probe(x, labels, groups=groups)), abs=1e-12)


def test_small_ridges_keep_their_digits_on_the_side_of_few_rows() -> None:
    x, _, y, groups = sample(30, 200, 5)
    for ridge in (1e-6, 1e-5, 1e-4):
        found = tx.ridge_probe(x, y, groups=groups, ridges=[ridge])
        expected, _ = refit_r2(x, y, groups, [ridge])
        np.testing.assert_allclose(found.per_target, expected, rtol=1e-9, atol=1e-9)


def test_small_ridges_on_the_side_of_many_rows() -> None:
    # S is off by its rounding, of its largest eigenvalue, which a ridge of 1e-6 N amplifies.
    x, _, y, groups = sample(200, 30, 8)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    largest = np.linalg.eigvalsh(z.T @ z / len(z)).max()
    for ridge in (1e-6, 1e-5, 1e-4):
        found = tx.ridge_probe(x, y, groups=groups, ridges=[ridge])
        expected, _ = refit_r2(x, y, groups, [ridge])
        rounding = 30 * np.finfo(float).eps * largest / ridge
        np.testing.assert_allclose(found.per_target, expected, rtol=0, atol=max(rounding, 1e-12))


def test_a_group_that_alone_varies_in_a_direction() -> None:
    x, _, y, groups = sample(90, 8, 6)
    x[:, 3] = np.where(groups == 2, x[:, 3], 0.5)  # constant in all other groups
    x[:, 4] = groups == 1
    for ridge in RIDGES:
        found = tx.ridge_probe(x, y, groups=groups, ridges=[ridge])
        expected, _ = refit_r2(x, y, groups, [ridge])
        np.testing.assert_allclose(found.per_target, expected, rtol=1e-9, atol=1e-9)


def test_a_group_far_from_the_others() -> None:
    x, _, y, groups = sample(300, 8, (100, 100, 60, 40))
    x[groups == 0] *= 1e4
    for ridge in (1e-3, 1e-1):
        found = tx.ridge_probe(x, y, groups=groups, ridges=[ridge])
        expected, _ = refit_r2(x, y, groups, [ridge])
        np.testing.assert_allclose(found.per_target, expected, rtol=1e-9, atol=1e-9)


def grouped_knn(x: Array, labels: Array, groups: Array, k: int, metric: str) -> Array:
    """Whether the k nearest rows of other groups vote right, row by row."""
    far = reference.distances(x, metric)
    far[groups[:, None] == groups] = np.inf
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(far, order, axis=1)
    rows = zip(order, near, labels, strict=True)
    return np.array([reference.vote(labels[i], d) == y for i, d, y in rows])


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("sizes", [5, 2, (30, 20, 10, 9, 1), (60, 6, 4)])
def test_knn_asks_other_groups(metric: str, k: int, sizes: Any) -> None:
    x, labels, y, groups = sample(70, 5, sizes, seed=k)
    found = tx.knn(x, labels, k=k, metric=metric, groups=groups)
    right = grouped_knn(x, labels, groups, k, metric)
    assert found == pytest.approx(right.mean(), abs=1e-15)
    for group, own in found.per_group.items():
        assert own == pytest.approx(right[groups == group].mean(), abs=1e-15)
    far = reference.distances(x, metric)
    far[groups[:, None] == groups] = np.inf
    mean = y[np.argsort(far, axis=1, kind="stable")[:, :k]].mean(axis=1)
    r2 = 1 - ((y - mean) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    found = tx.knn(x, y, k=k, metric=metric, groups=groups)
    np.testing.assert_allclose(found.per_target, r2, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), n=st.integers(12, 70), k=st.integers(1, 4))
def test_knn_with_ties_everywhere(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, size=(n, 4)).astype(np.float32)
    labels, groups = rng.integers(3, size=n), rng.integers(4, size=n)
    groups[:8] = np.arange(8) % 2
    found = tx.knn(x, labels, k=k, groups=groups, task="classification")
    assert found == pytest.approx(grouped_knn(x, labels, groups, k, "l2").mean(), abs=1e-15)


def test_knn_of_many_rows_in_blocks() -> None:
    # 1,500 rows are three blocks; sorted groups fill most of one.
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(4, size=1500))
    x = rng.normal(size=(1500, 6)) + 5 * rng.normal(size=(4, 6))[groups]
    labels = (x[:, 0] > 0).astype(int)
    far = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    far[groups[:, None] == groups] = np.inf
    votes = labels[np.argsort(far, axis=1)[:, :5]].sum(axis=1) > 2
    assert tx.knn(x, labels, groups=groups) == pytest.approx(np.mean(votes == labels), abs=1e-15)


def test_several_labels_a_row() -> None:
    x, labels, _, groups = sample(80, 6, 5)
    columns = np.stack([labels == 0, labels > 1], axis=1).astype(int)
    found = tx.knn(x, columns, groups=groups)
    expected = [grouped_knn(x, column, groups, 5, "l2").mean() for column in columns.T]
    np.testing.assert_allclose(found.per_target, expected, atol=1e-15)
    assert set(found.per_group) == set(range(5))
    found = tx.ridge_probe(x, columns, groups=groups, ridges=RIDGES)
    r2, _ = refit_r2(x, columns.astype(float), groups, RIDGES)
    np.testing.assert_allclose(found.per_target, r2, atol=1e-9)
    columns[groups == 3, 0] = 1  # constant in one group
    found = tx.ridge_probe(x, columns, groups=groups, ridges=RIDGES)
    assert found.per_group[3].targets == (1,)
    columns[groups == 3] = 1
    found = tx.ridge_probe(x, columns, groups=groups, ridges=RIDGES)
    assert "same in all of its rows" in found.left_out[3]


def test_score_takes_the_groups_and_the_option() -> None:
    x, labels, _, groups = sample(120, 9, 6)
    for name in ("ridge_probe", "knn"):
        alone = getattr(tx, name)(x, labels, groups=groups)
        scored = tx.score(x, labels, name, groups=groups, leave_out="group")
        assert (float(scored), scored.leave_out) == (float(alone), "group")
        assert scored.per_group == alone.per_group
        # Groups alone only report the scores of groups by themselves, as for every metric.
        pooled = tx.score(x, labels, name, groups=groups)
        assert float(pooled) == pytest.approx(float(getattr(tx, name)(x, labels)), rel=1e-9)
        row = getattr(tx, name)(x, labels, groups=groups, leave_out="row")
        assert float(row) == float(pooled)
    both = tx.score(x, labels, ["logme", "ridge_probe", "knn"], groups=groups, leave_out="group")
    assert float(both["knn"]) == float(tx.knn(x, labels, groups=groups))
    assert both["ridge_probe"] == pytest.approx(float(tx.ridge_probe(x, labels, groups=groups)))
    assert float(both["logme"]) == float(tx.score(x, labels, "logme", groups=groups))


@pytest.mark.parametrize("aggregate", ["min", "mean", "quantile(0.3)"])
def test_aggregates_are_of_the_predictions_of_groups(aggregate: str) -> None:
    x, labels, y, groups = sample(120, 9, 6)
    for labelled in (labels, y):
        chosen = {"groups": groups, "leave_out": "group"}
        both = tx.score(x, labelled, ["knn", "ridge_probe"], aggregate=aggregate, **chosen)
        for name, found in both.items():
            pooled = getattr(tx, name)(x, labelled, groups=groups)
            values = [float(own) for own in pooled.per_group.values()]
            how = {"min": np.min, "mean": np.mean}.get(aggregate, lambda v: np.quantile(v, 0.3))
            assert float(found) == pytest.approx(how(values), rel=1e-12)
            assert found.aggregate == aggregate


def test_a_class_of_one_group_is_defined_and_noted() -> None:
    x, labels, _, groups = sample(90, 8, 6)
    labels[groups == 2] = 7
    for name in ("ridge_probe", "knn"):
        with pytest.warns(TransferabilityWarning, match="1 class occurs in a single group, "):
            found = getattr(tx, name)(x, labels, groups=groups)
        assert found.per_target[found.classes.index(7)] == 0
        assert found.per_group[2] == 0
    labels[groups == 4] = 8
    with pytest.warns(TransferabilityWarning, match="2 classes occur in a single group each"):
        tx.score(x, labels, "knn", groups=groups, leave_out="group", aggregate="mean")


def test_errors_name_the_argument() -> None:
    x, labels, _, groups = sample(60, 5, 4)
    for name in ("ridge_probe", "knn"):
        compute = getattr(tx, name)
        with pytest.raises(DataError, match=r"groups has the same group, 3, in all rows"):
            compute(x, labels, groups=np.full(60, 3))
        with pytest.raises(DataError, match=r"groups has shape \(59,\) for 60 rows"):
            compute(x, labels, groups=groups[:59])
        with pytest.raises(DataError, match=r"groups has 1 missing value.* at position 4"):
            compute(x, labels, groups=np.where(np.arange(60) == 4, np.nan, groups))
        with pytest.raises(DataError, match="groups"):
            compute(x, labels, groups=[None, *groups[1:].tolist()])
        with pytest.raises(DataError, match=r"groups\[0\] is 0.5"):
            compute(x, labels, groups=groups + 0.5)
        with pytest.raises(DataError, match=r"leave_out is 'group', and .* no groups"):
            compute(x, labels, leave_out="group")
        with pytest.raises(DataError, match="leave_out is 'video'; choose"):
            compute(x, labels, leave_out="video")
        for call in (tx.score, lambda *a, **k: tx.rank({"a": a[0]}, *a[1:], **k)):
            with pytest.raises(DataError, match=r"leave_out is 'group', and .* no groups"):
                call(x, labels, name, leave_out="group")
            with pytest.raises(DataError, match="same group, 'a', in all rows"):
                call(x, labels, name, leave_out="group", groups=["a"] * 60)
    with pytest.raises(DataError, match=r"k is 5.* largest group have 4 .* give k of at most 4"):
        tx.knn(x, labels, groups=np.arange(60) >= 56)
    with pytest.raises(tx.TransferabilityError, match="leave_out"):
        tx.score(x, labels, "logme", leave_out="group", groups=groups)
    with pytest.raises(DataError, match="samples"):
        tx.Stats().update(x, labels).score("ridge_probe", leave_out="group")


def test_one_precision_and_files(tmp_path: Path) -> None:
    x, labels, _, groups = sample(300, 20, 12)
    x = x.astype(np.float32)
    expected = tx.ridge_probe(x, labels, groups=groups, ridges=RIDGES)
    single = tx.ridge_probe(x, labels, groups=groups, ridges=RIDGES, precision="single")
    assert single == pytest.approx(float(expected), abs=0.01)
    np.save(tmp_path / "x.npy", x)
    source = tx.io.open_features(tmp_path / "x.npy")
    assert tx.ridge_probe(source, labels, groups=groups, ridges=RIDGES) == expected


def test_rankings_and_their_stability_follow_the_groups() -> None:
    x, labels, _, groups = sample(240, 10, 12)
    rng = np.random.default_rng(3)
    models = {"a": x, "b": x + rng.normal(size=x.shape), "c": rng.normal(size=x.shape)}
    chosen = {"groups": groups, "leave_out": "group"}
    for name in ("ridge_probe", "knn"):
        ranking = tx.rank(models, labels, name, **chosen)
        for model, features in models.items():
            alone = getattr(tx, name)(features, labels, groups=groups)
            assert ranking[model].value(name) == float(alone)
            assert ranking[model].per_group[name] == alone.per_group
        for method in ("first-order", "exact", "jackknife"):
            found = ranking.stability(method=method, n_boot=20)
            assert (found.unit, found.n_units) == ("groups", 12)
            assert np.isfinite(found.standard_errors).all()
        least = tx.rank(models, labels, name, aggregate="min", **chosen)
        assert least["a"].value(name) == min(map(float, ranking["a"].per_group[name].values()))
        assert least.stability(n_boot=20).method == "groups"
    truth = {"a": 0.9, "b": 0.8, "c": 0.4}
    assert np.isfinite(ranking.evaluate(truth).weighted_tau)
    named = tx.rank(models, labels, "recommended", **chosen)
    assert named["a"].ridge_probe == float(tx.ridge_probe(x, labels, groups=groups))
    with pytest.raises(DataError, match="not of the same rows"):
        tx.rank({"a": x}, labels, "knn", **chosen) + tx.rank({"b": x}, labels, "knn", groups=groups)


def test_standard_errors_are_those_of_groups() -> None:
    # 40 groups of 10 rows; the truth is the spread of scores over fresh groups.
    def draw(seed: int) -> tuple[Array, Array, Array]:
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 10)
        labels = rng.integers(0, 2, 400)
        return (
            rng.normal(size=(400, 4)) + rng.normal(size=(40, 4))[groups] + labels[:, None],
            (labels),
            groups,
        )

    values, errors = [], []
    for seed in range(40):
        x, labels, groups = draw(seed)
        models = {"a": x, "b": x[:, :2]}
        ranking = tx.rank(models, labels, "ridge_probe", groups=groups, leave_out="group")
        values.append([ranking["a"].value("ridge_probe"), ranking["b"].value("ridge_probe")])
        if seed < 8:
            found = ranking.stability(n_boot=200)
            errors.append(
                [dict(zip(found.names, found.standard_errors, strict=True))[m] for m in "ab"]
            )
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0, ddof=1)
    assert ((ratio > 0.6) & (ratio < 1.5)).all(), ratio  # the truth is known to 1 in 9


def test_influences_of_left_out_groups_are_hits() -> None:
    x, labels, _, groups = sample(120, 9, 6)
    _, _, right = refit_accuracy(x, labels, groups, RIDGES)
    from transferability._inputs.inputs import read_inputs
    from transferability._scoring.evaluate import Settings, evaluate

    inputs = read_inputs(x, labels, "classification").take(slice(None))
    inputs = inputs.__class__(**{**inputs.__dict__, "groups": groups.astype(np.int64)})
    options = {"ridges": RIDGES, "leave_out": "group", "influence": True}
    found = evaluate(inputs, {"ridge_probe": options}, Settings())["ridge_probe"]
    assert isinstance(found, tx.Score)
    np.testing.assert_allclose(found.influence, right - right.mean(), atol=1e-12)


def test_null_baselines_leave_groups_out_too() -> None:
    x, labels, _, groups = sample(120, 9, 6)
    found = tx.score(x, labels, "knn", groups=groups, leave_out="group", reference=3)
    assert 0 < found.references["shuffled"] < float(found)


def test_explanations_say_which_rows_are_left_out() -> None:
    x, labels, y, groups = sample(120, 9, 6)
    assert "their group is left out" in tx.ridge_probe(x, labels, groups=groups).explain()
    assert "with their groups" in tx.ridge_probe(x, y, groups=groups).explain()
    assert "in other groups" in tx.knn(x, labels, groups=groups).explain()
    assert "lowest for group" in tx.knn(x, labels, groups=groups).explain()


def test_the_command_line(tmp_path: Path) -> None:
    x, labels, _, groups = sample(120, 9, 6)
    paths = {name: str(tmp_path / f"{name}.npy") for name in ("x", "labels", "groups")}
    for path, array in zip(paths.values(), (x, labels, groups), strict=True):
        np.save(path, array)
    more = ["--groups", paths["groups"], "--metrics", "ridge_probe,knn", "--json"]
    for chosen in (["--leave-out", "group"], ["-o", "leave_out=group"]):
        done = CliRunner().invoke(main, ["score", paths["x"], paths["labels"], *more, *chosen])
        found = json.loads(done.stdout)
        for name in ("ridge_probe", "knn"):
            assert found[name]["value"] == float(getattr(tx, name)(x, labels, groups=groups))
        ranked = [paths["x"], "--labels", paths["labels"], *more, *chosen]
        done = CliRunner().invoke(main, ["rank", *ranked])
        row = json.loads(done.stdout)["rows"][0]
        assert row["scores"]["knn"] == float(tx.knn(x, labels, groups=groups))
    done = CliRunner().invoke(main, ["score", paths["x"], paths["labels"], "--leave-out", "group"])
    assert done.exit_code != 0


def by_group(x: Array, y: Array, groups: Array, task: str = "regression") -> dict[int, tx.Stats]:
    """Collect the statistics of every group in two blocks."""
    found = {}
    for group in np.unique(groups).tolist():
        rows = np.flatnonzero(groups == group)
        found[group] = tx.Stats(task)
        for block in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            if len(block):
                found[group].update(x[block], y[block])
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_statistics_of_groups_are_enough_for_targets(name: str) -> None:
    x, _, y, groups = sample(*SHAPES[name])
    stats = by_group(x, y, groups)
    found = tx.ridge_probe(stats, ridges=RIDGES)
    expected = tx.ridge_probe(x, y, groups=groups, ridges=RIDGES)
    np.testing.assert_allclose(found.per_target, expected.per_target, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.ridge, expected.ridge)
    assert list(found.per_group) == list(expected.per_group)
    for group, own in expected.per_group.items():
        np.testing.assert_allclose(
            found.per_group[group].per_target, own.per_target, rtol=1e-8, atol=1e-8
        )
        assert found.per_group[group].n_samples == own.n_samples
    assert found.left_out == expected.left_out
    assert (found.task, found.n_samples, found.n_features) == ("regression", *x.shape)
    shuffled = {group: stats[group] for group in reversed(stats)}
    again = tx.ridge_probe(shuffled, ridges=RIDGES)
    assert float(again) == pytest.approx(float(found), rel=1e-12, abs=1e-12)


def test_statistics_of_columns_of_labels_and_of_named_features() -> None:
    pandas = pytest.importorskip("pandas")
    x, labels, y, groups = sample(90, 6, 5)
    columns = np.stack([labels == 0, labels > 1], axis=1).astype(int)
    found = tx.ridge_probe(by_group(x, columns, groups, "multilabel"), ridges=RIDGES)
    expected = tx.ridge_probe(x, columns, groups=groups, ridges=RIDGES)
    np.testing.assert_allclose(found.per_target, expected.per_target, rtol=1e-9)
    frame = pandas.DataFrame(x, columns=list("abcdef"))
    stats = {
        group: tx.Stats("regression").update(
            frame.iloc[groups == group, :: -1 if group % 2 else 1], y[groups == group]
        )
        for group in range(5)
    }
    named = tx.ridge_probe(stats, ridges=RIDGES)
    plain = tx.ridge_probe(by_group(x, y, groups), ridges=RIDGES)
    np.testing.assert_allclose(named.per_target, plain.per_target, rtol=1e-9)


@pytest.mark.parametrize(
    "names",
    [
        [list("abcdef"), [*range(6)]],
        [[*range(6)], list("abcdef")],
        [[*range(6)], [5, *range(5)]],
        [list("abcdef"), None],
        [None, [*range(6)]],
    ],
    ids=["names then numbers", "numbers then names", "numbers", "names then none", "none first"],
)
def test_columns_of_groups_match_as_those_of_merged_statistics(names: list[Any]) -> None:
    pandas = pytest.importorskip("pandas")
    x, _, y, groups = sample(90, 6, 5)
    stats = {}
    for group in range(5):
        own, columns = x[groups == group], names[0 if group == 0 else 1]
        if columns is not None:
            moved = columns == [5, *range(5)]  # numbers say which columns these are
            own = pandas.DataFrame(own[:, columns] if moved else own, columns=columns)
        stats[group] = tx.Stats("regression").update(own, y[groups == group])
    plain = tx.ridge_probe(by_group(x, y, groups), ridges=RIDGES)
    found = tx.ridge_probe(stats, ridges=RIDGES)
    np.testing.assert_allclose(found.per_target, plain.per_target, rtol=1e-9)


def test_statistics_that_are_not_enough_are_named() -> None:
    x, labels, y, groups = sample(90, 6, 5)
    with pytest.raises(DataError, match=r"statistics of classification: the accuracy .* rows"):
        tx.ridge_probe(by_group(x, labels, groups, "classification"))
    stats = by_group(x, y, groups)
    with pytest.raises(DataError, match=r"Stats of one group, 0"):
        tx.ridge_probe({0: stats[0]})
    with pytest.raises(DataError, match=r"mixes Stats .* group 'x'"):
        tx.ridge_probe({**stats, "x": x})
    with pytest.raises(DataError, match="leave out groups"):
        tx.ridge_probe(stats, groups=groups)
    with pytest.raises(DataError, match="leave out labels"):
        tx.ridge_probe(stats, y)
    with pytest.raises(DataError, match="leave out leave_out"):
        tx.ridge_probe(stats, leave_out="row")
    with pytest.raises(DataError, match=r"collected in 'double'; .*collect them in 'single'"):
        tx.ridge_probe(stats, precision="single")
    with pytest.raises(DataError, match="precision is 'half'"):
        tx.ridge_probe(stats, precision="half")
    with pytest.raises(DataError, match="n_threads must be"):
        tx.ridge_probe(stats, n_threads=-1)
    single = {group: tx.Stats("regression", "single").update(x, y) for group in range(2)}
    assert tx.ridge_probe(single, precision="single") == tx.ridge_probe(single)
    with pytest.raises(DataError, match=r"group 9 .* no rows"):
        tx.ridge_probe({**stats, 9: tx.Stats("regression")})
    with pytest.raises(DataError, match="all ridges are below"):
        tx.ridge_probe(stats, ridges=[1e-20])
    with pytest.warns(TransferabilityWarning, match="1 of 2 ridges"):
        tx.ridge_probe(stats, ridges=[1e-20, 1.0])
    y[:, 1] = 3.0
    with pytest.raises(DataError, match="column 1 is constant"):
        tx.ridge_probe(by_group(x, y, groups))


def test_a_registered_metric_may_have_an_option_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_specs", dict(registry._specs))

    @tx.register_metric(name="length_of_leave_out")
    def length(features: Array, labels: Array, *, leave_out: str = "x") -> float:
        return float(len(leave_out))

    x, labels, _, groups = sample(60, 5, 4)
    found = tx.score(x, labels, "length_of_leave_out", leave_out="group", groups=groups)
    assert (float(found), len(found.per_group)) == (5.0, 4)
    assert tx.score(x, labels, "length_of_leave_out", leave_out="group") == 5.0
