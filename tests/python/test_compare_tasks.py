"""Target tasks for one model, and ensembles of source models for one task."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError, agreement


@pytest.fixture(scope="module")
def probs() -> Any:
    return np.random.default_rng(0).dirichlet([0.2] * 6, 400)


@pytest.fixture(scope="module")
def tasks(probs: Any) -> dict[str, dict[str, Any]]:
    """Tasks whose labels follow the source classes with more and more noise."""
    rng = np.random.default_rng(1)
    found = {}
    for noise in (0.6, 0.1, 0.3):
        labels = probs.argmax(axis=1)
        wrong = rng.random(400) < noise
        found[f"noise{noise}"] = {
            "source_probs": probs,
            "source_labels": probs.argmax(axis=1),
            "labels": np.where(wrong, rng.integers(0, 6, 400), labels),
        }
    # Two classes, one rare: LEEP is near 0 whatever the model knows, and nothing is explained.
    found["rare"] = {
        "source_probs": probs,
        "source_labels": probs.argmax(axis=1),
        "labels": (np.arange(400) % 40 == 0).astype(int),
    }
    return found


def test_the_correction_takes_out_the_entropy_of_the_labels(tasks: Any) -> None:
    ranking = tx.compare_tasks(tasks, ["leep", "nce"])
    assert ranking.names == ("noise0.1", "noise0.3", "noise0.6", "rare")
    plain = tx.compare_tasks(tasks, "leep", normalize=None)
    assert plain.names[0] == "rare"
    for name, task in tasks.items():
        leep = tx.leep(task["source_probs"], task["labels"], normalize="entropy_ratio")
        assert ranking[name].leep == leep
        assert plain[name].leep == tx.leep(task["source_probs"], task["labels"])
        assert 0 <= ranking[name].nce <= 1
    assert tx.compare_tasks(tasks, "leep").warnings == ()
    assert "4 tasks by LEEP" in repr(ranking)


def test_nce_notes_where_its_bound_does_not_hold(tasks: Any) -> None:
    # l_Z - H(Y|Z) bounds the log likelihood; l_Z is that of the source labels.
    (note,) = tx.compare_tasks(tasks, ["leep", "nce"]).warnings
    assert "entropy_ratio" in note
    for normalize in (None, "entropy_sum"):
        assert tx.compare_tasks(tasks, "nce", normalize=normalize).warnings == ()
    assert tx.compare_tasks({"one": tasks["rare"]}, "nce").warnings == ()
    moved = {**tasks["rare"], "source_labels": tasks["rare"]["source_labels"][::-1]}
    for normalize in (None, "entropy_sum", "entropy_ratio"):
        ranking = tx.compare_tasks({**tasks, "moved": moved}, "nce", normalize=normalize)
        assert "same rows only" in ranking.warnings[0]
    fewer = {"source_labels": [0, 1, 1], "labels": [0, 1, 0], "task": "classification"}
    ranking = tx.compare_tasks({"a": fewer, **tasks}, "nce", normalize=None)
    assert "same rows only" in ranking.warnings[0]


def test_rankings_of_models_by_nce_say_what_is_left_out(probs: Any) -> None:
    labels = np.arange(400) % 3
    sources = {"a": probs.argmax(axis=1), "b": probs.argmin(axis=1)}
    models = dict.fromkeys(sources, np.random.default_rng(0).normal(size=(400, 3)))
    ranking = tx.rank(models, labels, ["nce", "logme"], source_labels=sources)
    assert any("differs between models" in note for note in ranking.warnings)
    single = tx.rank({"a": models["a"]}, labels, "nce", source_labels=sources)
    assert single.warnings == ()
    all_probs = dict.fromkeys(sources, probs)
    assert tx.rank(models, labels, "leep", source_probs=all_probs).warnings == ()


def test_the_bounds_that_the_notes_are_about(probs: Any) -> None:
    # The best head on the probabilities of the source model, which multiplies them by a table, has
    # at least LEEP, and at least l_Z + NCE, for every model and task.
    rng = np.random.default_rng(2)

    def best_head(probs: Any, labels: Any) -> float:
        n_classes = labels.max() + 1
        table = rng.dirichlet(np.ones(n_classes), probs.shape[1])
        for _ in range(300):  # expectation maximisation of the mixture
            joint = probs * table[:, labels].T
            joint /= joint.sum(axis=1, keepdims=True)
            table = np.stack([joint[labels == c].sum(axis=0) for c in range(n_classes)], axis=1)
            table /= table.sum(axis=1, keepdims=True)
        return float(np.log((probs * table[:, labels].T).sum(axis=1)).mean())

    for n_classes in (2, 3, 5):
        labels = np.where(rng.random(400) < 0.4, rng.integers(0, n_classes, 400), 0)
        own = np.log(probs.max(axis=1)).mean()
        leep, nce = tx.leep(probs, labels), tx.nce(probs.argmax(axis=1), labels)
        assert best_head(probs, labels) >= leep >= own + nce
    # Without l_Z it is no bound, and orders these two models wrongly: one that hardly prefers the
    # right class, always, and one that is sure of it, 19 times of 20.
    labels = np.arange(400) % 2
    wrong = np.arange(400) % 20 < 1
    hardly = np.where(np.eye(2)[labels] > 0, 0.51, 0.49)
    sure = np.where(np.eye(2)[labels ^ wrong] > 0, 0.99, 0.01)
    nce, leep, best = (
        [found(p) for p in (hardly, sure)]
        for found in (
            lambda p: tx.nce(p.argmax(axis=1), labels),
            lambda p: tx.leep(p, labels),
            lambda p: best_head(p, labels),
        )
    )
    assert best[0] < best[1]
    assert leep[0] < leep[1]
    assert nce[0] > nce[1]
    assert nce[0] > best[0]


def test_relative_accuracy_is_the_truth_of_tasks(tasks: Any) -> None:
    ranking = tx.compare_tasks(tasks)
    truth = {"noise0.1": 0.9, "noise0.3": 0.75, "noise0.6": 0.5, "rare": 0.98}
    baseline = {"noise0.1": 0.3, "noise0.3": 0.3, "noise0.6": 0.3, "rare": 0.975}
    assert ranking.evaluate(truth, n_boot=100).weighted_tau < 0.5
    relative = ranking.evaluate(truth, baseline=baseline, n_boot=100)
    assert relative.weighted_tau == pytest.approx(1)
    expected = [agreement.relative_accuracy(truth[name], baseline[name]) for name in ranking.names]
    assert relative.truth.tolist() == expected
    with pytest.raises(DataError, match="no baseline for rare"):
        ranking.evaluate(truth, baseline={k: v for k, v in baseline.items() if k != "rare"})


def test_tasks_of_features_and_failures_are_rows(features: Any, labels: Any) -> None:
    ranking = tx.compare_tasks(
        {
            "pair": (features, labels),
            "values": {"features": features, "labels": features[:, 0], "task": "regression"},
            "bad": {"features": features, "labels": labels[:10]},
        },
        ["logme", "h_score"],
    )
    assert ranking["pair"].logme == tx.logme(features, labels)
    assert ranking["values"].error is not None
    assert "h_score" in ranking["values"].error
    assert "10 entries" in str(ranking["bad"].error)
    assert "no correction takes out" in ranking.warnings[0]
    assert ranking.top(1).unit == "task"


class Unreadable:
    """Features whose file system has gone."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self.error


