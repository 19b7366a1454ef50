"""Scores by group of rows: each group by itself, and what is made of them."""

from __future__ import annotations

import json
import pickle
import re
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
from transferability._metric.registry import metric_specs
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


#: Every metric of classes that reads labels.
READERS = [
    name
    for name, spec in metric_specs().items()
    if spec.reads_labels and "classification" in spec.tasks
]


@pytest.mark.parametrize("aggregate", ["min", "mean", "pooled"])
def test_groups_of_a_single_class_are_left_out_of_every_metric(aggregate: str) -> None:
    models, phases, videos, _, sources = surgery()
    phases[videos == 1] = 3
    told = r"1 of 6 groups has no score of its own.* \(1: its rows have a single class, 3\)"
    with pytest.warns(tx.TransferabilityWarning, match=told):
        ranking = tx.rank(models, phases, READERS, groups=videos, aggregate=aggregate, **sources)
    rest = videos != 1
    parts = {
        key: {name: own[rest] for name, own in value.items()}
        if isinstance(value, dict)
        else value[rest]
        for key, value in sources.items()
    }
    others = tx.rank(
        {name: x[rest] for name, x in models.items()},
        phases[rest],
        READERS,
        groups=videos[rest],
        aggregate=aggregate,
        **parts,
    )
    for row in ranking:
        for metric in READERS:
            assert list(row.per_group[metric]) == [0, 2, 3, 4, 5], metric
            assert "single class" in row.scores[metric].left_out[1], metric
            if aggregate != "pooled":
                assert row.value(metric) == pytest.approx(others[row.name].value(metric)), metric
        assert not any("single class" in note for note in row.notes)  # said once for all models
    assert any("single class" in text for text in ranking.warnings)
    assert "Note: 1 of 6 groups has no score" in str(ranking)
    if aggregate != "pooled":
        assert ranking.names == others.names


@pytest.mark.parametrize("metric", ["h_score", "transrate", "gbc", "knn", "logme", "nce"])
def test_one_video_with_one_phase_does_not_decide(metric: str) -> None:
    x, phases, videos = video()
    sources = {"source_labels": phases} if metric == "nce" else {}
    phases[videos == 1] = 0
    rest = videos != 1
    with pytest.warns(tx.TransferabilityWarning, match="left out of the min of the groups"):
        score = tx.score(x, phases, metric, groups=videos, aggregate="min", **sources)
    parts = {name: own[rest] for name, own in sources.items()}
    alone = tx.score(x[rest], phases[rest], metric, groups=videos[rest], aggregate="min", **parts)
    assert float(score) == pytest.approx(float(alone), rel=1e-12)
    assert (list(score.per_group), list(score.left_out)) == ([0, 2, 3, 4], [1])


@pytest.mark.parametrize("metric", ["h_score", "logme", "knn", "gbc"])
def test_groups_that_all_have_a_single_class_are_refused(metric: str) -> None:
    x, _, videos = video()
    with pytest.raises(DataError, match=r"no group has a score of its own; .* single class, 'a'"):
        tx.score(x, np.array([*"abcde"])[videos], metric, groups=videos, aggregate="min")
    ranking = tx.rank({"x": x}, videos, metric, groups=videos, aggregate="min")
    assert "no group has a score" in str(ranking["x"].error)
    assert ranking.warnings == ()  # the error says it


@pytest.mark.parametrize("metric", ["logme", "lin_mse", "ridge_probe", "knn"])
@pytest.mark.parametrize("aggregate", ["min", "pooled"])
def test_a_target_that_is_constant_in_a_group_is_left_out_there(
    metric: str, aggregate: str
) -> None:
    """A keypoint that does not move in one video; every metric has the same groups and targets."""
    x, _, videos = video()
    targets = np.random.default_rng(1).normal(size=(len(x), 3))
    targets[videos == 2, 1] = 0.5
    told = rf"^{metric} in 1 of 5 groups \(2\): 1 of 3 targets are constant and were left out: 1$"
    with pytest.warns(tx.TransferabilityWarning, match=told):
        score = tx.score(x, targets, metric, groups=videos, aggregate=aggregate)
    assert list(score.per_group) == [0, 1, 2, 3, 4]
    assert score.left_out == {}
    here = videos == 2
    alone = tx.score(x[here], targets[here][:, [0, 2]], metric)
    assert float(score.per_group[2]) == pytest.approx(float(alone), rel=1e-9)
    assert tuple(score.per_group[2].targets) == (0, 2)


