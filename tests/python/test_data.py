"""Data of any kind as items with labels: columns, missing labels, digests, drawing rows."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability._data.data import Data
from transferability._data.item_labels import flatten_labels, read_item_labels, read_word_labels
from transferability._data.read import read_data
from transferability.errors import DataError, DtypeError

TEXTS = ["a good film", "a bad film", "it was good", "it was bad"]
LABELS = ["pos", "neg", "pos", "neg"]


class Pairs:
    """A data set as torch's are: lengths and positions."""

    def __init__(self, inputs: Any, labels: Any) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.inputs[i], self.labels[i]


def items(data: Data) -> list[Any]:
    return [data.items[i] for i in range(len(data))]


def csv_file(path: Path, header: str = "text,label") -> Path:
    rows = [f"{text},{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    path.write_text("\n".join([header, *rows, ""]))
    return path


def test_the_same_rows_in_any_form_are_the_same_data(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS, "label": LABELS, "id": range(4)})
    frame.to_parquet(tmp_path / "d.parquet")
    (tmp_path / "d.jsonl").write_text(
        "".join(
            json.dumps({"text": t, "label": y}) + "\n" for t, y in zip(TEXTS, LABELS, strict=True)
        )
    )
    forms = [
        (TEXTS, LABELS),
        csv_file(tmp_path / "d.csv"),
        str(tmp_path / "d.jsonl"),
        tmp_path / "d.parquet",
        frame,
        Pairs(TEXTS, LABELS),
    ]
    read = [read_data(form) for form in forms]
    assert {data.kind for data in read} == {"text"}
    assert len({data.digest() for data in read}) == 1
    for data in read:
        assert items(data) == TEXTS
        assert list(data.labels) == LABELS


def test_columns_by_name_and_pairs(tmp_path: Path) -> None:
    path = tmp_path / "d.tsv"
    path.write_text("premise\thypothesis\tscore\na\tb\t1.5\nc\td\t2\n")
    data = read_data(path, label="score", text=["premise", "hypothesis"])
    assert items(data) == [("a", "b"), ("c", "d")]
    assert list(data.labels) == [1.5, 2.0]
    with pytest.raises(DataError, match=r"has columns premise, hypothesis, score; say which with"):
        read_data(path)
    with pytest.raises(DataError, match="has no column 'y'; it has premise, hypothesis, score"):
        read_data(path, label="y")


def test_columns_are_of_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="label and text name columns of a table"):
        read_data((TEXTS, LABELS), label="y")
    with pytest.raises(DtypeError, match=r"data=\(inputs, labels\)"):
        read_data(TEXTS, label=np.array([1, 2, 3, 4]))