def test_any_error_of_one_task_is_its_reason(features: Any, labels: Any) -> None:
    tasks = {"good": (features, labels), "bad": (Unreadable(OSError("disk on fire")), labels)}
    ranking = tx.compare_tasks(tasks, "logme")
    assert ranking.names == ("good", "bad")
    assert "disk on fire" in str(ranking["bad"].error)
    with pytest.raises(KeyboardInterrupt):
        tx.compare_tasks({"bad": (Unreadable(KeyboardInterrupt()), labels)}, "logme")
    consensus = ranking.consensus()
    assert consensus.unit == "task"
    assert consensus.replace(task_note="mine").task_note == "mine"


def test_wrong_tasks_say_so(features: Any, labels: Any) -> None:
    with pytest.raises(DataError, match="'images'"):
        tx.compare_tasks({"a": {"images": features, "labels": labels}})
    with pytest.raises(DataError, match="no 'labels'"):
        tx.compare_tasks({"a": {"features": features}})
    with pytest.raises(DtypeError, match="features, labels"):
        tx.compare_tasks({"a": features})
    with pytest.raises(DataError, match="tasks is empty"):
        tx.compare_tasks({})
    for metrics in ("all", "recommended"):
        with pytest.raises(DataError, match=f"metrics is '{metrics}'.* name the metrics"):
            tx.compare_tasks({"a": (features, labels)}, metrics)


def test_tasks_by_the_same_metrics_and_options_add_up() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(4), 60)

    def ranked(name: str, metrics: Any = "leep", **options: Any) -> tx.TaskRanking:
        task = {"source_probs": probs, "labels": np.arange(60) % 3, "features": probs}
        return tx.compare_tasks({name: task}, metrics, **options)

    assert {*(ranked("a") + ranked("b")).names} == {"a", "b"}
    assert {*(ranked("a") + ranked("b", normalize="entropy_ratio")).names} == {"a", "b"}
    for other in (
        ranked("b", normalize=None),
        ranked("b", "logme"),
        ranked("b", ["leep", "logme"]),
    ):
        with pytest.raises(DataError, match="differ in metrics or options"):
            ranked("a") + other


# --- ensembles ------------------------------------------------------------------------------------


