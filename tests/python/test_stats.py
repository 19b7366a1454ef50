"""However rows reach a ``Stats``, it holds and says the same; whatever fails leaves no trace.

Two ways to sum the same numbers differ by some ulp of the largest eigenvalue, and alpha/beta of
the data here is above 1e-4 of that: 1e-16/1e-4 = 1e-12, of which `close` allows a hundredfold.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError, DtypeError, Stats

# Few rows, and rows taken twice, are part of the tests.
pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

N_CLASSES = 4
SHAPES = [(90, 7), (20, 40), (30, 30), (31, 30)]
TASKS = ["classification", "strings", "regression", "multilabel"]


def sample(shape: tuple[int, int], kind: str, offset: float = 0.0, seed: int = 0) -> Any:
    """Features and labels of one kind."""
    rng = np.random.default_rng(seed)
    n, d = shape
    labels = rng.permutation(np.arange(n) % N_CLASSES)
    features = rng.normal(size=shape) + rng.normal(size=(N_CLASSES, d))[labels] / 2 + offset
    noise = rng.normal(size=(n, 3))
    return features, {
        "classification": labels * 3 - 2,
        "strings": np.array(["eel", "ant", "dog", "cat"])[labels],
        "regression": noise[:, :2] + labels[:, None] / 4 + 5.25,
        "multilabel": (noise + labels[:, None] / 4 > 0).astype(int),
    }[kind]


def numbers(score: tx.Score) -> dict[str, Any]:
    """The numbers of a score; variances instead of precisions, which may be infinite."""
    variances = {"prior": 1 / score.alpha, "noise": 1 / score.beta}
    return {"per_target": score.per_target, **variances, "coef": score.coef, "offset": score.offset}


def bits(stats: Stats) -> tuple[Any, ...]:
    """Everything that a user can see of a state, bit by bit."""
    found = numbers(stats.score(keep_coef=True))
    facts = stats.task, stats.n_samples, stats.n_features, stats.classes, stats.nbytes
    return *facts, *(array.tobytes() for array in found.values())


def close(actual: tx.Score, expected: tx.Score) -> None:
    assert (actual.n_samples, actual.task) == (expected.n_samples, expected.task)
    assert actual.targets == expected.targets
    assert actual.class_counts == expected.class_counts
    found, wanted = numbers(actual), numbers(expected)
    np.testing.assert_allclose(found["per_target"], wanted["per_target"], rtol=0, atol=1e-10)
    # The root of what the evidence is known to.
    for name in ("prior", "noise", "coef", "offset"):
        atol = 1e-5 * np.abs(wanted[name]).max()
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=atol, err_msg=name)


def whole(features: Any, labels: Any, task: str = "auto") -> tx.Score:
    return Stats(task).update(features, labels).score(keep_coef=True)


def blocks(features: Any, labels: Any, edges: Iterable[int]) -> list[Stats]:
    return [Stats().update(features[i:j], labels[i:j]) for i, j in pairwise(edges)]


def task_of(kind: str) -> str:
    return "classification" if kind == "strings" else kind


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_row_by_row(shape: tuple[int, int], kind: str, offset: float) -> None:
    features, labels = sample(shape, kind, offset)
    task = task_of(kind)
    stats = Stats(task)
    for i in range(len(features)):
        stats.update(features[i : i + 1], labels[i : i + 1])
    close(stats.score(keep_coef=True), whole(features, labels, task))


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from(SHAPES),
    kind=st.sampled_from(TASKS),
    offset=st.sampled_from([0.0, -1e6]),
    cuts=st.sets(st.integers(1, 89), max_size=8),
    choice=st.randoms(use_true_random=False),
)
def test_any_tree_of_merges(
    shape: tuple[int, int], kind: str, offset: float, cuts: set[int], choice: Any
) -> None:
    features, labels = sample(shape, kind, offset)
    n, task = len(features), task_of(kind)
    edges = [0, *sorted(cut for cut in cuts if cut < n), n]
    parts = [Stats(task).update(features[i:j], labels[i:j]) for i, j in pairwise(edges)]
    while len(parts) > 1:
        choice.shuffle(parts)
        parts.append(parts.pop().merge(parts.pop()))
    close(parts[0].score(keep_coef=True), whole(features, labels, task))


def test_sum_of_a_list() -> None:
    features, labels = sample((90, 7), "classification")
    parts = blocks(features, labels, [0, 30, 60, 90])
    close(sum(parts).score(keep_coef=True), whole(features, labels))
    with pytest.raises(TypeError, match="unsupported operand"):
        sum(parts, 1)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_an_offset_of_a_million_standard_deviations_costs_nothing(kind: str) -> None:
    features, labels = sample((90, 7), kind)
    features = np.round(features, 4) * 2**14 // 1 / 2**14  # so that adding 1e6 is exact
    near, far = (
        tx.logme(features + offset, labels, intercept=True, method="tridiagonal")
        for offset in (0.0, 1e6)
    )
    np.testing.assert_allclose(far.per_target, near.per_target, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("shape", SHAPES)
def test_states_about_different_shifts(shape: tuple[int, int], kind: str) -> None:
    features, labels = sample(shape, kind)
    half = len(features) // 2
    features[half:] += 100.0  # each state is about the mean of its own rows
    if kind == "regression":
        labels[half:] += 100.0
    one, two = blocks(features, labels, [0, half, len(features)])
    expected = whole(features, labels)
    # The shift makes the largest eigenvalue 1e4 times what it was, and its rounding with it.
    for merged in (one + two, two + one):
        found = merged.score(keep_coef=True)
        np.testing.assert_allclose(found.per_target, expected.per_target, rtol=0, atol=1e-9)


def test_classes_may_come_late_and_in_any_order() -> None:
    features, labels = sample((90, 7), "strings")
    order = np.argsort(labels)[::-1]  # each block has one class or two
    stats = Stats()
    for rows in np.array_split(order, 6):
        stats.update(features[rows], labels[rows])
    assert stats.classes == ("ant", "cat", "dog", "eel")
    close(stats.score(keep_coef=True), whole(features, labels))
    with pytest.raises(DataError, match="integers and strings"):
        stats.update(features, np.arange(90) % 4)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize(
    ("shape", "heaviest"), [((30, 8), 3), ((20, 60), 2), ((20, 30), 9), ((15, 40), 1)]
)
def test_weights_are_repeated_rows(kind: str, shape: tuple[int, int], heaviest: int) -> None:
    # (20, 30) has more rows than columns only if they are repeated.
    features, labels = sample(shape, kind)
    features[:4] = features[4:8]  # and have other labels: no exact fit
    weights = np.random.default_rng(1).integers(0, heaviest + 1, shape[0])
    task = task_of(kind)
    repeated = whole(np.repeat(features, weights, axis=0), np.repeat(labels, weights, axis=0), task)
    stats = Stats(task).update(features[:9], labels[:9], weights[:9])
    stats.update(features[9:], labels[9:], weights[9:].astype(np.uint8))
    stats.update(features, labels, np.zeros(shape[0], int))  # nothing at all
    close(stats.score(keep_coef=True), repeated)
    unweighted = Stats(task).update(features, labels, np.ones(shape[0], int))
    assert bits(unweighted) == bits(Stats(task).update(features, labels))


def with_nan(features: Any, labels: Any) -> tuple[Any, Any]:
    features = features.copy()
    features[-1, -1] = np.nan
    return features, labels


FAILURES: dict[str, tuple[Callable[..., tuple[Any, ...]], Any, str]] = {
    "nan": (with_nan, DataError, "is NaN"),
    "columns": (lambda x, y: (x[:, 1:], y), DataError, "columns"),
    "rows": (lambda x, y: (x[1:], y), DataError, "rows"),
    "dtype": (lambda x, y: (x.astype(complex), y), DtypeError, "complex"),
    "labels": (
        lambda x, y: (x, np.full(len(x), "z")),
        (DataError, DtypeError),
        "labels .* strings",
    ),
    "weights": (lambda x, y: (x, y, np.arange(len(x)) - 1), DataError, r"\[0\] is -1"),
}


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("shape", [(600, 20), (20, 60)])
def test_a_failed_update_changes_nothing(shape: Any, failure: str, kind: str) -> None:
    features, labels = sample(shape, kind)
    spoil, error, message = FAILURES[failure]
    half = shape[0] // 2
    first, second = (features[:half], labels[:half]), (features[half:], labels[half:])
    stats = Stats().update(*first)
    before = bits(stats)
    with pytest.raises(error, match=message):
        stats.update(*spoil(*second))
    assert bits(stats) == before
    assert bits(stats.update(*second)) == bits(Stats().update(*first).update(*second))


def test_a_failed_first_update_decides_nothing() -> None:
    features, labels = sample((90, 7), "classification")
    stats = Stats()
    with pytest.raises(DataError, match="NaN"):
        stats.update(*with_nan(features, labels))
    assert (stats.task, stats.n_samples, stats.n_features, stats.classes) == ("auto", 0, 0, None)
    close(
        stats.update(*sample((90, 7), "regression")).score(keep_coef=True),
        whole(*sample((90, 7), "regression")),
    )


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("shape", [(2000, 50), (50, 51), (51, 50), (30, 400), (400, 1)])
def test_a_state_takes_no_more_than_its_smaller_side(shape: tuple[int, int], kind: str) -> None:
    features, labels = sample(shape, kind)
    n, d = shape
    task = task_of(kind)
    for stats in (
        Stats(task).update(features, labels),
        sum(Stats(task).update(features[i::3], labels[i::3]) for i in range(3)),
    ):
        # Beside it: some vectors, class sums, and labels of the rows that are held.
        assert stats.nbytes <= 8 * (min(n, d) * d + (N_CLASSES + 4) * (d + min(n, d) + 2))


@pytest.mark.parametrize("dtype", ["f2", "f4", "i1", "u1", "i8", "?"])
def test_narrow_blocks_are_their_values_in_float64(dtype: str) -> None:
    features, labels = sample((90, 7), "classification")
    narrow = np.abs(features * 20).astype(dtype)
    mixed = Stats().update(narrow[:40], labels[:40]).update(narrow[40:].astype(float), labels[40:])
    wide = narrow.astype(np.float64)
    assert bits(mixed) == bits(
        Stats().update(wide[:40], labels[:40]).update(wide[40:], labels[40:])
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_inputs_are_read_only(shape: tuple[int, int]) -> None:
    inputs = (*sample(shape, "regression"), np.arange(shape[0]) % 3)
    before = [array.tobytes() for array in inputs]
    stats = Stats().update(*inputs)
    (stats + stats).score(keep_coef=True)
    tx.logme(*inputs[:2], method="svd")
    assert [array.tobytes() for array in inputs] == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("shape", [(60_000, 384), (1500, 1500), (500, 6000)])
def test_peak_memory_beyond_the_features(shape: tuple[int, int]) -> None:
    code = f"""