def test_several_label_columns_are_targets(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,a,b\nx,1,0\ny,0,1\nz,1,1\n")
    data = read_data(path, label=["a", "b"])
    np.testing.assert_array_equal(data.labels, [[1, 0], [0, 1], [1, 1]])


@pytest.mark.parametrize("missing", ["", "NaN", " nan "])
def test_a_missing_label_is_refused_by_row(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"text,label\nx,a\ny,{missing}\n")
    with pytest.raises(DataError, match="1 rows without a label, the first is row 1; drop"):
        read_data(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nx,a\n,b\n", "row 1: column text holds '', which is no text"),
        ("text,label\nx,a,b\n", "line 2: 3 values for 2 columns"),
        ("text,text\nx,a\n", "must name every column, once"),
        ("", "has columns \\(none\\)"),
        ("text,label\n", "data is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_data(path)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (3, DtypeError, "data is of type int"),
        (("one text", ["a"]), DtypeError, "inputs is of type str"),
        ((TEXTS, LABELS[:3]), DataError, "4 inputs but 3 labels"),
        (([], []), DataError, "data is empty"),
        ("data.docx", DataError, "or a table: .csv"),
        ("none.csv", DataError, "there is no file none.csv"),
        (Pairs(TEXTS, LABELS).inputs, DtypeError, "must give \\(input, label\\)$"),
        (
            [{"text": "a", "label": 1}],
            DtypeError,
            "type dict; .*a table: pandas.DataFrame\\(data\\)$",
        ),
    ],
)
def test_what_is_no_data(data: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        read_data(data)


def test_numbers_in_text_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label\nx,1\ny,2\n")
    assert read_data(path).labels == [1, 2]
    path.write_text("text,label\nx,1\ny,two\n")
    assert read_data(path).labels == ["1", "two"]


def pictures(folder: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name / "more").mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(0, 256, (5, 4), dtype=np.uint8)
            image.fromarray(pixels).save(folder / name / "more" / f"{i}.png")
    (folder / "cat" / "notes.txt").write_text("not a picture")
    return folder


def test_an_image_folder(tmp_path: Path) -> None:
    data = read_data(pictures(tmp_path / "a"))
    assert data.kind == "image"
    assert data.labels == ["cat", "cat", "dog", "dog"]
    assert items(data)[0].mode == "RGB"
    assert items(data)[0].size == (4, 5)
    with pytest.raises(DataError, match="one subfolder for each class"):
        read_data(tmp_path / "a" / "cat" / "more")


def test_digests_are_of_content(tmp_path: Path) -> None:
    first = read_data(pictures(tmp_path / "a")).digest()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    os.utime(tmp_path / "b" / "cat" / "more" / "0.png", (1, 1))
    assert read_data(tmp_path / "b").digest() == first
    one = tmp_path / "b" / "cat" / "more" / "0.png"
    shutil.copy(tmp_path / "b" / "cat" / "more" / "1.png", one)
    assert read_data(tmp_path / "b").digest() != first


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        ([*TEXTS[:3], "it was bad."], LABELS),
        (TEXTS, ["pos", "neg", "pos", "pos"]),
        (TEXTS[::-1], LABELS[::-1]),
        (["a good filma", " bad film", *TEXTS[2:]], LABELS),
        ([(text, "") for text in TEXTS], LABELS),
        ([text.split() for text in TEXTS], LABELS),
        (TEXTS, [1, 0, 1, 0]),
    ],
)
def test_every_change_changes_the_digest(inputs: Any, labels: Any) -> None:
    assert read_data((inputs, labels)).digest() != read_data((TEXTS, LABELS)).digest()


def test_digests_of_arrays_know_dtype_and_shape() -> None:
    labels = [0, 1, 0]
    arrays = [np.zeros((3, 4)), np.zeros((3, 4), np.float32), np.zeros((3, 2, 2)), np.eye(3, 4)]
    assert len({read_data((array, labels)).digest() for array in arrays}) == 4
    strided = np.zeros((3, 8))[:, ::2]
    assert read_data((strided, labels)).digest() == read_data((arrays[0], labels)).digest()


def test_what_has_no_content_is_refused() -> None:
    with pytest.raises(DtypeError, match="item of type object"):
        read_data(([object(), object()], [0, 1])).digest()


def test_drawn_rows_are_the_same_for_all() -> None:
    data = read_data((np.arange(50).reshape(50, 1), np.arange(50)))
    drawn = data.sample(20, 3)
    rows = [int(item[0]) for item in items(drawn)]
    assert rows == sorted(rows)
    assert len(set(rows)) == 20
    np.testing.assert_array_equal(drawn.labels, rows)
    assert data.sample(20, 3).digest() == drawn.digest()
    assert data.sample(20, 4).digest() != drawn.digest()
    assert data.sample(50, 3) is data
    assert data.sample(None, 3) is data


