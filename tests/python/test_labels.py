"""Labels mean what people mean, in every container: subclasses of str, one column, long text."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from enum import Enum, Flag, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError
from transferability._inputs.labels import encode_labels, read_labels

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

Y = np.repeat([0, 1, 2], 20)
X = np.random.default_rng(0).normal(size=(60, 5))
X[:, 0] += Y
B = (np.random.default_rng(3).random(60) < 0.5).astype(int)
EXPECTED = tx.logme(X, Y)


class Animal(str, Enum):
    CAT = "cat"
    DOG = "a dog"
    HORSE = "caterpillar"


class Named(str, Enum):
    """As StrEnum: str() is the value."""

    CAT = "cat"
    DOG = "a dog"
    HORSE = "caterpillar"

    def __str__(self) -> str:
        return str.__str__(self)


class Same(str):
    """A text whose str() and repr() say nothing."""

    __slots__ = ()

    def __str__(self) -> str:
        return "same"

    __repr__ = __str__


class Odd(str):
    """A text that equals every other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class Number(IntEnum):
    CAT = 7
    DOG = 3
    HORSE = 5


class Plain(Enum):
    """Members without a text or number of their own."""

    CAT = "zebra"
    DOG = 2
    HORSE = (1, 2)


class Real(float, Enum):
    CAT = 1.0
    DOG = 2.0
    HORSE = 3.0


class Raw(bytes, Enum):
    CAT = b"cat"
    DOG = b"a dog"
    HORSE = b"caterpillar"


TEXTS = ("a dog", "cat", "caterpillar")
MEMBERS: dict[str, tuple[list[Any], tuple[Any, ...]]] = {
    "str Enum": ([*Animal], TEXTS),
    "StrEnum": ([*Named], TEXTS),
    "own __str__": ([Same("cat"), Same("a dog"), Same("caterpillar")], TEXTS),
    "own __eq__": ([Odd("cat"), Odd("a dog"), Odd("caterpillar")], TEXTS),
    "numpy.str_": ([np.str_("cat"), np.str_("a dog"), np.str_("caterpillar")], TEXTS),
    "mixed": ([Animal.CAT, "a dog", np.str_("caterpillar")], TEXTS),
    "IntEnum": ([*Number], (3, 5, 7)),
    "float Enum": ([*Real], (1, 2, 3)),
    "bytes Enum": ([*Raw], TEXTS),
    "Enum": ([*Plain], ("CAT", "DOG", "HORSE")),
    "trailing NUL": (["cat", "cat\0", "cat\0\0"], ("cat", "cat\0", "cat\0\0")),
}


def as_objects(values: list[Any]) -> Any:
    return np.fromiter(values, dtype=object, count=len(values))


CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda v: v,
    "tuple": tuple,
    "object array": as_objects,
    "object column": lambda v: as_objects(v)[:, None],
    "list of lists": lambda v: [[one] for one in v],
    "Series": lambda v: pd.Series(as_objects(v), dtype=object),
    "DataFrame": lambda v: pd.DataFrame({"y": pd.Series(as_objects(v), dtype=object)}),
    "Series of lists": lambda v: pd.Series([[one] for one in v]),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", MEMBERS)
def test_members_are_the_text_or_number_that_they_hold(kind: str, container: str) -> None:
    members, classes = MEMBERS[kind]
    labels = CONTAINERS[container]([members[i] for i in Y])
    score = tx.logme(X, labels)
    assert score == pytest.approx(EXPECTED, rel=1e-12)
    assert score.classes == classes
    assert {type(name) for name in score.classes} <= {str, int}


@pytest.mark.parametrize(
    "make",
    [
        lambda v: pd.Series(v).astype("category"),
        lambda v: pd.Categorical(v),
        lambda v: pd.Index(v),
        lambda v: pl.Series(v),
        lambda v: pl.Series(v, dtype=pl.Enum(Animal)),
        lambda v: pl.Series(v).cast(pl.Categorical),
        lambda v: pl.DataFrame({"y": pl.Series(v)}),
    ],
)
def test_frames_of_members(make: Any) -> None:
    score = tx.logme(X, make([[*Animal][i] for i in Y]))
    assert score == pytest.approx(EXPECTED, rel=1e-12)
    assert score.classes == TEXTS