import numpy as np
import transferability as tx

def memory(what):  # ru_maxrss would count what the parent had
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status[what].split()[0]) * 1024

n, d = {shape}
features = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
labels = np.arange(n) % 10
tx.logme(features[:40, :20], labels[:40], n_threads=2)  # everything is loaded
before = memory("VmRSS")
tx.logme(features, labels, n_threads=2)
print(memory("VmHWM") - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    # What the package promises; a float64 copy of the tall features alone would be 184 MB.
    assert int(done.stdout) <= 4 * 8 * min(shape) * shape[1] + 32e6


def test_classes_are_those_of_the_scores() -> None:
    x = np.random.default_rng(0).normal(size=(12, 2))
    labels: dict[str, Any] = {
        "(False, True)": np.arange(12) % 2 == 0,
        "(0, 1)": np.arange(12) % 2,
        "(0, 1, 2)": np.arange(12, dtype=np.uint8) % 3,
        "('a', 'bcd')": np.array(["a", "bcd"] * 6),
    }
    for classes, y in labels.items():
        for stats in (Stats().update(x, y), Stats().update(x[:5], y[:5]).update(x[5:], y[5:])):
            assert repr(stats.classes) == classes
            assert repr(stats.score("h_score").classes) == classes
            assert repr(stats.moments()["classes"]) == classes
    assert Stats().classes is None
    assert Stats().update(x, x[:, 0]).classes is None


def test_metrics_are_methods(features: Any, labels: Any) -> None:
    stats = tx.Stats(class_scatters=True).update(features, labels)
    assert stats.logme(keep_coef=True) == stats.score("logme")
    assert stats.transrate(eps=0.1) == stats.score("transrate", eps=0.1)
    assert {"logme", "h_score", "gbc"} <= set(dir(stats))
    assert "knn" not in dir(stats)
    with pytest.raises(tx.DataError, match="knn needs the samples themselves"):
        stats.knn()
    with pytest.raises(AttributeError, match="no_such_metric"):
        _ = stats.no_such_metric
    assert not hasattr(stats, "__array__")


def test_arguments_of_other_rows_are_named(features: Any) -> None:
    with pytest.raises(tx.DataError, match=r"features.*label_embeddings"):
        tx.emms(features, np.ones((3, 2, 1)))
