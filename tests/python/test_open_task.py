"""No split of the rows changes the task or a score: the decision waits until a score is asked for.

Statistics of integers that become those of regression differ from those of the same numbers as
targets by rounding alone, as any two ways to sum the same rows do: see test_stats.py.
"""

from __future__ import annotations

import functools
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError, Stats
from transferability._inputs.target import unlabelled

# Few rows, and exact fits of them, are part of the tests.
pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

SHAPES = [(72, 5), (240, 6), (30, 40)]


def rows_of(shape: tuple[int, int], seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


#: Labels of n rows, which are split at random. A list has the rows of blocks of different kinds.
LABELS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "ids": lambda rng, n: rng.integers(0, 4, n) * 3 - 2,
    "small ids": lambda rng, n: rng.integers(0, 4, n).astype("i1"),
    "unsigned ids": lambda rng, n: rng.integers(0, 4, n).astype("u8"),
    "ids far from 0": lambda rng, n: rng.integers(0, 3, n) + 10**12,
    "a column of ids": lambda rng, n: rng.integers(0, 4, (n, 1)),
    "classes with few rows": lambda rng, n: rng.permutation(np.arange(n) // 3),
    "more ids than half the rows": lambda rng, n: rng.permutation(np.arange(n) * 2 // 3),
    "ages": lambda rng, n: rng.integers(18, 91, n),
    "one class": lambda rng, n: np.full(n, 3),
    "whole floats": lambda rng, n: rng.integers(0, 3, n).astype(float),
    "whole float16": lambda rng, n: rng.integers(0, 3, n).astype("f2"),
    "a column of whole float32": lambda rng, n: rng.integers(0, 3, (n, 1)).astype("f4"),
    "whole floats with few rows": lambda rng, n: rng.integers(0, n // 4, n).astype(float),
    "whole floats far from 0": lambda rng, n: rng.integers(0, n // 3, n) + 1e6,
    "51 whole floats": lambda rng, n: rng.permutation(np.arange(n) % 51).astype(float),
    "50 whole floats": lambda rng, n: rng.permutation(np.arange(n) % 50).astype(float),
    "huge whole floats": lambda rng, n: rng.choice([1e60, -1e60, 0.0], n),
    "a constant": lambda rng, n: np.full(n, 7.0),
    "a late fraction": lambda rng, n: np.r_[rng.integers(0, 3, n - 1), 0.5],
    "an early fraction": lambda rng, n: np.r_[0.5, rng.integers(0, 3, n - 1)],
    "real numbers": lambda rng, n: rng.normal(size=n),
    "real float32": lambda rng, n: rng.normal(size=n).astype("f4"),
    "booleans": lambda rng, n: rng.random(n) < 0.5,
    "strings": lambda rng, n: np.array(["eel", "ant", "dog"])[rng.integers(0, 3, n)],
    "objects": lambda rng, n: np.array(["eel", "ant"], dtype=object)[rng.integers(0, 2, n)],
    "many strings": lambda rng, n: rng.permutation(np.arange(n)).astype(str),
    "multilabel": lambda rng, n: rng.integers(0, 2, (n, 2)),
    "multilabel as floats": lambda rng, n: rng.integers(0, 2, (n, 3)).astype(float),
    "targets, at first 0 and 1": lambda rng, n: np.r_[rng.integers(0, 2, (n - 1, 2)), [[0.5, 1.0]]],
    "several integers": lambda rng, n: rng.integers(0, 5, (n, 2)),
    "Booleans, then ids": lambda rng, n: [rng.random(n // 2) < 0.5, rng.integers(0, 3, n // 2)],
    "Booleans, then 0 and 1": lambda rng, n: [rng.random(n // 2) < 0.5, rng.integers(0, 2, n // 2)],
    "ids, then whole floats": lambda rng, n: [
        rng.integers(0, 3, n // 2),
        rng.integers(0, 3, n // 2).astype("f4"),
    ],
    "many integers, then whole floats": lambda rng, n: [
        rng.integers(0, n, n // 2),
        rng.integers(0, 3, n // 2).astype(float),
    ],
    "ages, then real numbers": lambda rng, n: [rng.integers(18, 91, n // 2), rng.normal(size=5)],
    "binary rows, then integers": lambda rng, n: [
        rng.integers(0, 2, (n // 2, 2)),
        rng.integers(0, 9, (n // 2, 2)),
    ],
    "integer rows, then binary floats": lambda rng, n: [
        rng.integers(0, 9, (n // 2, 2)),
        rng.integers(0, 2, (n // 2, 2)).astype(float),
    ],
}


def outcome(score: Callable[[], Any]) -> tuple[Any, ...]:
    """The score with its facts, or the class of the error."""
    try:
        found = score()
    except tx.TransferabilityError as error:
        return (type(error).__name__,)
    facts = found.task, found.n_samples, found.classes, found.class_counts, found.targets
    return (*facts, np.array(found.per_target))


def check_same(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    assert found[:-1] == wanted[:-1]
    if len(wanted) > 1:
        np.testing.assert_allclose(found[-1], wanted[-1], rtol=1e-9, atol=1e-9)
    else:
        assert found == wanted


def split(features: Any, labels: Any, choice: Any) -> list[tuple[Any, Any]]:
    """Random blocks of the rows, some of a single row."""
    pieces, start = [], 0
    for piece in labels if isinstance(labels, list) else [labels]:
        done = 0
        while done < len(piece):
            size = min(choice.choice([1, 2, 7, 16, 33, 64, len(piece)]), len(piece) - done)
            block = features[start : start + size], piece[done : done + size]
            pieces.append(block)
            done, start = done + size, start + size
    return pieces


SAME: dict[str, Callable[[Stats], Stats]] = {
    "itself": lambda stats: stats,
    "copy": lambda stats: stats.copy(),
    "pickle": lambda stats: pickle.loads(pickle.dumps(stats)),
    "bytes": lambda stats: Stats.from_bytes(stats.to_bytes()),
    "moments": lambda stats: Stats.from_moments(stats.moments()),
    "threads": lambda stats: stats.replace(n_threads=1),
    "merged with nothing": lambda stats: Stats() + stats + Stats(),
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", LABELS)
def test_no_split_changes_a_score(kind: str, seed: int) -> None:
    choice, shape = random.Random(seed), SHAPES[seed % len(SHAPES)]
    labels = LABELS[kind](np.random.default_rng(seed), shape[0])
    whole = np.concatenate(labels) if isinstance(labels, list) else labels
    features = rows_of((len(whole), shape[1]), seed)
    wanted = outcome(lambda: tx.logme(features, whole, intercept=True))
    blocks = split(features, labels, choice)
    choice.shuffle(blocks)
    parts = []
    while blocks:
        stats = Stats()
        for _ in range(choice.randint(1, 3)):
            if blocks:
                stats.update(*blocks.pop())
        parts.append(SAME[choice.choice(list(SAME))](stats))
    check_same(outcome(lambda: Stats.merge_all(parts).logme(intercept=True)), wanted)
    while len(parts) > 1:
        choice.shuffle(parts)
        merged = parts.pop() + parts.pop()
        parts.append(SAME[choice.choice(list(SAME))](merged))
    check_same(outcome(lambda: parts[0].logme(intercept=True)), wanted)
    if len(wanted) > 1:
        assert parts[0].task == wanted[0]


def test_float_class_labels_in_blocks() -> None:
    """The case of the report: by 8, 16 or 32 rows they were regression, by 64 classification."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0.0, 1.0, 2.0], 40)
    features = rng.normal(size=(120, 5)) + np.outer(labels, [1, 0, 0, 0, 0])
    order = rng.permutation(120)
    features, labels = features[order], labels[order]
    whole = tx.logme(features, labels)
    assert whole.task == "classification"
    assert abs(tx.logme(features, labels, task="regression") - whole) > 0.01
    for size in (8, 16, 32, 64, 120):
        stats = Stats()
        for start in range(0, 120, size):
            stats.update(features[start : start + size], labels[start : start + size])
        assert abs(stats.logme() - whole) < 1e-10, size
        assert stats.logme().task_note == whole.task_note


@pytest.mark.parametrize("metrics", ["all", "recommended"])
@pytest.mark.parametrize("kind", ["ids", "strings", "whole floats", "whole floats with few rows"])
def test_metrics_of_every_class_follow(kind: str, metrics: str) -> None:
    labels = LABELS[kind](np.random.default_rng(0), 100)
    features = rows_of((100, 4)) + np.unique(labels, return_inverse=True)[1][:, None]
    stats = Stats(class_scatters=True)
    for start in range(0, 100, 9):
        stats.update(features[start : start + 9], labels[start : start + 9])
    asked = tx.score(features, labels, metrics)
    found = stats.score(metrics)
    assert stats.class_scatters
    assert set(found) >= {"logme"}
    for name, score in found.items():
        np.testing.assert_allclose(float(score), float(asked[name]), rtol=1e-8, err_msg=name)


@pytest.mark.parametrize("shape", [(40, 3), (12, 30)])
@pytest.mark.parametrize("asked", ["regression", "multilabel", "classification"])
def test_a_task_can_be_given_afterwards(shape: tuple[int, int], asked: str) -> None:
    features, labels = rows_of(shape), np.arange(shape[0]) % 2
    stats = Stats(class_scatters=True).update(features, labels)
    fixed = stats.replace(task=asked)
    direct = Stats(asked, class_scatters=True).update(features, labels)
    assert stats.task == "classification"
    assert (fixed.task, fixed.task_note) == (asked, direct.task_note)
    check_same(outcome(fixed.logme), outcome(direct.logme))
    # It is kept from then on.
    more = fixed.update(features[:9] + 1, labels[:9])
    check_same(outcome(more.logme), outcome(direct.update(features[:9] + 1, labels[:9]).logme))
    assert Stats.from_bytes(fixed.to_bytes()).reset().task == asked
    assert Stats().replace(task=asked).update(features, labels).task == asked


def test_ages_are_targets_afterwards() -> None:
    rng = np.random.default_rng(0)
    features, ages = rng.normal(size=(400, 4)), rng.integers(18, 91, 400)
    stats = Stats()
    for start in range(0, 400, 50):  # early blocks have more distinct values than half their rows
        stats.update(features[start : start + 50], ages[start : start + 50])
    assert stats.task == "auto"
    assert "73 distinct integers in 400 rows" in stats.task_note
    for act in (stats.logme, stats.decide, lambda: tx.rank({"a": stats})):
        with pytest.raises(DataError, match=r"as Stats\(task=.*stats.replace\(task="):
            act()
    wanted = tx.logme(features, ages, task="regression")
    assert abs(stats.replace(task="regression").logme() - wanted) < 1e-10
    assert abs(tx.rank({"a": stats}, task="regression")["a"].logme - wanted) < 1e-10
    assert stats.task == "auto"  # they were not changed
    assert len(stats.classes or ()) == 73


def test_a_block_does_not_advise_an_argument_of_other_functions() -> None:
    features = rows_of((8, 3))
    stats = Stats().update(features, np.arange(8))
    assert Stats().update(features, [*"abcdefgh"]).n_samples == 8
    with pytest.raises(DataError, match=r"8 distinct integers in 8 rows.*replace\(task="):
        stats.score()


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (["a", "b", "c"], "regression", "strings"),
        (["a", "b", "c"], "multilabel", "strings"),
        ([0, 1, 2], "multilabel", "needs 0 and 1 only"),
        ([0.5, 1, 2], "classification", r"make them with Stats\('classification'\)"),
        ([0.5, 1, 2], "multilabel", "needs 0 and 1 only"),
        ([[0, 2], [1, 1], [1, 0]], "multilabel", "needs 0 and 1 only"),
        ([[0, 1], [1, 1], [1, 0]], "classification", "sums of targets"),
        ([0, 1, 2], "auto", "task"),
        ([0, 1, 2], "clustering", "task"),
    ],
)
def test_tasks_that_cannot_be_given_afterwards(labels: Any, task: str, message: str) -> None:
    stats = Stats().update(rows_of((3, 2)), labels)
    with pytest.raises((DataError, DtypeError), match=message):
        stats.replace(task=task)
    with pytest.raises(DataError, match="hold no labels"):
        unlabelled_stats().replace(task="regression")


def unlabelled_stats() -> Stats:
    stats = Stats("unlabelled")
    stats.push(rows_of((3, 2)), unlabelled(3))
    return stats


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("asked", ["classification", "regression", "multilabel"])
def test_a_task_that_one_side_was_given_holds_for_both(asked: str, first: bool) -> None:
    features, labels = rows_of((60, 4)), np.arange(60) % 2
    given, open_ = Stats(asked).update(features[:30], labels[:30]), Stats()
    open_.update(features[30:], labels[30:])
    whole = Stats(asked).update(features, labels)
    merged = given + open_ if first else open_ + given
    check_same(outcome(merged.logme), outcome(whole.logme))
    assert merged.reset().task == asked
    for one, other in ((Stats(asked), open_), (open_, Stats(asked))):
        assert (one + other).task == asked  # also where the given one has no rows yet


def test_what_does_not_go_together() -> None:
    features = rows_of((6, 2))
    kinds = {
        "strings": ["a", "b", "c"] * 2,
        "ids": [0, 1, 2] * 2,
        "reals": [0.5, 1, 2] * 2,
        "rows": np.eye(2)[[0, 1, 1] * 2],
    }
    for ours, theirs in [
        ("strings", "ids"),
        ("strings", "reals"),
        ("strings", "rows"),
        ("ids", "rows"),
        ("rows", "ids"),
        ("reals", "strings"),
        ("reals", "rows"),
    ]:
        one, other = (Stats().update(features, kinds[name]) for name in (ours, theirs))
        before = one.to_bytes()
        with pytest.raises((DataError, DtypeError)):
            _ = one + other
        with pytest.raises((DataError, DtypeError)):
            one.update(features, kinds[theirs])
        assert one.to_bytes() == before
    fixed = [Stats(task).update(features, [0, 1] * 3) for task in ("classification", "regression")]
    with pytest.raises(DataError, match="cannot merge statistics of classification and those of r"):
        _ = fixed[0] + fixed[1]
    with pytest.raises(DataError, match="cannot merge statistics of classification and those of r"):
        _ = fixed[0] + Stats("regression")
    with pytest.raises(DataError, match=r"do not go together: .*sums of targets"):
        _ = fixed[0] + Stats().update(features, kinds["rows"])
    with pytest.raises(DtypeError, match="labels are strings, which task='regression' cannot use"):
        _ = fixed[1] + Stats().update(features, kinds["strings"])


def test_real_numbers_decide_for_good() -> None:
    features, labels = rows_of((300, 3)), np.arange(300) % 3.0
    stats = Stats(class_scatters=True).update(features[:299], labels[:299])
    held = stats.nbytes
    stats.update(features[299:], [0.5])
    assert (stats.task, stats.classes) == ("regression", None)
    assert stats.nbytes < held  # the sums of the classes are gone
    stats.update(features, np.arange(300) % 2)
    assert stats.task == "regression"
    many = Stats().update(features[:50], np.arange(50.0))
    assert (many.task, len(many.classes or ())) == ("regression", 50)  # by its rows, not for good
    assert many.update(features[:1], [50.0]).classes is None
    few = Stats().update(features[:2], [0.0, 1.0])  # too few rows to be classes
    assert (few.task, few.classes) == ("regression", (0, 1))
    assert few.update(features[2:10], [0.0, 1.0] * 4).task == "classification"


def test_rows_of_weight_0_decide_nothing() -> None:
    features, labels = rows_of((40, 3)), np.arange(40) % 2.0
    odd = np.r_[labels, 0.5]
    weights = np.r_[np.ones(40, int), 0]
    stats = Stats().update(np.r_[features, features[:1]], odd, weights)
    assert stats.task == "classification"
    assert stats.logme() == Stats().update(features, labels).logme()
    before = stats.to_bytes()
    stats.update(features, labels + 0.5, np.zeros(40, int))  # also in a block of their own
    assert (stats.task, stats.to_bytes()) == ("classification", before)
    nothing = Stats().update(features, labels, np.zeros(40, int))
    assert (nothing.task, nothing.task_note, nothing.n_samples) == ("auto", "", 0)
    assert Stats.from_bytes(nothing.to_bytes()).update(features, labels + 0.5).task == "regression"


def test_weights_count_in_the_decision() -> None:
    features, labels = rows_of((6, 2)), np.array([0.0, 1.0] * 3)
    assert Stats().update(features, labels).task == "regression"  # 3 rows for each
    assert Stats().update(features, labels, np.full(6, 2)).task == "classification"
    assert Stats().update(features, np.arange(6), np.full(6, 2)).task == "classification"
    with pytest.raises(DataError, match="6 distinct integers in 6 rows"):
        Stats().update(features, np.arange(6)).logme()


def test_moments_of_an_open_task() -> None:
    features = rows_of((30, 3))
    for labels, kind, task in [
        (np.arange(30) % 2, "int", "classification"),
        (np.arange(30) % 2.0, "float", "classification"),
        (np.arange(30) % 2 == 0, "bool", "classification"),
        (np.array(["a", "b"] * 15), "str", "classification"),
        (np.eye(2)[[0, 1] * 15], "float", "multilabel"),
        (np.arange(60).reshape(30, 2), "int", "regression"),
    ]:
        moments = Stats().update(features, labels).moments()
        assert (moments["open"], moments["task"]) == (kind, task)
        again = Stats.from_moments(moments)
        assert again.moments()["open"] == kind
    assert "open" not in Stats("classification").update(features, np.arange(30) % 2).moments()
    assert "open" not in Stats().update(features, features[:, 0]).moments()
    for wrong in ("integer", 3, "str"):
        with pytest.raises(DataError, match="'open'"):
            Stats.from_moments({**Stats().update(features, [0, 1] * 15).moments(), "open": wrong})


def test_files_of_few_rows_merge_as_one_pass(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("ids", "whole floats", "a late fraction", "classes with few rows"):
        labels, features = LABELS[kind](rng, 72), rows_of((72, 5))
        parts = []
        for i, rows in enumerate(np.array_split(np.arange(72), 9)):
            path = tmp_path / f"x_{i}.npy"
            np.save(path, features[rows])
            parts.append(tx.io.stats_of(path, labels[rows], progress=False))
        wanted = outcome(functools.partial(tx.logme, features, labels))
        check_same(outcome(Stats.merge_all(parts).logme), wanted)
        paths = [tmp_path / f"x_{i}.npy" for i in range(9)]
        whole = tx.io.stats_of(paths, labels, progress=False, checkpoint=tmp_path / "part")
        check_same(outcome(whole.logme), wanted)
        again = tx.io.stats_of(paths, labels, progress=False, checkpoint=tmp_path / "part")
        assert again.to_bytes() == whole.replace().to_bytes() or again.logme() == whole.logme()
        (tmp_path / "part").unlink()


def test_parts_are_scored_as_the_task_of_the_whole() -> None:
    """Stability leaves out shards: what remains may look different, and must not be."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(25.0), 6)  # without a shard, less than 5 rows for each
    order = rng.permutation(150)
    models = {
        name: rng.normal(size=(150, 4)) + labels[:, None] * gain
        for name, gain in [("good", 0.1), ("poor", 0.0)]
    }
    shards = {
        name: [Stats().update(x[rows], labels[rows]) for rows in np.array_split(order, 4)]
        for name, x in models.items()
    }
    assert {part.task for parts in shards.values() for part in parts} == {"regression"}
    found = tx.Stability.from_shards(shards, n_boot=20)
    fixed = {
        name: [
            Stats("classification").update(x[rows], labels[rows])
            for rows in np.array_split(order, 4)
        ]
        for name, x in models.items()
    }
    wanted = tx.Stability.from_shards(fixed, n_boot=20)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-10)
    np.testing.assert_allclose(found.standard_errors, wanted.standard_errors, rtol=1e-8)