def test_words_and_their_labels() -> None:
    words = [["Ann", "saw", "New", "York"], ["yes"]]
    tags = [["B-PER", "O", "B-LOC", "I-LOC"], [None]]
    entities, note = read_word_labels(words, tags)
    assert entities == [["PER", "O", "LOC", "LOC"], [None]]
    assert note == "; the tags are a BIO scheme, whose prefixes B-, I- were removed"
    assert read_word_labels(words, tags, "keep") == (tags, "")
    assert flatten_labels(entities) == ["PER", "O", "LOC", "LOC"]
    numbers = [[1, -100, 2, 3], [-100]]
    assert read_word_labels(words, numbers) == ([[1, None, 2, 3], [None]], "")
    assert read_word_labels([["a", "b"]], [["B-", "O-LOC"]]) == ([["B-", "O-LOC"]], "")
    with pytest.raises(DataError, match="3 entries for 4 words"):
        read_word_labels(words, [["O", "O", "O"], ["O"]])
    with pytest.raises(DataError, match="must be lists"):
        read_word_labels(words, ["O", "O"])
    with pytest.raises(DataError, match="no word has a label"):
        flatten_labels([[None], [None]])
    assert read_data((words, tags)).is_token
    with pytest.raises(DataError, match="task='token' needs lists of words"):
        read_data((TEXTS, LABELS), task="token")


def test_without_torch_the_extra_is_named() -> None:
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("torch is installed here")
    with pytest.raises(tx.MissingDependencyError, match=r"transferability\[hub\]"):
        tx.rank_models("timm:resnet18", (TEXTS, LABELS))


def test_only_the_mark_at_the_beginning_is_stripped() -> None:
    tags = [["B-PUB-lic", "I-PUB-lic", "O"]]
    assert read_word_labels([["a", "b", "c"]], tags)[0] == [["PUB-lic", "PUB-lic", "O"]]


def test_a_name_beside_chunk_tags_keeps_them_and_is_named() -> None:
    tags = [["B-PER", "I-PER", "O", "PUB-lic"]]
    kept, note = read_word_labels([["a", "b", "c", "d"]], tags)
    assert kept == tags
    assert "'PUB-lic' is no tag of the chunk scheme that 'B-PER' is of" in note


def test_words_in_tuples_and_arrays_are_words() -> None:
    """Tuples of words were read as pairs, with advice on one-hot rows."""
    words = [("Ann", "saw"), ("New", "York", "too")]
    tags = [["B-PER", "O"], ("B-LOC", "I-LOC", "O")]
    for inputs in (words, [np.array(text) for text in words], [[*text] for text in words]):
        labelled = read_item_labels(read_data((inputs, tags)), "auto", "strip", ())
        assert labelled.target.names == ("LOC", "O", "PER")
        assert [*labelled.data.items] == [["Ann", "saw"], ["New", "York", "too"]]
        assert "BIO scheme" in labelled.target.note
    pairs = read_data(([("a", "b"), ("c", "d")], [[0, 1], [1, 1]]))
    assert not pairs.is_token
    assert read_data((words, [[1, 2], [1, 3, 4]]), task="token").is_token
    assert not read_data((["a", "b"], [[0, 1], [1, 1]])).is_token


def test_the_first_sentence_may_be_empty() -> None:
    words, tags = [[], ["New", "York"], ["is", "big"]], [[], ["B-LOC", "I-LOC"], ["O", "O"]]
    labelled = read_item_labels(read_data((words, tags)), "auto", "strip", ())
    assert labelled.n_rows == 4
    assert labelled.target.names == ("LOC", "O")
    assert labelled.groups is not None
    assert labelled.groups.codes.tolist() == [0, 0, 1, 1]
    assert read_data(([[], [1.5]], [0, 1])).kind == "array"


def test_a_table_may_have_a_sentence_without_words() -> None:
    words, tags = [[], ["New", "York"], [], ["big"]], [[], ["B-LOC", "I-LOC"], [], ["O"]]
    labelled = read_item_labels(read_data({"tokens": words, "ner_tags": tags}), "auto", "strip", ())
    assert (labelled.n_rows, labelled.target.names) == (3, ("LOC", "O"))
    for texts in ([["a"], ["b"], ""], ["a", "b", []]):
        with pytest.raises(DataError, match=r"row 2: column text holds .*, which is no text"):
            read_data({"text": texts, "label": [0, 1, 0]})