def test_arrow_labels() -> None:
    pa = pytest.importorskip("pyarrow")
    texts = pa.array([TEXTS[i] for i in Y])
    for labels in (texts, texts.dictionary_encode(), pa.chunked_array([texts]),
                   pa.table({"y": texts}), pa.array(Y), pa.table({"y": Y})):  # fmt: skip
        assert tx.logme(X, labels) == pytest.approx(EXPECTED, rel=1e-12)


def test_names_of_columns_in_every_frame() -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {"red": B, "blue": 1 - B}
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)):
        assert tx.logme(X, frame).targets == ("red", "blue")
    members = pd.DataFrame({Animal.CAT: B, Animal.DOG: 1 - B})
    assert tx.logme(X, members).targets == ("cat", "a dog")


def test_members_as_groups_and_source_labels() -> None:
    members = [[*Animal][i] for i in np.arange(60) % 3]
    texts = [member.value for member in members]
    grouped = tx.score(X, Y, "logme", groups=members)
    assert grouped == tx.score(X, Y, "logme", groups=texts)
    assert sorted(grouped.per_group) == [*TEXTS]
    assert tx.score(None, Y, "nce", source_labels=members) == tx.score(
        None, Y, "nce", source_labels=texts
    )


def test_members_in_blocks_curves_moments_and_estimators() -> None:
    labels = [[*Animal][i] for i in Y]
    order = np.random.default_rng(1).permutation(60)
    mixed = [labels[i] for i in order]
    stats = tx.Stats().update(X[order][:30], mixed[:30]).update(X[order][30:], mixed[30:])
    assert stats.logme() == pytest.approx(EXPECTED, rel=1e-12)
    curve = tx.forecast.curve(X, labels, "h_score", [20, 60])
    plain = tx.forecast.curve(X, [label.value for label in labels], "h_score", [20, 60])
    np.testing.assert_array_equal(curve.values["h_score"], plain.values["h_score"])
    moments = {**stats.moments(), "classes": (Animal.DOG, Animal.CAT, Animal.HORSE)}
    assert tx.Stats.from_moments(moments).classes == TEXTS
    learn = pytest.importorskip("transferability.sklearn")
    fitted = learn.LogMEClassifier().fit(X, labels)
    assert fitted.classes_.tolist() == [*TEXTS]
    assert {type(name) for name in fitted.predict(X)} == {str}
    again = learn.LogMEClassifier().fit(X, [label.value for label in labels])
    np.testing.assert_array_equal(fitted.predict(X), again.predict(X))


def test_members_as_names_of_labels_to_embed() -> None:
    seen: list[str] = []

    def encoder(texts: list[str]) -> Any:
        seen.extend(texts)
        return np.array([[len(text), text.count("a")] for text in texts], dtype=float)

    view = tx.label_embeddings([0, 1, 2], [encoder], names=[*Animal])["encoder"]
    column = tx.label_embeddings(np.array([[0], [1], [2]]), [encoder], names=[*Animal])["encoder"]
    assert seen == [*[member.value for member in Animal]] * 2
    np.testing.assert_array_equal(view, column)
    tx.label_embeddings([*Animal], [encoder])
    assert {type(text) for text in seen} == {str}


def test_text_that_is_not_unicode_is_named() -> None:
    with pytest.raises(DataError, match="not Unicode"):
        tx.logme(X, ["a\udcff", "b"] * 30)


class Other(Enum):
    CAT = 1


class Traits(Flag):
    FUR = 1
    TAIL = 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([Plain.CAT, Other.CAT] * 30, "members of Other, Plain; give members of one Enum"),
        ([Plain.CAT, "a"] * 30, "Plain, str; use one kind"),
        ([Animal.CAT, 1] * 30, "Animal, int; use one kind"),
        ([Animal.CAT, Number.CAT] * 30, "members of Animal, Number; give members of one"),
    ],
)
def test_members_of_several_kinds_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        tx.logme(X, labels)


@pytest.mark.parametrize(
    "labels",
    [
        [[1, 2], [1]],
        [["a", "b"], ["c"]],
        [np.array([1, 2]), np.array([1])],
        pd.Series([[1, 2], [1]]),
    ],
)
def test_rows_of_unlike_lengths_are_named(labels: Any) -> None:
    with pytest.raises(
        DataError, match=r"labels\[0\] has 2 entries and labels\[1\] has 1; give one"
    ):
        tx.logme(X[:2], labels)