def test_concatenated_ensembles_are_ranked_by_features_side_by_side() -> None:
    rng = np.random.default_rng(0)
    models = {name: rng.normal(size=(200, d)) for name, d in (("a", 3), ("b", 2), ("c", 4))}
    labels = models["a"][:, 0] + models["c"][:, 0] > 0
    ranking = tx.rank_ensembles(models, labels, sizes=[1, 2])
    assert len(ranking) == 6
    assert ranking.names[0] == "a + c"
    both = np.concatenate([models["a"], models["c"]], axis=1)
    assert ranking["a + c"].logme == tx.logme(both, labels)
    assert ranking["a + c"].n_features == 7
    assert ranking["b"].logme == tx.logme(models["b"], labels)


def test_mean_ensembles_average_scores() -> None:
    rng = np.random.default_rng(0)
    models = {name: rng.normal(size=(200, 3)) for name in "abcd"}
    models["broken"] = np.full((200, 3), np.nan)
    labels = models["a"][:, 0] > 0
    ranking = tx.rank_ensembles(models, labels, "h_score", sizes=3, combine="mean")
    expected = np.mean([tx.h_score(models[m], labels) for m in "abd"])
    assert ranking["a + b + d"].h_score == pytest.approx(expected, rel=1e-15)
    assert str(ranking["a + b + broken"].error).startswith("broken: ")
    assert ranking["a + b + d"].h_score.members == ("a", "b", "d")


def test_predictions_average_as_e_leep_says(probs: Any) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 400)
    models = {"a": probs, "b": rng.dirichlet([0.5] * 4, 400), "c": rng.dirichlet([1.0] * 2, 400)}
    ranking = tx.rank_ensembles(models, labels, sizes=[1, 2, 3], combine="prediction")

    def likelihood(theta: Any, i: int) -> float:
        total = 0.0
        for z in range(theta.shape[1]):
            total += theta[i, z] * theta[labels == labels[i], z].sum() / theta[:, z].sum()
        return total

    for size in (1, 2, 3):
        for subset in itertools.combinations(models, size):
            mean = [np.mean([likelihood(models[m], i) for m in subset]) for i in range(400)]
            expected = np.mean(np.log(mean))
            found = ranking[" + ".join(subset)].leep
            assert found == pytest.approx(expected, abs=1e-12)
    for name in models:  # an ensemble of one is LEEP
        assert ranking[name].leep == pytest.approx(float(tx.leep(models[name], labels)), abs=1e-12)
    # By Jensen, averaged predictions are at least as likely as the mean of the members' scores.
    mean = tx.rank_ensembles(models, labels, sizes=3, combine="prediction")[0].leep
    assert mean >= np.mean([tx.leep(p, labels) for p in models.values()])


def test_sizes_of_any_integers_each_once() -> None:
    rng = np.random.default_rng(0)
    models = {name: rng.normal(size=(50, 2)) for name in "abc"}
    labels = np.arange(50) % 2
    expected = tx.rank_ensembles(models, labels, combine="mean")
    for sizes in (np.int64(2), [2, 2], np.array([2]), iter([2]), (np.uint8(2), 2)):
        found = tx.rank_ensembles(models, labels, sizes=sizes, combine="mean")  # type: ignore[arg-type]
        assert found.names == expected.names
    with pytest.raises(DataError, match="of ensembles by their members"):
        expected.stability(n_boot=20)


def test_wrong_ensembles_say_so() -> None:
    models = {f"m{i}": np.random.default_rng(i).normal(size=(50, 2)) for i in range(12)}
    labels = np.arange(50) % 2
    with pytest.raises(DataError, match=f"{math.comb(12, 5)} ensembles"):
        tx.rank_ensembles(models, labels, sizes=5)
    with pytest.raises(DataError, match="1 to 12 members"):
        tx.rank_ensembles(models, labels, sizes=13)
    for none in (None, [2, None], []):
        with pytest.raises(DataError, match="1 to 12 members"):
            tx.rank_ensembles(models, labels, sizes=none)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="sizes must be at least 1"):
        tx.rank_ensembles(models, labels, sizes=[2, 0])
    for given in ({"sizes": "2"}, {"sizes": 2.0}, {"sizes": [2, "3"]}, {"most": "200"}):
        with pytest.raises(DtypeError, match=f"{next(iter(given))} must be a whole number"):
            tx.rank_ensembles(models, labels, **given)
    with pytest.raises(DataError, match="combine"):
        tx.rank_ensembles(models, labels, combine="vote")
    with pytest.raises(DataError, match="defined for leep"):
        tx.rank_ensembles(models, labels, "logme", combine="prediction")
    with pytest.raises(DataError, match=r"\[40, 50\] rows"):
        tx.rank_ensembles({"a": models["m0"], "b": models["m1"][:40]}, labels)
