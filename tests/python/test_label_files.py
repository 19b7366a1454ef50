"""Labels in text files: codes, numbers, names that look like missing values, headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError, DtypeError
from transferability._data.read import read_data
from transferability._util.delimited import find_missing, parse_labels
from transferability.io._labels import join_labels, read_label_array

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], 20)
X = RNG.normal(size=(60, 5))
X[:, 0] += Y

#: Texts that stay text.
CODES = {
    "padded": ["1", "01", "001"],
    "padded, no two alike": ["01", "02", "10"],
    "padded reals": ["007.5", "008.5"],
    "padded with a sign": ["-01", "-02"],
    "signs": ["1", "+1"],
    "zeros": ["0", "-0"],
    "two zeros": ["00", "1"],
    "whole with and without a point": ["1", "1.0"],
    "versions": ["1.0", "1.00", "2.0"],
    "versions of real numbers": ["1.1", "1.10", "1.2"],
    "codes of diseases": ["250.00", "401.9", "414.01"],
    "exponents": ["1e3", "1000"],
    "points": ["1.", "1"],
    "beyond 64 bits": ["9223372036854775808", "1"],
    "account numbers": ["123456789012345678901234567890", "2"],
    "300 digits": ["7" * 300, "2"],
    "hexadecimal": ["0x1", "0x2"],
    "underscores": ["1_000", "2_000"],
    "other digits": ["٣", "٤"],
    "words": ["a", "b"],
    "a word among numbers": ["1", "two"],
    "infinity, a word": ["inf", "word"],
}
NUMBERS = {
    "integers": (["1", "2", "10"], [1, 2, 10]),
    "signs": (["+1", "-1"], [1, -1]),
    "a negative zero alone": (["-0", "1"], [0, 1]),
    "the ends of 64 bits": (["-9223372036854775808", "9223372036854775807"], [-(2**63), 2**63 - 1]),
    "whole floats": (["1.0", "2.0"], [1.0, 2.0]),
    "two decimals": (["0.50", "2.25"], [0.5, 2.25]),
    "decimals of any length": (["0.5", "0.25", "1"], [0.5, 0.25, 1.0]),
    "two decimals, and a plain 0": (["0", "0.50", "1.25"], [0.0, 0.5, 1.25]),
    "mantissas of one length": (["1.50e+01", "2.25e-03"], [15.0, 0.00225]),
    "no zero": ([".5", "-.25"], [0.5, -0.25]),
    "exponents": (["1e-05", "2.5E3"], [1e-05, 2500.0]),
    "zero points": (["0.0", "0.5", "0"], [0.0, 0.5, 0.0]),
}


@pytest.mark.parametrize("kind", CODES)
def test_codes_stay_text(kind: str) -> None:
    assert parse_labels(CODES[kind]) == CODES[kind]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_numbers(kind: str) -> None:
    texts, values = NUMBERS[kind]
    parsed = parse_labels(texts)
    assert parsed == values
    assert {type(value) for value in parsed} == {type(value) for value in values}


_TEXTS = st.from_regex(r"[+-]?[0-9]{0,3}(\.[0-9]{0,2})?(e[0-9])?", fullmatch=True)


@given(st.lists(_TEXTS, max_size=8))
@settings(max_examples=500, deadline=None)
def test_no_classes_are_merged(texts: list[str]) -> None:
    """Different texts are different labels, unless they are real numbers."""
    parsed = parse_labels(texts)
    assert len(parsed) == len(texts)
    merged = len(set(parsed)) < len(set(texts))
    assert not merged or any(value != int(value) for value in parsed)  # type: ignore[arg-type]


def write_files(folder: Path, labels: list[str]) -> list[Path]:
    """Write labels as lines and as columns of tables."""
    lines = "".join(f"{label}\n" for label in labels)
    rows = [(f"text {i}", label) for i, label in enumerate(labels)]
    (folder / "y.txt").write_text(lines)
    (folder / "y.csv").write_text(lines)
    (folder / "d.csv").write_text("text,label\n" + "".join(f"{t},{y}\n" for t, y in rows))
    (folder / "d.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{y}\n" for t, y in rows))
    objects = "".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows)
    (folder / "d.jsonl").write_text(objects)
    return [folder / name for name in ("y.txt", "y.csv", "d.csv", "d.tsv", "d.jsonl")]


def read_file(path: Path) -> Any:
    return read_label_array(path, None) if path.stem == "y" else read_data(path).labels


def test_codes_in_every_text_file_are_classes(tmp_path: Path) -> None:
    """The classes 1, 01 and 001 were one."""
    codes = [("1", "01", "001")[i] for i in Y]
    expected = tx.logme(X, codes)
    assert expected == pytest.approx(tx.logme(X, Y), rel=1e-12)
    for path in write_files(tmp_path, codes):
        score = tx.logme(X, read_file(path))
        assert score == expected, path
        assert score.classes == ("001", "01", "1")
    np.save(tmp_path / "x.npy", X)
    stats = tx.io.stats_of(tmp_path / "x.npy", tmp_path / "y.csv")
    assert stats.classes == ("001", "01", "1")


def test_a_frame_keeps_codes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b", "c"], "label": ["1", "01", "2"]})
    assert read_data(frame).labels == ["1", "01", "2"]


def test_codes_are_targets_if_the_task_says_so(tmp_path: Path) -> None:
    codes = [f"{value:06.2f}" for value in 10 + X[:, 1]]
    for path in write_files(tmp_path, codes):
        score = tx.logme(X, read_file(path), task="regression")
        assert score == tx.logme(X, [float(code) for code in codes])


def test_codes_in_one_shard_are_codes_in_all(tmp_path: Path) -> None:
    """In 10 and 20 nothing is padded, in 01 and 02 of the next file it is."""
    parts = (["10", "20"] * 10, ["01", "02"] * 10, ["10", "01"] * 10)
    for i, part in enumerate(parts):
        np.save(tmp_path / f"x_{i}.npy", X[20 * i : 20 * i + 20])
        (tmp_path / f"y_{i}.csv").write_text("\n".join(part))
    stats = tx.io.stats_of(str(tmp_path / "x_*.npy"), str(tmp_path / "y_*.csv"))
    assert stats.classes == ("01", "02", "10", "20")
    assert stats.class_counts == (20, 10, 20, 10)
    with pytest.raises(DtypeError, match="write labels in one way"):
        join_labels([np.array([1, 2]), np.array(["01"])], ["a.npy", "b.csv"], "file")
    with pytest.raises(DtypeError, match="write labels in one way"):
        join_labels([np.array([1, 2]), np.array(["word"])], ["a.csv", "b.csv"], "file")


@pytest.mark.parametrize(
    ("labels", "n_classes"),
    [
        (["1"] * 20 + ["2"] * 20 + ["1.0"] * 20, 3),
        (["1.1", "1.2"] * 15 + ["1.10", "1.3"] * 15, 4),
        (["1.1", "1.10"] * 15 + ["1.2", "1.3"] * 15, 4),
        (["0", "1"] * 15 + ["-0", "1"] * 15, 3),
        (["1e3", "2"] * 15 + ["1000", "2"] * 15, 3),
        (["01", "02"] * 15 + ["10", "11"] * 15, 4),
        (["1", "2"] * 15 + ["2.5", "3.5"] * 15, None),
        (["0.50", "1.00"] * 15 + ["2.25", "3.00"] * 15, None),
    ],
)
def test_no_cut_into_files_changes_the_labels(
    labels: list[str], n_classes: int | None, tmp_path: Path
) -> None:
    """1 in one file and 1.0 in the next were one class, and two in a single file."""
    scores = []
    for n_files in (1, 2, 3):
        folder = tmp_path / str(n_files)
        folder.mkdir()
        for i, rows in enumerate(np.array_split(np.arange(60), n_files)):
            np.save(folder / f"x_{i}.npy", X[rows])
            (folder / f"y_{i}.txt").write_text("\n".join(labels[row] for row in rows))
        paths = str(folder / "x_*.npy"), str(folder / "y_*.txt")
        stats, blocks = tx.io.stats_of(*paths), tx.Stats()
        for features, own, _ in tx.io.open_features(*paths):
            blocks.update(features, own)
        ranking = tx.rank({"model": paths[0]}, paths[1])
        scores += [stats.logme(), blocks.logme(), ranking[0].value("logme")]
        assert stats.logme().n_classes == blocks.logme().n_classes == n_classes
    assert scores == pytest.approx([scores[0]] * 9, rel=1e-9)


MAYBE_MISSING = ("NA", "None", "null", "NULL", "n/a", "N/A", "?")


@pytest.mark.parametrize("name", MAYBE_MISSING)
def test_a_name_that_may_be_missing_is_a_class_among_words(name: str, tmp_path: Path) -> None:
    """Namibia is NA, and the answer None is an answer."""
    labels = [("DE", name, "FR")[i] for i in Y]
    for path in write_files(tmp_path, labels):
        score = tx.logme(X, read_file(path))
        assert score == pytest.approx(tx.logme(X, Y), rel=1e-12)
        assert score.classes == tuple(sorted({"DE", name, "FR"}))
        assert f"{name!r} counts as the name of a class" in score.task_note


@pytest.mark.parametrize("name", [*MAYBE_MISSING, "nan", "", "<NA>"])
def test_a_name_that_may_be_missing_is_missing_among_numbers(name: str, tmp_path: Path) -> None:
    for number in ("1", "0.5", "01"):
        for path in write_files(tmp_path, [number, "2", name, "2"]):
            with pytest.raises(DataError, match=r"1 (lines|rows) without a label.*the first is"):
                read_file(path)


@pytest.mark.parametrize("name", ["", " ", "nan", "NaN", "<NA>"])
def test_an_empty_label_and_nan_are_missing_among_words(name: str, tmp_path: Path) -> None:
    for path in write_files(tmp_path, ["a", "b", name, "b"]):
        with pytest.raises(DataError, match=r"1 (lines|rows) without a label.*is (line 3|row 2)"):
            read_file(path)


def test_missing_values_of_json() -> None:
    assert find_missing([1, None, 2.5, float("nan"), "NA"]) == [1, 3, 4]
    assert find_missing(["a", None, "NA", ""]) == [1, 3]
    assert find_missing([["NA"], ["a"], None]) == [2]
    assert find_missing(["NA", "?"]) == []
    assert find_missing([True, "NA"]) == [1]
    assert find_missing([]) == []


def test_versions_are_classes_unless_task_says_numbers(tmp_path: Path) -> None:
    path = tmp_path / "y.txt"
    path.write_text("\n".join(("3.1", "3.10", "3.2")[i] for i in Y))
    labels = read_label_array(path, None)
    found = tx.logme(X, labels)
    assert found.classes == ("3.1", "3.10", "3.2")
    assert found.task_note.endswith("all are numbers: if they are targets pass task='regression'")
    assert "numbers" not in tx.logme(X, [f"0{i}" for i in Y]).task_note
    targets = tx.logme(X, labels, task="regression")
    assert float(targets) == float(tx.logme(X, np.array([3.1, 3.1, 3.2])[Y]))


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_a_header_above_text_labels_is_named(suffix: str, tmp_path: Path) -> None:
    labels = [("a", "b", "c")[i] for i in Y]
    np.save(tmp_path / "x.npy", X)
    path = tmp_path / f"y.{suffix}"
    path.write_text("\n".join(["label", *labels]))
    hint = r"61 entries but .*60 rows; give one label for each row; the first, 'label', occurs once"
    with pytest.raises(DataError, match=hint):
        tx.io.stats_of(tmp_path / "x.npy", path)
    with pytest.raises(DataError, match=hint):
        tx.io.open_features(str(tmp_path / "x*.npy"), path).labels()
    with pytest.raises(DataError, match=hint):
        tx.logme(X, read_label_array(path, None))
    with pytest.raises(DataError, match=hint):
        tx.Stats().update(X, read_label_array(path, None))
    with pytest.raises(DataError, match="'label', occurs once"):
        tx.score(X, Y, "logme", groups=["label", *labels])
    for other in (["a", *labels], ["label", "a", *labels], labels[:-1]):
        with pytest.raises(DataError) as caught:
            tx.logme(X, other)
        assert "header" not in str(caught.value)


def test_a_header_above_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "y.csv"
    path.write_text("label\n1\n2\n")
    with pytest.raises(DataError, match=r"line 1: 'label' is unlike other lines.*remove a header"):
        read_label_array(path, None)


def test_infinity_may_be_a_name(tmp_path: Path) -> None:
    path = tmp_path / "y.csv"
    path.write_text("inf\nfin\ninf\n")
    assert read_label_array(path, None) == ["inf", "fin", "inf"]
    path.write_text("inf\n1.5\n")
    with pytest.raises(DataError, match="infinite values"):
        tx.logme(X[:2], read_label_array(path, None))


@pytest.mark.parametrize(
    ("dtypes", "values", "dtype"),
    [
        (("i8", "u8"), (2**53, 2**53 + 1), np.int64),
        (("u8", "i4"), (2**63 + 1, 5), np.uint64),
        (("u8", "?"), (7, 1), np.uint64),
        (("i8", "u8"), (3, 4), np.int64),
    ],
)
def test_integers_of_two_types_stay_integers(
    tmp_path: Path, dtypes: tuple[str, str], values: tuple[int, int], dtype: type
) -> None:
    ids = [np.array([values[0], 1], dtypes[0]), np.array([values[1], 0], dtypes[1])]
    for i, own in enumerate(ids):
        np.save(tmp_path / f"x_{i}.npy", X[:2])
        np.save(tmp_path / f"y_{i}.npy", own)
    found = tx.io.open_features(str(tmp_path / "x_*.npy"), str(tmp_path / "y_*.npy")).labels()
    assert found is not None
    assert found.tolist() == [int(one) for own in ids for one in own]
    assert found.dtype.kind == np.dtype(dtype).kind


def test_integers_that_would_become_equal_or_fit_no_type_are_refused() -> None:
    wide = np.array([2**53, 2**53 + 1])
    with pytest.raises(DataError, match="b holds float64, in which some of them would be equal"):
        join_labels([wide, np.array([0.0, 1.0])], ["a", "b"], "file")
    apart = np.array([2**53, 2**53 + 2])
    assert len({*join_labels([apart, np.array([0.5, 1.0])], ["a", "b"], "file").tolist()}) == 4
    for empty in (np.array([]), np.array([], np.int64)):  # a shard without rows
        assert join_labels([wide, empty], ["a", "b"], "file").tolist() == wide.tolist()
    with pytest.raises(DataError, match="from -1 to 9223372036854775808, which no 64-bit type"):
        join_labels([np.array([-1]), np.array([2**63], "u8")], ["a", "b"], "file")
