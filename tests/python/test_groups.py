"""Scores by group of rows: each group by itself, and what is made of them."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError
from transferability._scoring.groups import summary
from transferability.cli import main

AGGREGATES = {
    "min": np.min,
    "mean": np.mean,
    "median": np.median,
    "quantile(0.3)": lambda values: np.quantile(values, 0.3),
}
METRICS = ("logme", "h_score", "transrate", "gbc", "knn", "ridge_probe", "parc")


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def video(seed: int = 0, n: int = 240) -> tuple[Any, Any, Any]:
    """Features, phases and videos; video 2 lacks phase 3, and rows of videos are mixed."""
    rng = np.random.default_rng(seed)
    phases, videos = rng.integers(0, 4, n), rng.integers(0, 5, n)
    phases[(videos == 2) & (phases == 3)] = 0
    return rng.normal(size=(n, 6)) + 1.5 * np.eye(4, 6)[phases], phases, videos


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("metric", METRICS)
def test_the_value_is_made_of_one_score_for_each_group(metric: str, aggregate: str) -> None:
    x, phases, videos = video()
    score = tx.score(x, phases, metric, groups=videos, aggregate=aggregate)
    alone = {v: tx.score(x[videos == v], phases[videos == v], metric) for v in range(5)}
    assert list(score.per_group) == list(range(5))
    for v, own in alone.items():
        assert float(score.per_group[v]) == pytest.approx(float(own), rel=1e-12)
        assert score.per_group[v].classes == own.classes  # absent phases are absent
    assert float(score) == pytest.approx(AGGREGATES[aggregate](list(map(float, alone.values()))))
    assert (score.aggregate, score.left_out) == (aggregate, {})
    assert score.class_counts == tuple(np.bincount(phases))


@pytest.mark.parametrize("metric", METRICS)
def test_pooled_is_the_score_of_all_rows(metric: str) -> None:
    x, phases, videos = video()
    score = tx.score(x, phases, metric, groups=[f"video {v}" for v in videos])
    assert float(score) == pytest.approx(float(tx.score(x, phases, metric)), rel=1e-9)
    assert list(score.per_group) == [f"video {v}" for v in range(5)]
    assert "per_group" in score.to_dict()["details"]
    assert pickle.loads(pickle.dumps(score)).per_group == score.per_group


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_other_tasks(task: str) -> None:
    x, phases, videos = video()
    labels = x[:, :2] + phases[:, None] if task == "regression" else np.eye(4, dtype=int)[phases]
    score = tx.score(x, labels, "logme", task=task, groups=videos, aggregate="min")
    alone = [tx.logme(x[videos == v], labels[videos == v], task=task) for v in range(5)]
    assert float(score) == pytest.approx(min(map(float, alone)))
    pooled = tx.score(x, labels, "logme", task=task, groups=videos)
    assert float(pooled) == pytest.approx(float(tx.logme(x, labels, task=task)))
    if task == "multilabel":  # phase 3 is all 0 in video 2
        assert score.per_group[2].targets == (0, 1, 2)


def test_rows_that_stand_together_or_not_make_no_difference() -> None:
    x, phases, videos = video()
    order = np.argsort(videos, kind="stable")
    mixed = tx.score(x, phases, "logme", groups=videos, aggregate="mean")
    sorted_ = tx.score(x[order], phases[order], "logme", groups=videos[order], aggregate="mean")
    assert float(mixed) == pytest.approx(float(sorted_), rel=1e-12)


def test_groups_without_a_score_are_left_out_and_counted() -> None:
    x, phases, videos = video()
    videos[:2] = 7, 8  # one row each
    with pytest.warns(tx.TransferabilityWarning, match="2 of 7 groups have no score of their own"):
        score = tx.score(x, phases, "logme", groups=videos, aggregate="min")
    assert list(score.left_out) == [7, 8]
    assert "at least 2" in score.left_out[7]
    assert list(score.per_group) == [0, 1, 2, 3, 4]
    assert np.isfinite(tx.score(x, phases, "logme", groups=videos))
    with pytest.raises(DataError, match="no group has a score of its own"):
        tx.score(x, phases, "logme", groups=np.arange(len(x)), aggregate="mean")
    target = np.where(videos == 3, 1.0, x[:, 0])
    score = tx.score(x, target, "logme", groups=videos, aggregate="min")
    assert "constant" in score.left_out[3]


def test_a_single_class_has_the_score_that_the_metric_defines() -> None:
    x, phases, videos = video()
    phases[videos == 1] = 0
    with pytest.warns(tx.TransferabilityWarning, match="1 of 5 groups .* single class"):
        score = tx.score(x, phases, "h_score", groups=videos, aggregate="min")
    assert float(score.per_group[1]) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": [0, 1]}, "groups has shape"),
        ({"groups": np.zeros((240, 2), int)}, "groups has shape"),
        ({"groups": np.full(240, 0.5)}, r"groups\[0\] is 0.5"),
        ({"groups": [None] * 240}, "groups"),
        ({"aggregate": "min"}, "needs groups"),
        ({"groups": np.zeros(240, int), "aggregate": "max"}, "'quantile\\(q\\)'"),
        ({"groups": np.zeros(240, int), "aggregate": "quantile(1.5)"}, "q from 0 to 1"),
        ({"groups": np.zeros(240, int), "aggregate": "quantile(nan)"}, "q from 0 to 1"),
        ({"groups": np.zeros(240, int), "aggregate": "quantile()"}, "q from 0 to 1"),
        ({"groups": np.zeros(240, int), "aggregate": 3}, "aggregate is 3"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    x, phases, _ = video()
    with pytest.raises(DataError, match=message):
        tx.score(x, phases, "logme", **options)
    with pytest.raises(DataError, match=message):
        tx.rank({"a": x}, phases, **options)


def test_damage_names_the_group() -> None:
    x, phases, videos = video()
    x[5, 3] = np.nan
    with pytest.raises(DataError, match=f"group {videos[5]}, rows counted within it: .*NaN"):
        tx.score(x, phases, "logme", groups=videos)


def test_ranking_keeps_the_groups() -> None:
    x, phases, videos = video()
    models = {"a": x, "b": video(1)[0]}
    ranking = tx.rank(models, phases, ["logme", "knn"], groups=videos, aggregate="min")
    for name, features in models.items():
        score = tx.score(features, phases, "logme", groups=videos, aggregate="min")
        assert ranking[name].value("logme") == float(score)
        assert ranking[name].per_group["logme"] == score.per_group
    assert set(ranking["a"].per_group) == {"logme", "knn"}
    assert tx.rank(models, phases)["a"].per_group == {}
    assert pickle.loads(pickle.dumps(ranking))["a"].per_group == ranking["a"].per_group
    parts = [tx.rank({k: v}, phases, groups=videos, aggregate="min") for k, v in models.items()]
    assert sum(parts).names == ranking.names
    with pytest.raises(DataError, match="not of the same rows"):
        parts[0] + tx.rank({"b": x}, phases, groups=videos, aggregate="mean")
    with pytest.raises(DataError, match="leave out groups"):
        tx.rank({"a": tx.Stats().update(x, phases)}, groups=videos)


def test_metrics_among_models_are_pooled_in_each_group() -> None:
    x, phases, videos = video()
    models = {"a": x, "b": x + np.random.default_rng(1).normal(size=x.shape), "c": x[:, ::-1] ** 2}
    ranking = tx.rank(models, phases, "ncti", groups=videos, aggregate="mean")
    alone = [
        tx.rank({k: f[videos == v] for k, f in models.items()}, phases[videos == v], "ncti")
        for v in range(5)
    ]
    for name in models:
        expected = np.mean([part[name].value("ncti") for part in alone])
        assert ranking[name].value("ncti") == pytest.approx(expected)


def surgery() -> tuple[dict[str, Any], Any, Any, list[str], dict[str, Any]]:
    """Videos that each lack phases, and models that are worth what they are on the hardest video.

    The better a model is there, the less its features shine on the easy videos, of which most rows
    are: pooled rows see those.
    """
    rng = np.random.default_rng(11)
    videos = np.repeat(np.arange(6), 60)
    phases = np.empty(360, dtype=int)
    for v in range(6):
        present = np.delete(np.arange(5), v % 5)[: 3 + v % 2]  # one or two of five are absent
        phases[videos == v] = rng.permutation(np.resize(present, 60))
    models, probs = {}, {}
    worst = {"a": 3.0, "b": 2.2, "c": 1.5, "d": 0.9, "e": 0.4}
    for i, (name, hard) in enumerate(worst.items()):
        size = np.where(videos == 4, hard, 3.5 + 0.8 * i)[:, None]
        models[name] = rng.normal(size=(360, 8)) + size * np.eye(5, 8)[phases]
        logits = 1.5 * models[name][:, :6]
        probs[name] = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs[name] /= probs[name].sum(axis=1, keepdims=True)
    sources = {
        "source_probs": probs,
        "source_labels": {name: p.argmax(axis=1) for name, p in probs.items()},
        "label_embeddings": rng.normal(size=(5, 4, 3))[phases],
    }
    return models, phases, videos, list(worst), sources


def test_the_minimum_recovers_the_order_and_pooling_does_not() -> None:
    models, phases, videos, order, _ = surgery()
    for metric in ("logme", "ridge_probe", "lda"):
        least = tx.rank(models, phases, metric, groups=videos, aggregate="min")
        assert list(least.names) == order
    for metric in ("logme", "lda"):
        assert list(tx.rank(models, phases, metric, groups=videos).names) != order
    pooled = tx.rank(models, phases, "logme", groups=videos)
    assert pooled.names == tx.rank(models, phases).names


@pytest.mark.parametrize("aggregate", ["pooled", "min", "quantile(0.25)"])
def test_every_metric_is_defined_with_absent_phases(aggregate: str) -> None:
    models, phases, videos, _, sources = surgery()
    ranking = tx.rank(models, phases, "all", groups=videos, aggregate=aggregate, **sources)
    assert len(ranking.metrics) > 15
    for row in ranking:
        assert row.error is None
        for metric in ranking.metrics:
            assert np.isfinite(row.value(metric)), metric
            assert list(row.per_group[metric]) == list(range(6)), metric
            assert all(np.isfinite(own) for own in row.per_group[metric].values()), metric


def test_explain_speaks_of_the_groups() -> None:
    x, phases, videos = video()
    text = tx.score(x, phases, "logme", groups=videos, aggregate="min").explain()
    assert "min of the scores of 5 groups" in text
    worst = min(
        (float(s), v) for v, s in tx.score(x, phases, "logme", groups=videos).per_group.items()
    )
    assert f"lowest for group {worst[1]!r} ({worst[0]:.4f})" in text
    assert "5 groups" in tx.score(x, phases, "logme", groups=videos).explain()


def test_the_command_line(tmp_path: Path) -> None:
    x, phases, videos = video()
    paths = {name: str(tmp_path / f"{name}.npy") for name in ("x", "phases", "videos")}
    for path, array in zip(paths.values(), (x, phases, videos), strict=True):
        np.save(path, array)
    more = ["--groups", paths["videos"], "--aggregate", "min", "--json"]
    scored = CliRunner().invoke(main, ["score", paths["x"], paths["phases"], *more])
    expected = tx.score(x, phases, "logme", groups=videos, aggregate="min")
    assert json.loads(scored.stdout)["logme"]["value"] == float(expected)
    ranked = CliRunner().invoke(main, ["rank", paths["x"], "--labels", paths["phases"], *more])
    assert json.loads(ranked.stdout)["rows"][0]["scores"]["logme"] == float(expected)


@example([0.0] * 7 + [-999999.9999999999] * 2, 0.1)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.floats(0, 1))
def test_quantiles_are_numpys_and_keep_infinity(values: list[float], q: float) -> None:
    of = summary(f"quantile({q!r})")
    assert of(values) == pytest.approx(float(np.quantile(values, q)), rel=1e-9, abs=1e-9)
    assert summary("min")(values) == min(values)
    assert min(values) <= of(values) <= max(values)
    assert summary("quantile(1)")([*values, np.inf]) == np.inf
    assert np.isfinite(summary("min")([*values, np.inf]))


def test_rows_without_labels_have_groups_too() -> None:
    x, _, videos = video()
    score = tx.score(x, None, "energy", groups=videos, aggregate="min")
    alone = [float(tx.energy(x[videos == v])) for v in range(5)]
    assert float(score) == pytest.approx(min(alone))