def test_a_table_may_have_a_series_in_each_row() -> None:
    """As lists of a JSON file, or as arrays of a frame; steps of one number or of several."""
    series: list[Any] = [[1.0, 2.0], [3.0], [4, 5, 6]]
    for column in (series, [np.array(own) for own in series]):
        data = read_data({"series": column, "label": [0, 1, 0]})
        assert data.kind == "array"
        assert [data.items[i].tolist() for i in range(3)] == series
    steps = read_data({"series": [[[1, 2]], [[3, 4], [5, 6]]], "label": [0, 1]})
    assert [steps.items[i].shape for i in range(2)] == [(1, 2), (2, 2)]
    gap = read_data({"series": [[1.0, None, 2.0], [3.0]], "label": [0, 1]})
    np.testing.assert_array_equal(gap.items[0], [1.0, np.nan, 2.0])
    for odd in (None, [], "a", ["a"], [[1], [2, 3]], 2.0):
        with pytest.raises(DataError, match=r"row 1: column s holds .*, which is no list of numb"):
            read_data({"s": [[1.0], odd], "label": [0, 1]})
    with pytest.raises(DataError, match=r"row 0: column tokens holds .*, which is no text"):
        read_data({"tokens": [[101, 102], [101, 7]], "label": [0, 1]})  # ids
    with pytest.raises(DataError, match=r"row 0: column s holds 1.0, which is no text"):
        read_data({"s": [1.0, 2.0], "label": [0, 1]})


def test_the_tags_of_all_words_decide_those_of_a_sample() -> None:
    words = [["a"], ["b"], ["c", "d", "e"], ["f"]]
    tags: list[Any] = [["E-PER"], ["S-PER"], ["B-PER", "M-PER", "E-PER"], ["O"]]
    whole = read_data((words, tags))
    reals = read_data((words, [[0.5], [1], [2, 3, 4], [5]]))
    for rows in ([0, 1], [1, 2], [2], [0, 1, 2]):
        drawn = Data("text", [words[i] for i in rows], [tags[i] for i in rows])
        target = read_item_labels(drawn, "auto", "strip", (), whole).target
        assert target.names == ("PER",)
        assert "BMES scheme" in target.note
        drawn = replace(drawn, labels=[reals.labels[i] for i in rows])
        assert read_item_labels(drawn, "auto", "strip", (), reals).target.task == "regression"


def test_members_of_enums_are_tags() -> None:
    class Tag(Enum):
        B_PER = 1
        I_PER = 2
        O = 0  # noqa: E741

    words = [["New", "York", "is"], ["big"]]
    labelled = read_item_labels(
        read_data((words, [[Tag.B_PER, Tag.I_PER, Tag.O], [Tag.O]])), "auto", "strip", ()
    )
    assert labelled.target.names == ("O", "PER")
    assert labelled.data.labels == [["PER", "PER", "O"], ["O"]]
    whole = read_item_labels(
        read_data((["a", "b"] * 4, [Tag.O, Tag.B_PER] * 4)), "auto", "keep", ()
    )
    assert whole.data.labels == ["O", "B_PER"] * 4
    assert len(whole.data.digest()) == 40


def test_a_column_of_texts_as_labels_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    rows = [f"a long enough text about film number {i},{i % 2}" for i in range(50)]
    path.write_text("\n".join(["text,y", *rows]))
    with pytest.raises(DataError, match="look like texts: a column of documents"):
        read_item_labels(read_data(path, label="text", text="y"), "auto", "strip", ())
    data = read_data(path, label=["text", "text"], text="y")
    with pytest.raises(DataError, match=r"text with 2 entries in each row; give one class"):
        read_item_labels(data, "auto", "strip", ())


def test_labels_of_unlike_lengths_are_named() -> None:
    data = read_data((["a", "b", "c"], [[], ["O"], ["O", "B-X"]]))
    with pytest.raises(DataError, match=r"labels\[0\] has 0 entries and labels\[1\] has 1; give"):
        read_item_labels(data, "auto", "strip", ())