@pytest.mark.parametrize(
    ("aggregate", "effect"),
    [
        ("mean", "own and was left out of the mean of the groups"),
        ("pooled", "own; the pooled score counts its rows all the same"),
    ],
)
def test_a_group_that_one_metric_cannot_score_names_the_metric(aggregate: str, effect: str) -> None:
    x, phases, videos = video()
    phases[:2], videos[:2] = (0, 1), 9  # two rows
    with pytest.warns(tx.TransferabilityWarning) as told:
        scores = tx.score(x, phases, ["logme", "lda"], groups=videos, aggregate=aggregate)
    reason = r"\(9: a linear discriminant needs at least 3 samples, got 2\)"
    texts = [str(one.message) for one in told]
    pattern = rf"1 of 6 groups has no lda score of its {effect} {reason}"
    assert any(re.fullmatch(pattern, text) for text in texts), texts
    assert (list(scores["lda"].left_out), scores["logme"].left_out) == ([9], {})


def test_booleans_and_columns_that_do_not_vary_are_named() -> None:
    x, phases, videos = video()
    score = tx.score(x, (phases > 1) & (videos != 2), "logme", groups=videos, aggregate="min")
    assert score.left_out == {2: "its rows have a single class, False"}
    tags = np.eye(4, dtype=int)[phases] * (videos != 2)[:, None]
    for targets in (tags, tags + 0.5):
        score = tx.score(x, targets, "logme", groups=videos, aggregate="min")
        assert "constant" in score.left_out[2]


def test_metrics_that_read_no_labels_score_groups_of_a_single_class() -> None:
    x, phases, videos = video()
    phases[videos == 1] = 0
    scores = tx.score(
        x, phases, ["effective_rank", "energy", "h_score"], groups=videos, aggregate="min"
    )
    for name in ("effective_rank", "energy"):
        alone = tx.score(x, None, name, groups=videos, aggregate="min")
        assert float(scores[name]) == pytest.approx(float(alone), rel=1e-9)
        assert scores[name].left_out == {}
    assert list(scores["h_score"].left_out) == [1]


def test_a_left_out_group_is_predicted_though_it_has_a_single_class() -> None:
    x, phases, videos = video()
    phases[videos == 1] = 0
    score = tx.score(x, phases, "knn", groups=videos, leave_out="group", aggregate="min")
    assert list(score.per_group) == [0, 1, 2, 3, 4]
    ranking = tx.rank({"x": x}, phases, "knn", groups=videos, leave_out="group", aggregate="min")
    assert not any("single class" in text for text in ranking.warnings)


def test_warnings_of_groups_name_metric_groups_and_reason() -> None:
    x, phases, videos = video()
    wide = np.c_[x, np.random.default_rng(0).normal(size=(240, 80))]
    score = tx.score(wide, phases, "h_score", groups=videos, aggregate="min")
    (text,) = (text for text in score.warnings if "groups" in text)
    assert text.startswith("h_score in 5 of 5 groups (0, 1, 2 and 2 more): the features have a dir")
    assert "use shrinkage" in text


def test_the_published_scores_of_videos() -> None:
    from transferability.compat import surgical, thuml, tllib

    x, phases, videos = video()  # video 2 lacks phase 3, the last
    phases[(videos == 4) & (phases == 1)] = 0
    names = np.array([f"video{v}" for v in range(5)])[videos]
    found = surgical.score_videos(x, phases, names)
    for v in range(5):
        own = videos == v
        assert found[f"video{v}"] == thuml.LogME().fit(x[own], phases[own])
    ours = tx.score(x, phases, "logme", groups=names, aggregate="min").per_group
    # An absent phase adds about 6.8 to the sum over the four phases.
    assert found["video4"] - float(ours["video4"]) == pytest.approx(6.8 / 4, abs=0.4)
    assert abs(found["video0"] - float(ours["video0"])) < 0.1
    with pytest.warns(tx.TransferabilityWarning, match="1 of 5 videos have no transrate.*'video4'"):
        rates = surgical.score_videos(x, phases, names, "transrate")
    assert [*rates] == ["video0", "video1", "video2", "video3"]
    assert rates["video0"] == tllib.transrate(x[videos == 0], phases[videos == 0])
    phases[videos == 3] = 0
    scores = surgical.score_videos(x, phases, names, "h_score")
    assert min(scores, key=scores.__getitem__) == "video3"
    assert scores["video3"] == pytest.approx(0.0, abs=1e-12)  # rounding of a mean
    with pytest.raises(DataError, match="metric is 'gbc'"):
        surgical.score_videos(x, phases, names, "gbc")
    with pytest.raises(DataError, match=r"labels has shape \(239,\) for 240 rows"):
        surgical.score_videos(x, phases[1:], names)
