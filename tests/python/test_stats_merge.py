"""However rows are cut and merged, every metric that statistics serve is the one-shot score.

1e-10 relative to max(1, |value|), as promised: two ways to sum the same numbers differ by some
ulp of the largest eigenvalue, and what metrics divide by is above 1e-4 of that on this data.
Where a score states a larger rounding error of its own, that is the tolerance (see tests/laws.rs).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import golden

import transferability as tx
from transferability import DataError, DtypeError, Stats
from transferability._metric.registry import metric_specs
from transferability.errors import TransferabilityError

pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

TASKS = ("classification", "regression", "multilabel")
SHAPES = [(90, 7), (20, 40), (30, 30), (31, 30), (60, 24)]


def served(task: str) -> list[str]:
    specs = metric_specs().items()
    return [name for name, spec in specs if spec.reads_statistics_only and task in spec.tasks]


def scores(stats: Stats) -> dict[str, Any]:
    """Every metric, or what it says instead."""
    found: dict[str, Any] = {}
    for name in served(stats.task):
        try:
            found[name] = stats.score(name)
        except TransferabilityError as error:
            found[name] = type(error)
    return found


def bits(stats: Stats) -> dict[str, Any]:
    return {
        name: score.hex() if isinstance(score, float) else score
        for name, score in scores(stats).items()
    }


def close(actual: Stats, expected: Stats, tolerance: float = 1e-10) -> None:
    found, wanted = scores(actual), scores(expected)
    assert actual.classes == expected.classes
    assert any(isinstance(score, float) for score in wanted.values())
    for name, score in wanted.items():
        if not isinstance(score, float):
            assert found[name] is score, name
            continue
        stated = sum(np.max(s.details.get("rounding", 0.0)) for s in (found[name], score))
        bound = max(tolerance * max(1.0, abs(score)), stated)
        assert found[name] == score or abs(found[name] - score) <= bound, name
        assert found[name].class_counts == score.class_counts


def sample(shape: tuple[int, int], task: str, offset: float = 0.0, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    n, d = shape
    ids = rng.permutation(np.arange(n) % 3)
    features = rng.normal(size=shape) + rng.normal(size=(3, d))[ids] / 2 + offset
    values = rng.normal(size=(n, 2)) + ids[:, None] / 2
    return features, {
        "classification": ids * 3 - 2,
        "regression": values,
        "multilabel": (values > 0.5).astype(int),
    }[task]


def stats_of(task: str, features: Any, labels: Any, **options: Any) -> Stats:
    return Stats(task, class_scatters=True, **options).update(features, labels)


def shards(features: Any, labels: Any, cuts: Iterable[int], task: str, block: int) -> list[Stats]:
    """One state a shard, each from blocks of so many rows."""
    n = len(features)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < n}), n]
    parts = []
    for start, end in pairwise(edges):
        stats = Stats(task, class_scatters=True)
        for i in range(start, end, block):
            rows = slice(i, min(i + block, end))
            stats.update(features[rows], labels[rows])
        parts.append(stats)
    return parts


def any_tree(parts: Sequence[Stats], choice: random.Random) -> Stats:
    parts = list(parts)
    while len(parts) > 1:
        choice.shuffle(parts)
        parts.append(parts.pop() + parts.pop())
    return parts[0]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from(SHAPES),
    task=st.sampled_from(TASKS),
    offset=st.sampled_from([0.0, -1e6]),
    cuts=st.sets(st.integers(1, 89), max_size=8),
    block=st.sampled_from([1, 3, 1000]),
    seed=st.integers(0, 50),
    choice=st.randoms(use_true_random=False),
)
def test_any_shards_and_any_tree(
    shape: tuple[int, int],
    task: str,
    offset: float,
    cuts: set[int],
    block: int,
    seed: int,
    choice: random.Random,
) -> None:
    features, labels = sample(shape, task, offset, seed)
    whole = stats_of(task, features, labels)
    parts = shards(features, labels, cuts, task, block)
    before = [part.to_bytes() for part in parts]
    close(any_tree(parts, choice), whole)
    merged = Stats.merge_all(parts)
    close(merged, whole)
    choice.shuffle(parts)
    again = Stats.merge_all(iter(parts))
    assert again.to_bytes() == merged.to_bytes()  # to the bit, and with the same facts
    assert bits(again) == bits(merged)
    assert sorted(part.to_bytes() for part in parts) == sorted(before)  # no input changed


# Here one pass has fewer digits, stated as the score's rounding (see test_logme.py), or no score.
GOLDENS = [key for key in golden.cases() if "f8" in key]


@pytest.mark.parametrize("key", GOLDENS)
def test_recorded_inputs_in_any_shards(key: str) -> None:
    features, labels = golden.inputs(key)
    task = golden.cases()[key]["kind"]
    choice = random.Random(key)
    n = len(features)
    try:
        whole = stats_of(task, features, labels)
    except DataError:
        return  # some are recorded for what they are refused for
    for block in (1, 1000):
        cuts = choice.sample(range(n), min(n, 5))
        parts = shards(features, labels, cuts, task, block)
        close(any_tree(parts, choice), whole)
        close(Stats.merge_all(parts), whole)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("task", TASKS)
def test_the_same_shards_in_the_same_order_give_the_same_bits(
    task: str, shape: tuple[int, int]
) -> None:
    def run(n_threads: int) -> dict[str, Any]:
        total = Stats(task, class_scatters=True, n_threads=n_threads)
        for part in shards(*sample(shape, task, 1e6), [7, 19, 33], task, 5):
            total += part
        return bits(total)

    assert run(1) == run(1) == run(2)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float16", "float32", "bool", "int64"])
@pytest.mark.parametrize("task", TASKS)
def test_blocks_of_any_number_format(task: str, dtype: str) -> None:
    features, labels = sample((90, 7), task)
    narrow = np.abs(features * 20).astype(dtype)
    parts = shards(narrow, labels, [11, 50], task, 8)
    wide = narrow.astype(np.float64)
    parts[1] = stats_of(task, wide[11:50], labels[11:50])  # formats mix
    close(Stats.merge_all(parts), stats_of(task, wide, labels))


def test_classes_may_appear_later() -> None:
    features, labels = sample((90, 7), "classification")
    order = np.argsort(labels)
    features, labels = features[order], labels[order]  # each class in shards of its own
    parts = shards(features, labels, range(0, 90, 10), "classification", 4)
    assert [part.classes for part in parts[:2]] == [(-2,), (-2,)]
    for merged in (Stats.merge_all(parts), any_tree(parts, random.Random(1))):
        close(merged, stats_of("classification", features, labels))


@pytest.mark.parametrize("task", TASKS)
def test_shards_with_other_means_and_scales(task: str) -> None:
    features, labels = sample((90, 7), task)
    features[:30] += 50.0
    features[60:] *= 10.0  # each state is about the mean of its own rows
    parts = shards(features, labels, [30, 60], task, 7)
    shifts = [part.moments()["shift"] for part in parts]
    assert np.abs(shifts[0] - shifts[1]).min() > 10
    whole = stats_of(task, features, labels)
    close(Stats.merge_all(parts), whole)
    close(parts[2] + (parts[0] + parts[1]), whole)


def test_what_cannot_be_merged() -> None:
    one = stats_of("classification", *sample((90, 7), "classification"))
    with pytest.raises(DataError, match="no statistics to merge"):
        Stats.merge_all([])
    with pytest.raises(DtypeError, match="takes a list of Stats"):
        Stats.merge_all(one)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="merges with Stats only, not with str"):
        Stats.merge_all([one, "two"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="classification and those of regression"):
        Stats.merge_all([one, stats_of("regression", *sample((90, 7), "regression"))])
    with pytest.raises(DataError, match="columns"):
        Stats.merge_all([one, stats_of("classification", *sample((90, 6), "classification"))])
    empty = Stats(class_scatters=True)
    assert Stats.merge_all([empty, one, empty]).to_bytes() == Stats.merge_all([one]).to_bytes()
    assert Stats.merge_all([one]) is not one


def test_targets_in_another_order_are_refused() -> None:
    """Sums of one target are never added to those of another."""
    pandas = pytest.importorskip("pandas")
    features, labels = sample((90, 7), "regression")
    table = pandas.DataFrame(labels, columns=["weight", "height"])
    first = Stats().update(features[:40], table[:40])
    swapped = Stats().update(features[40:], table[40:][["height", "weight"]])
    before = first.to_bytes()
    for act in (
        lambda: first + swapped,
        lambda: Stats.merge_all([first, swapped]),
        lambda: first.update(features[40:], table[40:][["height", "weight"]]),
    ):
        with pytest.raises(DataError, match=r"height, weight, and .* hold weight, height"):
            act()
    assert first.to_bytes() == before
    named = first + Stats().update(features[40:], table[40:])
    plain = first + Stats().update(features[40:], labels[40:])  # an array names nothing
    assert named.logme() == plain.logme()


@pytest.mark.parametrize("metric", ["logme", "lin_mse"])
def test_labels_that_vary_in_some_shards_only(metric: str) -> None:
    """Of multilabel data the whole decides which columns are left out, not a shard."""
    features, labels = sample((90, 7), "multilabel")
    labels = np.column_stack([labels, np.ones(90, int)])
    labels[:45, 0] = 0
    labels[45:, 1] = 1
    parts = [stats_of("multilabel", features[:45], labels[:45])]
    parts.append(stats_of("multilabel", features[45:], labels[45:]))
    merged = Stats.merge_all(parts).score(metric)
    whole = tx.score(features, labels, metric)
    assert merged == pytest.approx(whole, abs=1e-10)
    assert merged.targets == whole.targets == (0, 1)
    with pytest.raises(TransferabilityError, match="same in all rows"):
        stats_of("multilabel", features, np.ones_like(labels)).score(metric)


def test_facts_do_not_depend_on_the_order() -> None:
    features, labels = sample((90, 7), "classification")
    parts = shards(features, labels, [30, 60], "classification", 30)
    for part, seconds in zip(parts, (0.1, 0.2, 1e-9), strict=True):
        part._seconds = seconds
        part._warnings = (f"warning {seconds}",)
    parts.append(parts[0].copy())  # the same rows again
    parts[3]._warnings = ("another warning",)
    both = [Stats.merge_all(parts), Stats.merge_all(parts[::-1])]
    assert both[0].to_bytes() == both[1].to_bytes()
    assert both[0]._seconds == 0.4 + 1e-9
    assert len(both[0]._warnings) == 4


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(SHAPES),
    task=st.sampled_from(TASKS),
    offset=st.sampled_from([0.0, 1e6]),
    seed=st.integers(0, 50),
)
def test_moments_are_all_that_scores_need(
    shape: tuple[int, int], task: str, offset: float, seed: int
) -> None:
    features, labels = sample(shape, task, offset, seed)
    whole = stats_of(task, features, labels)
    moments = whole.moments()
    again = Stats.from_moments(moments)
    close(again, whole, 1e-9)  # also of fewer rows than features, which are multiplied out
    x = features - moments["shift"]
    np.testing.assert_allclose(moments["scatter"], x.T @ x, atol=1e-8)
    np.testing.assert_allclose(moments["sum"], x.sum(axis=0), atol=1e-8)
    square = (x * x).sum(axis=1)
    np.testing.assert_allclose(moments["cubic"], x.T @ square, atol=1e-7)
    np.testing.assert_allclose(moments["quartic"], square @ square, rtol=1e-9)
    assert moments["largest"] >= np.abs(x).max() * (1 - 1e-12)
    if task == "classification":
        assert moments["classes"] == (-2, 1, 4)
        one_hot = labels[:, None] == np.array(moments["classes"])
        np.testing.assert_array_equal(moments["class_counts"], one_hot.sum(axis=0))
        np.testing.assert_allclose(moments["class_sums"], one_hot.T @ x, atol=1e-8)
        assert sum(part["n_samples"] for part in moments["by_class"].values()) == len(x)
    else:
        y = labels - moments["target_shift"]
        np.testing.assert_allclose(moments["target_sum"], y.sum(axis=0), atol=1e-8)
        np.testing.assert_allclose(moments["target_square"], (y * y).sum(axis=0), atol=1e-8)
        np.testing.assert_allclose(moments["cross"], x.T @ y, atol=1e-8)


def test_moments_that_were_summed_in_parts() -> None:
    """As processes do that share a shift and add up: torch.distributed, or a GPU's batches."""
    features, labels = sample((90, 7), "classification", 1e6)
    boolean = labels == 1
    shift = features[:5].mean(axis=0)
    total: dict[str, Any] = {}
    for rows in np.array_split(np.arange(90), 4):
        x, is_class = features[rows] - shift, boolean[rows, None] == np.array([False, True])
        square = (x * x).sum(axis=1)
        part = {
            **{"n_samples": len(x), "sum": x.sum(axis=0), "scatter": x.T @ x},
            **{"cubic": x.T @ square, "quartic": square @ square},
            **{"class_counts": is_class.sum(axis=0), "class_sums": is_class.T @ x},
            "class_squares": is_class.T @ square,
        }
        total = {name: total.get(name, 0) + value for name, value in part.items()}
    largest = np.abs(features - shift).max()
    stats = Stats.from_moments(
        {
            **{name: value.tolist() for name, value in total.items() if name != "n_samples"},
            **{"task": "classification", "classes": (False, True), "n_samples": 90.0},
            **{"shift": shift, "largest": largest},
        }
    )
    expected = Stats().update(features, boolean)
    assert stats.score("logme").targets == (False, True) == expected.score("logme").targets
    for name in ("logme", "h_score", "regularized_h_score", "lfc", "cka"):
        assert abs(stats.score(name) - expected.score(name)) < 1e-10, name
    assert "as the moments say" in stats.score("logme").task_note
    assert (stats + expected).n_samples == 180


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sum": None}, "no 'sum'"),
        ({"sum": np.zeros(3)}, r"'sum'\] has shape \(3,\); \(7,\) is needed"),
        ({"scatter": np.eye(6)}, "'scatter'"),
        ({"class_sums": np.zeros((7, 3))}, "'class_sums'"),
        ({"class_counts": [30.5, 29.5, 30]}, "whole numbers"),
        ({"class_counts": [30, 30, 31]}, "91 for 90 samples"),
        ({"classes": [1, "2", 3]}, "all 64-bit integers or all strings"),
        ({"classes": "abc"}, "must be the classes"),
        ({"n_samples": -1}, "whole numbers"),
        ({"n_samples": 0}, "0 samples"),
        ({"quartic": np.inf}, "quartic holds inf"),
        ({"largest": 0.5}, "at most 5e-1"),
        ({"task": "auto"}, "'task'"),
        ({"precision": "half"}, "'precision'"),
        ({"shfit": 0}, "unknown keys: shfit"),
        ({"scatter": np.arange(49.0).reshape(7, 7)}, "scatter"),
        ({"scatter": -np.eye(7)}, r"scatter\[0, 0\] is -1"),
        ({"cubic": "many"}, "must be numbers"),
    ],
)
def test_moments_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    moments = Stats().update(*sample((90, 7), "classification")).moments()
    with pytest.raises((DataError, DtypeError), match=message):
        Stats.from_moments({**moments, **changes})


def test_moments_of_other_kinds() -> None:
    with pytest.raises(DataError, match="no rows yet"):
        Stats().moments()
    with pytest.raises(DtypeError, match="must be a mapping"):
        Stats.from_moments([1, 2])  # type: ignore[arg-type]
    features, labels = sample((90, 7), "regression")
    single = Stats(precision="single").update(features.astype(np.float32), labels)
    again = Stats.from_moments(single.moments())
    assert again._inner.precision == "single"
    assert (again + single).n_samples == 180


def test_reset() -> None:
    features, labels = sample((90, 7), "classification")
    stats = Stats(class_scatters=True, n_threads=1).update(features, labels)
    assert stats.reset() is stats
    assert (stats.task, stats.n_samples, stats.nbytes) == ("auto", 0, 0)
    stats.update(*sample((90, 7), "regression"))
    assert stats.task == "regression"
    assert stats._inner.class_scatters
    assert Stats("regression").update(features, labels).reset().task == "regression"
