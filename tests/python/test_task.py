"""The task is decided by the distinct labels and their counts; measures are not taken for classes.

Random specimens are drawn with 20 seeds each. The rule errs in less than one draw of 1,000 of the
kinds below, so a fixed set of seeds that passes is no luck.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import transferability as tx
from transferability import DataError
from transferability._data.data import Data
from transferability._data.item_labels import read_item_labels
from transferability._data.read import read_data
from transferability._inputs.target import read_target
from transferability._inputs.task import count_values, decide_task
from transferability.cli import main

SEEDS = range(20)
SIZES = (300, 1000, 3000, 10_000)
Draw = Callable[[np.random.Generator, int], Any]


def rounded(rng: np.random.Generator, share: float, values: Any) -> Any:
    """Values of which a share was rounded to 5, as people do who are asked for their age."""
    return np.where(rng.random(len(values)) < share, 5 * np.round(values / 5), values)


#: Measures with more than 20 distinct values, of n rows.
MEASURES: dict[str, Draw] = {
    "ages, uniform": lambda rng, n: rng.integers(18, 91, n),
    "ages, normal": lambda rng, n: np.clip(rng.normal(45, 15, n), 18, 90),
    "years": lambda rng, n: rng.integers(1990, 2026, n),
    "Poisson counts": lambda rng, n: rng.poisson(20, n),
    "larger Poisson counts": lambda rng, n: rng.poisson(80, n),
    "negative binomial, mean 18": lambda rng, n: rng.negative_binomial(2, 0.1, n),
    "negative binomial, mean 20": lambda rng, n: rng.negative_binomial(5, 0.2, n),
    "negative binomial, mean 27": lambda rng, n: rng.negative_binomial(3, 0.1, n),
    "waiting times": lambda rng, n: rng.exponential(60, n),
    "views": lambda rng, n: rng.lognormal(3, 1.5, n),
    "prices in steps of 10": lambda rng, n: 10 * rng.integers(1, 80, n),
    "prices, most of them round": lambda rng, n: (
        50 * np.round(rng.lognormal(4, 0.5, n) / np.where(rng.random(n) < 0.5, 2, 1))
    ),
    "percentages": lambda rng, n: rng.integers(5, 100, n),
    "exam results": lambda rng, n: np.clip(rng.normal(65, 12, n), 0, 100),
    "temperatures": lambda rng, n: rng.normal(12, 9, n),
    "changes": lambda rng, n: rng.integers(-40, 41, n),
    "ages of children too": lambda rng, n: rng.triangular(0, 30, 95, n),
    "ages, half of them rounded": lambda rng, n: rounded(rng, 0.5, rng.triangular(0, 30, 95, n)),
    "ages, most of them rounded": lambda rng, n: rounded(rng, 0.7, rng.triangular(0, 30, 95, n)),
    "percentages, half of them rounded": lambda rng, n: rounded(rng, 0.5, rng.integers(0, 101, n)),
    "shares, half of them rounded": lambda rng, n: rounded(rng, 0.5, 100 * rng.beta(2, 1.5, n)),
    "results with many zeros": lambda rng, n: np.where(
        rng.random(n) < 0.3, 0, np.clip(rng.normal(60, 15, n), 0, 100)
    ),
    "a mixture of two groups": lambda rng, n: np.clip(
        np.where(rng.random(n) < 0.5, rng.normal(20, 6, n), rng.normal(60, 8, n)), 1, None
    ),
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("measure", MEASURES)
def test_measures_ask_for_the_task(measure: str, n: int) -> None:
    for seed in SEEDS:
        labels = MEASURES[measure](np.random.default_rng(seed), n).astype(int)
        distinct = np.unique(labels)
        with pytest.raises(DataError, match="classes or counts") as caught:
            read_target(labels)
        # The numbers and the remedy.
        for part in (
            f"{len(distinct)} distinct integers in {n} rows, from {distinct[0]} to {distinct[-1]}",
            "task='classification' or task='regression'",
        ):
            assert part in str(caught.value)
        assert read_target(labels, "regression").task == "regression"
        assert read_target(labels, "classification").task == "classification"


def test_the_diabetes_data_asks_for_the_task() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    features, targets = datasets.load_diabetes(return_X_y=True)
    with pytest.raises(DataError, match=r"214 distinct integers in 442 rows, from 25 to 346.*look"):
        tx.logme(features, targets.astype(int))
    assert tx.logme(features, targets).task == "regression"


def long_tail(rng: np.random.Generator) -> Any:
    shares = 1 / np.arange(1, 8001) ** 0.9
    return np.repeat(np.arange(8000), np.maximum(1, (24_000 * shares / shares.sum()).astype(int)))


def unequal(rng: np.random.Generator, ids: Any, least: int, most: int) -> Any:
    return np.repeat(ids, rng.integers(least, most, len(ids)))


#: Class labels with more than 20 classes, or of an odd kind.
CLASSES: dict[str, Callable[[np.random.Generator], Any]] = {
    "two ids": lambda rng: rng.choice([3, 5], 40),
    "signs": lambda rng: rng.choice([-1, 1], 40),
    "ratings": lambda rng: rng.integers(1, 6, 40),
    "20 distinct values, whatever they are": lambda rng: rng.permutation(
        np.r_[np.arange(1950, 1970), rng.integers(1950, 1970, 80)]
    ),
    "CIFAR-100, 5 shots": lambda rng: np.repeat(np.arange(100), 5),
    "CIFAR-100, 2 shots": lambda rng: np.repeat(np.arange(100), 2),
    "300 random rows of 100 classes": lambda rng: rng.integers(0, 100, 300),
    "500 random rows of 200 classes": lambda rng: rng.integers(0, 200, 500),
    "100 classes of any size": lambda rng: rng.choice(100, 5000, p=rng.dirichlet(np.ones(100))),
    "40 classes of any size": lambda rng: rng.choice(40, 800, p=rng.dirichlet(np.ones(40) * 2)),
    "101 classes and -1 for none": lambda rng: rng.integers(-1, 101, 3000),
    "8,000 classes, sorted by size": long_tail,
    "8,000 classes, a few rows each": lambda rng: np.repeat(
        np.arange(8000), 1 + rng.poisson(1.2, 8000)
    ),
    "8,000 unequal classes, drawn": lambda rng: rng.choice(
        8000, 30_000, p=(share := rng.permutation(1 / np.arange(1, 8001) ** 0.5)) / share.sum()
    ),
    "classes 1 to 1000": lambda rng: np.repeat(np.arange(1, 1001), 2),
    "classes 1 to 1000, drawn": lambda rng: rng.integers(1, 1001, 3000),
    "100 of 1000 ids, 5 rows each": lambda rng: np.repeat(rng.choice(1000, 100, False), 5),
    "100 of 1000 ids, unequal": lambda rng: unequal(rng, rng.choice(1000, 100, False), 4, 12),
    "300 of 1000 ids, unequal": lambda rng: unequal(rng, rng.choice(1000, 300, False), 4, 60),
    "500 of 1000 ids, unequal": lambda rng: unequal(rng, rng.choice(1000, 500, False), 4, 60),
    "codes of 6 digits": lambda rng: unequal(rng, rng.choice(900_000, 60, False) + 10**5, 5, 30),
    "80 of the 90 ids of COCO": lambda rng: rng.choice(
        np.sort(np.random.default_rng(0).choice(90, 80, False)) + 1, 4000
    ),
    "classes 50 to 99, 10 rows each": lambda rng: np.repeat(np.arange(50, 100), 10),
    "classes 50 to 99, four fifths of 100": lambda rng: rng.choice(
        np.repeat(np.arange(50, 100), 100), 4000, False
    ),
    "ids at the ends of 64 bits": lambda rng: rng.choice([-(2**63), 0, 2**63 - 1], 90),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_are_classes(kind: str) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        labels = rng.permutation(CLASSES[kind](rng))
        found = read_target(labels)
        assert found.task == "classification", seed
        assert "because the labels are integers" in found.note


#: Rows of each class of data sets with unequal classes.
# fmt: off
REAL = {
    "Caltech-101": [
        435, 435, 200, 798, 55, 800, 42, 42, 47, 54, 46, 33, 128, 98, 43, 85, 91, 50, 43, 123, 47,
        59, 62, 107, 47, 69, 73, 70, 50, 51, 57, 67, 52, 65, 68, 75, 64, 53, 64, 85, 67, 67, 45, 34,
        34, 51, 99, 100, 42, 54, 88, 80, 31, 64, 86, 114, 61, 81, 78, 41, 66, 43, 40, 87, 32, 76,
        55, 35, 39, 47, 38, 45, 53, 34, 57, 82, 59, 49, 40, 63, 39, 84, 57, 35, 64, 45, 86, 59, 64,
        35, 85, 49, 86, 75, 239, 37, 59, 34, 56, 39, 60,
    ],
    "GTSRB": [
        210, 2220, 2250, 1410, 1980, 1860, 420, 1440, 1410, 1470, 2010, 1320, 2100, 2160, 780, 630,
        420, 1110, 1200, 210, 360, 330, 390, 510, 270, 1500, 600, 240, 540, 270, 450, 780, 240, 689,
        420, 1200, 390, 210, 2070, 300, 360, 240, 240,
    ],
}
# fmt: on


@pytest.mark.parametrize("name", REAL)
def test_unequal_classes_of_real_data_are_classes(name: str) -> None:
    """They are in the order of their names, or of a list of road signs."""
    counts = REAL[name]
    for first in (0, 1):
        task, note = decide_task("i", np.arange(first, first + len(counts)), counts)
        assert (task, note.rpartition(", ")[2]) == ("classification", "numbered throughout")


def test_ids_in_the_order_of_their_first_row_are_classes() -> None:
    """Frequent classes come first, so near ids are alike."""
    counts = [500, 410, 480, 300, 330, 210, 250, 180, 120, 160, *range(110, 10, -4)]
    task, note = decide_task("i", np.arange(len(counts)), counts)
    assert (task, note.rpartition(", ")[2]) == ("classification", "sorted by frequency")
    with pytest.raises(DataError, match="they look like counts"):
        decide_task("i", np.r_[:15, 16 : len(counts) + 1], counts)  # as counts: none of 15


def test_ids_of_which_only_round_ones_differ_are_classes() -> None:
    counts = np.where(np.arange(40) % 5 == 0, 1 + np.arange(40) % 7, 100)
    assert decide_task("i", np.arange(40), counts)[0] == "classification"
    with pytest.raises(DataError, match="they look like counts"):
        decide_task("i", np.arange(40), 101 - counts)  # round ones are the frequent ones


@pytest.mark.parametrize("n", [100, 102])
def test_more_distinct_values_than_half_the_rows_may_be_anything(n: int) -> None:
    labels = np.r_[np.arange(51), np.arange(n - 51)]
    if n == 102:
        assert read_target(labels).task == "classification"
    else:
        with pytest.raises(DataError, match="51 distinct integers in 100 rows, from 0 to 50"):
            read_target(labels)
        with pytest.raises(DataError, match="51 distinct strings in 100 rows"):
            read_target(labels.astype(str))


@pytest.mark.parametrize("kind", ["ages, normal", "negative binomial, mean 20"])
@pytest.mark.parametrize("dtype", ["i2", "u1", "i8", "u8"])
def test_order_dtype_and_container_do_not_matter(kind: str, dtype: str) -> None:
    pandas = pytest.importorskip("pandas")
    labels = MEASURES[kind](np.random.default_rng(0), 2000).astype(dtype)
    given = [labels, np.sort(labels), labels[:, None], labels.tolist(), pandas.Series(labels)]
    for column in (*given, pandas.Series(labels).astype("Int64"), pandas.DataFrame({"y": labels})):
        with pytest.raises(DataError, match="classes or counts"):
            read_target(column)


def test_a_column_is_one_label_a_row() -> None:
    labels = np.arange(40) % 2
    for column in (labels[:, None], labels.astype(float)[:, None], (labels == 1)[:, None]):
        assert read_target(column).task == "classification"
    assert read_target(np.c_[labels, labels]).task == "multilabel"
    frame = pytest.importorskip("pandas").DataFrame({"price": labels + 0.5})
    assert read_target(frame).columns == ("price",)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_ages_with_a_point_are_ages(dtype: str) -> None:
    """As a column of pandas from which missing values were dropped."""
    rng = np.random.default_rng(0)
    ages = np.clip(rng.normal(35, 8, 2000), 18, 60).astype(int)
    for labels in (ages, ages.astype(dtype)):
        with pytest.raises(DataError, match=r"distinct .* in 2000 rows, from 18 to 59.*look like"):
            read_target(labels)
    assert read_target(ages[:100].astype(dtype)).task == "regression"  # less than 5 rows for each
    ids = rng.choice(50, 2000, p=rng.dirichlet(np.ones(50))).astype(dtype)
    assert "whole numbers, numbered throughout; pass task='regr" in read_target(ids).note


def test_whole_numbers_beyond_class_ids_are_targets() -> None:
    found = read_target(np.array([1e300, 2e300] * 10))
    assert (found.task, found.values.shape) == ("regression", (20, 1))


def test_counting_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for array in (
        rng.integers(-5, 9, 50),
        rng.integers(-(2**62), 2**62, 50),
        np.array([-(2**63), 2**63 - 1, 0]),
        np.array([7]),
    ):
        for found, wanted in zip(
            count_values(array), np.unique(array, return_counts=True), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


def test_distances_of_integers_do_not_overflow() -> None:
    values = np.sort(np.r_[-(2**63), 2**63 - 1, np.arange(40) * 2**55 - 2**61])
    with pytest.raises(DataError, match="from -9223372036854775808 to 9223372036854775807"):
        decide_task("i", values, 2 + np.arange(len(values)) % 2 * 2)
    assert decide_task("i", values, 5 + np.arange(len(values)) * 3)[0] == "classification"


@pytest.mark.parametrize("entry", ["rank", "stats", "curve", "features of files"])
def test_every_entry_point_has_the_same_rule(entry: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    features, ages = rng.normal(size=(400, 3)), rng.integers(18, 91, 400)
    np.save(tmp_path / "x.npy", features)
    acts: dict[str, Callable[[str], Any]] = {
        "rank": lambda task: tx.rank({"a": features}, ages, task=task),
        "stats": lambda task: tx.Stats(task).update(features, ages).logme(),
        "curve": lambda task: tx.forecast.curve(features, ages, "logme", [100, 400], task=task),
        "features of files": lambda task: tx.io.stats_of(
            tmp_path / "x.npy", ages, task=task, progress=False
        ).logme(),
    }
    with pytest.raises(DataError, match="classes or counts; they look like"):
        acts[entry]("auto")
    acts[entry]("regression")


def test_a_drawn_sample_has_the_task_of_all_rows() -> None:
    labels = np.repeat(np.arange(20.0), 30)  # of a tenth of the rows, less than 5 for each
    whole = Data("array", list(np.zeros((600, 2))), labels)
    drawn = whole.sample(60, seed=0)
    assert read_target(drawn.labels).task == "regression"
    target = read_item_labels(drawn, "auto", "keep", (), whole).target
    assert (target.task, target.n_samples) == ("classification", 60)
    assert "20 distinct whole numbers" in target.note


def test_labels_of_words_do_not_depend_on_their_order() -> None:
    for tags in ([[1, 2.5], [3]], [[2.5, 1], [3]], [[3], [1, 2.5]]):
        words = [["a", "b"][: len(of_text)] for of_text in tags]
        target = read_item_labels(Data("text", words, tags), "token", "keep", ()).target
        assert target.task == "regression"


#: Measures whose numbers lie far apart: as text they may be codes, and a note speaks of targets.
SPARSE = ("waiting times", "views", "prices, most of them round", "prices in steps of 10")


@pytest.mark.parametrize("n", [300, 3000])
@pytest.mark.parametrize("measure", [name for name in MEASURES if name not in SPARSE])
def test_measures_that_were_read_as_text_ask_for_the_task(measure: str, n: int) -> None:
    for seed in range(5):
        numbers = MEASURES[measure](np.random.default_rng(seed), n).astype(int)
        labels = numbers.astype(str)
        distinct = np.unique(numbers)
        if len(distinct) > n / 2:
            continue  # asked before, as more distinct than half the rows
        with pytest.raises(DataError, match="classes or counts") as caught:
            read_target(labels)
        for part in (
            f"{len(distinct)} distinct strings in {n} rows",
            f"from {distinct[0]} to {distinct[-1]}",
            "read as text; choose task='classification' or task='regression'",
        ):
            assert part in str(caught.value)
        assert read_target(labels, "classification").task == "classification"
        np.testing.assert_array_equal(read_target(labels, "regression").values[:, 0], numbers)


@pytest.mark.parametrize("kind", CLASSES)
def test_ids_as_text_are_classes(kind: str) -> None:
    for seed in range(5):
        labels = CLASSES[kind](np.random.default_rng(seed)).astype(str)
        found = read_target(labels)
        assert (found.task, found.note.partition(";")[0]) == (
            "classification",
            "classification, because the labels are strings",
        )


@pytest.mark.parametrize(
    ("labels", "is_measure"),
    [
        ([f"{v / 4:.2f}" for v in range(40)] * 5, True),  # prices
        ([f"{v}.0" for v in range(18, 60)] * 5, False),  # equally frequent
        ([f"{v}.0" for v in range(18, 91) for _ in range(1 + min(v, 91 - v) // 2)], True),
        ([f"{v}e200" for v in range(1, 40)] * 5, True),  # no class ids
        ([f"{v:03}" for v in range(18, 91) for _ in range(1 + v % 7)], False),  # codes
        ([f"v{v}" for v in range(18, 91)] * 5, False),
        ([f"{v / 4:.2f}" for v in range(20)] * 5, False),  # few
        (["nan", *map(str, range(18, 91))] * 5, False),  # words beside numbers
    ],
)
def test_numbers_as_text(labels: list[str], is_measure: bool) -> None:
    if not is_measure:
        assert read_target(labels).task == "classification"
        return
    with pytest.raises(DataError, match=r"distinct strings .* measure that was read as text"):
        read_target(labels)


@pytest.mark.parametrize(
    "entry",
    ["metric", "score", "rank", "race", "engine", "stats", "merged", "csv", "compare", "command"],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_ages_ask_in_every_entry_point(entry: str, as_text: bool, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    x, ages = rng.normal(size=(400, 3)), rng.integers(18, 91, 400)
    labels: Any = ages.astype(str) if as_text else ages
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    (tmp_path / "y.csv").write_text("\n".join(map(str, ages)))

    def merged(task: str) -> Any:
        first, second = (tx.Stats(task).update(x[part], labels[part]) for part in HALVES)
        return (first + second).logme()

    def command(task: str) -> Any:
        names = [str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "--task", task]
        done = CliRunner().invoke(main, ["score", *names])
        if done.exit_code:
            raise DataError(done.stderr)

    def compare(task: str) -> Any:
        (row,) = tx.compare_tasks({"t": (x, labels)}, "logme", task=task)
        if row.error:
            raise DataError(row.error)

    acts: dict[str, Callable[[str], Any]] = {
        "metric": lambda task: tx.knn(x, labels, task=task),
        "score": lambda task: tx.score(x, labels, "all", task=task),
        "rank": lambda task: tx.rank({"a": x}, labels, task=task),
        "race": lambda task: tx.rank({"a": x, "b": x}, labels, task=task, race=True),
        "engine": lambda task: tx.Engine("logme", task=task).score(x, labels),
        "stats": lambda task: tx.Stats(task).update(x, labels).logme(),
        "merged": merged,
        "csv": lambda task: tx.rank({"a": x}, tmp_path / "y.csv", task=task),
        "compare": compare,
        "command": command,
    }
    with pytest.raises(DataError, match="classes or counts; they look like"):
        acts[entry]("auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        acts[entry]("regression")


HALVES = (slice(0, 200), slice(200, 400))


def test_columns_of_tables_and_folders_have_the_same_rule(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    ages = np.clip(rng.normal(45, 15, 600), 18, 90).astype(int)
    lines = ["text,label", *(f"a text,{age}" for age in ages)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    for data in (
        read_data(tmp_path / "table.csv"),
        read_data((["a text"] * 600, ages)),
        read_data((["a text"] * 600, [*map(str, ages)])),
    ):
        with pytest.raises(DataError, match="classes or counts; they look like"):
            read_item_labels(data, "auto", "keep", ())
        for task in ("classification", "regression"):
            assert read_item_labels(data, task, "keep", ()).target.task == task


def test_integers_of_words_have_the_same_rule() -> None:
    rng = np.random.default_rng(0)
    words = [["a"] * 20 for _ in range(50)]
    times = np.round(rng.lognormal(4, 0.3, (50, 20))).astype(int).tolist()
    with pytest.raises(
        DataError, match=r"look like counts.*task='token' for classes, or give real"
    ):
        read_item_labels(Data("text", words, times), "auto", "keep", ())
    assert read_item_labels(Data("text", words, times), "token", "keep", ()).target.task == (
        "classification"
    )
    real = [[float(time) for time in of_text] for of_text in times]
    assert read_item_labels(Data("text", words, real), "auto", "keep", ()).target.task == (
        "regression"
    )
    for tags in (rng.integers(0, 17, (50, 20)), rng.integers(0, 300, (50, 20)) % 297):
        labels = tags.tolist()
        target = read_item_labels(Data("text", words, labels), "auto", "keep", ()).target
        assert target.task == "classification"
    few = [["a", "b"], ["c"]]
    assert read_item_labels(Data("text", few, [[5, 7], [9]]), "auto", "keep", ()).target.task == (
        "classification"
    )


@pytest.mark.parametrize("kind", ["drawn", "unequal", "folders", "wordnet"])
def test_data_of_a_thousand_classes_is_neither_refused_nor_warned_of(kind: str) -> None:
    rng = np.random.default_rng(0)
    classes: Any = rng.integers(0, 1000, 10_000)
    if kind == "unequal":
        classes = rng.choice(1000, 10_000, p=rng.dirichlet(np.ones(1000)))
    elif kind == "folders":  # ImageNet's training set: most classes have 1,300 rows, some fewer
        counts = np.where(rng.random(1000) < 0.9, 1300, rng.integers(732, 1300, 1000)) // 40
        classes = np.repeat([str(i) for i in range(1000)], counts)
    elif kind == "wordnet":
        classes = [f"n{i:08}" for i in rng.integers(0, 1000, 10_000)]
    found = read_target(classes)
    assert (found.task, found.warnings) == ("classification", ())