def test_missing_members_are_missing() -> None:
    for hole in (None, float("nan"), pd.NA):
        with pytest.raises(DataError, match=r"1 missing values.*position 2"):
            tx.logme(X, [Animal.CAT, Animal.DOG, hole, *[Animal.CAT] * 57])


def test_encoding_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    words = rng.choice(["b", "a", "é", "日", "", "ab"], 200)
    for array in (words, words.astype(object), rng.integers(-3, 3, 200), rng.random(200) > 0.5):
        names, codes = encode_labels(read_labels(array)[0])
        expected = np.unique(array, return_inverse=True)
        assert names == expected[0].tolist()
        np.testing.assert_array_equal(codes, expected[1].reshape(-1))


# One column is one target.

COLUMNS: dict[str, Callable[[Any], Any]] = {
    "array": lambda y: y[:, None],
    "fortran": lambda y: np.asfortranarray(np.stack([y, y], axis=1))[:, :1],
    "list of lists": lambda y: y[:, None].tolist(),
    "list of tuples": lambda y: [*map(tuple, y[:, None].tolist())],
    "list of arrays": lambda y: [*y[:, None]],
    "pandas": lambda y: pd.DataFrame({"target": y}),
    "pandas lists": lambda y: pd.Series(y[:, None].tolist()),
    "polars": lambda y: pl.DataFrame({"target": y}),
    "polars lists": lambda y: pl.Series(y[:, None].tolist()),
    "polars arrays": lambda y: pl.Series(
        y[:, None].tolist(), dtype=pl.Array(pl.Series(y).dtype, 1)
    ),
    "objects": lambda y: y[:, None].astype(object),
}
VALUES = {
    "0 and 1": B,
    "booleans": B.astype(bool),
    "whole floats": B.astype(float),
    "classes": Y,
    "targets": np.sin(9 * X[:, 1]) + X[:, 0],
    "text": np.array(TEXTS)[Y],
}


@pytest.mark.parametrize("container", COLUMNS)
@pytest.mark.parametrize("values", VALUES)
def test_one_column_is_one_target(container: str, values: str) -> None:
    y = VALUES[values]
    column = COLUMNS[container](y)
    names = ["logme", "ridge_probe"]
    flat, tall = tx.score(X, y, names), tx.score(X, column, names)
    for name in names:
        assert float(flat[name]) == float(tall[name])  # to the bit
        assert flat[name].task == tall[name].task
        assert flat[name].task_note == tall[name].task_note
        assert flat[name].classes == tall[name].classes


def test_reported_numbers() -> None:
    """Three members of an Enum were one class, with -1.2579; a column of 0 and 1 was multilabel."""
    assert float(EXPECTED) == pytest.approx(-0.73114, abs=5e-6)
    assert float(tx.logme(X, [[*Animal][i] for i in Y])) == pytest.approx(-0.73114, abs=5e-6)
    column = (X[:, :1] > 1).astype(int)
    assert float(tx.ridge_probe(X, column)) == pytest.approx(0.95)
    assert float(tx.logme(X, column)) == pytest.approx(-0.740, abs=5e-4)
    assert float(tx.logme(X, column, task="multilabel")) == pytest.approx(-0.360, abs=5e-4)


def test_a_column_asked_as_multilabel_is_one() -> None:
    score = tx.logme(X, B[:, None], task="multilabel")
    assert score.task == "multilabel"
    assert float(score) != float(tx.logme(X, B))
    frame = pd.DataFrame({"red": B})
    assert tx.logme(X, frame, task="multilabel").targets == ("red",)
    assert tx.logme(X, frame + X[:, :1], task="regression").targets == ("red",)


def test_one_column_of_groups_and_source_labels() -> None:
    groups = np.arange(60) % 2
    one = tx.score(X, Y, "logme", groups=groups)
    assert tx.score(X, Y, "logme", groups=groups[:, None]) == one
    assert tx.score(None, Y, "nce", source_labels=B[:, None]) == tx.score(
        None, Y, "nce", source_labels=B
    )


def test_one_column_in_blocks_of_either_shape() -> None:
    stats = tx.Stats().update(X[:30], Y[:30, None]).update(X[30:], Y[30:])
    assert stats.logme() == pytest.approx(EXPECTED, rel=1e-12)


# Long text.

LONG = "word " * 60_000  # 300,000 characters


def labels_with_one_long() -> list[str]:
    labels = [TEXTS[i % 3] for i in range(3000)]
    labels[17] = LONG
    return labels


def peak_of(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "container",
    ["list", "tuple", "object array", "object column", "list of lists", "Series", "DataFrame"],
)
def test_memory_follows_the_length_of_all_text(container: str) -> None:
    labels = CONTAINERS[container](labels_with_one_long())
    features = np.random.default_rng(0).normal(size=(3000, 2))

    def run() -> None:
        with pytest.raises(
            DataError, match=r"labels has a string of 300,000 characters \('word word"
        ):
            tx.logme(features, labels)
        score = tx.logme(features, labels, task="classification")
        assert score.n_classes == 4

    assert peak_of(run) < 20e6  # 3,000 entries as wide as the longest take 3.6e9 bytes


def test_memory_of_polars_groups_and_bytes() -> None:
    labels = labels_with_one_long()
    encoded = [label.encode() for label in labels]
    features = np.random.default_rng(0).normal(size=(3000, 2))

    def run() -> None:
        for given in (pl.Series(labels), encoded):
            with pytest.raises(DataError, match="look like texts: a column of documents"):
                tx.logme(features, given)
        tx.score(None, np.arange(3000) % 2, "nce", source_labels=labels)
        tx.score(features, np.arange(3000) % 2, "logme", groups=labels[:17] + labels[18:] + ["cat"])

    assert peak_of(run) < 20e6


def test_memory_of_label_files(tmp_path: Path) -> None:
    labels = labels_with_one_long()
    labels[17] = labels[17][:100_000]
    (tmp_path / "y.txt").write_text("\n".join(labels))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3000, 2)))
    files = [tmp_path / "y.txt"]
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["labels"] = labels
    pytest.importorskip("pyarrow")
    pd.DataFrame({"labels": labels}).to_parquet(tmp_path / "y.parquet", index=False)
    files += [tmp_path / "y.h5", tmp_path / "y.parquet"]

    def run() -> None:
        for file in files:
            with pytest.raises(DataError, match="look like texts"):
                tx.io.stats_of(tmp_path / "x.npy", file).logme()
            stats = tx.io.stats_of(tmp_path / "x.npy", file, task="classification")
            assert stats.classes is not None
            assert len(stats.classes) == 4

    assert peak_of(run) < 20e6


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [f"it was a film that I liked {i}" for i in range(60)],
            "29 characters and 8 words on average.*texts",
        ),
        ([f"{i:060d}" for i in range(60)], "60 characters and 1 words on average.*look like texts"),
        ([f"c{i}" for i in range(60)], "60 distinct strings in 60 rows; if they are classes pass"),
    ],
)
def test_texts_as_labels_are_refused_with_the_guess(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tx.logme(X, labels)
    assert tx.logme(X, labels, task="classification").n_classes == 60


def test_long_names_of_classes_are_names() -> None:
    names = [name * 180 for name in TEXTS]  # 540 to 1,980 characters
    with pytest.raises(DataError, match=r"a string of 1,980 characters"):
        tx.logme(X, [names[i] for i in Y])
    names = [name[:1000] for name in names]
    assert tx.logme(X, [names[i] for i in Y]) == pytest.approx(EXPECTED, rel=1e-12)


def test_names_that_may_be_missing_are_noted() -> None:
    labels = [("DE", "NA", "?")[i] for i in Y]
    score = tx.logme(X, labels)
    assert score.classes == ("?", "DE", "NA")
    assert "'?', 'NA' counts as the name of a class" in score.task_note


def test_numbers_as_text_are_read_if_the_task_says_so() -> None:
    targets = X[:, 1].round(3) + 5
    texts = [f"{value:.3f}" for value in targets]
    assert tx.logme(X, texts, task="regression") == tx.logme(X, [*map(float, texts)])
    two = np.array([[f"{a:.2f}", f" {b:.1e}"] for a, b in X[:, :2]])
    assert tx.logme(X, two, task="regression") == tx.logme(X, two.astype(float))
    with pytest.raises(DtypeError, match="labels are strings, such as '٣'"):
        tx.logme(X, ["1", "٣"] * 30, task="regression")
