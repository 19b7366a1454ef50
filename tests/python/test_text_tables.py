"""Tables of texts: quotes that swallow rows, encodings, unnamed columns, long cells, frames."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferability._data.read import read_data
from transferability._util.delimited import read_rows
from transferability.errors import DataError, DtypeError

N = 20
TEXTS = [f"text number {i}, as it is" for i in range(N)]
LABELS = [("neg", "pos")[i % 2] for i in range(N)]


def write(
    path: Path, texts: list[str], labels: list[Any], sep: str = "\t", first: bool = True
) -> Path:
    """Write lines without any quoting."""
    names = ("text", "label") if first else ("label", "text")
    rows = [(t, y) if first else (y, t) for t, y in zip(texts, labels, strict=True)]
    path.write_text("".join(f"{a}{sep}{b}\n" for a, b in [names, *rows]), encoding="utf-8")
    return path


def items(data: Any) -> list[Any]:
    return [data.items[i] for i in range(len(data))]


def with_quotes(*rows: int, form: str = '"{}') -> list[str]:
    texts = [text.replace(",", "") for text in TEXTS]
    return [form.format(text) if i in rows else text for i, text in enumerate(texts)]


STRAY: list[list[str]] = [
    with_quotes(3),
    with_quotes(3, 18),
    with_quotes(0, 5, 9),
    with_quotes(N - 1),
    with_quotes(3, form='"{}" he said'),
    with_quotes(2, 4, form='"quoted" {}'),
    [*with_quotes(3)[:9], 'it was "', *with_quotes()[10:]],  # a quote closes it before a tab
    [*with_quotes(3)[:9], '"all of it"', *with_quotes()[10:]],
    with_quotes(4, form='"'),
]


@pytest.mark.parametrize("texts", STRAY)
@pytest.mark.parametrize("first", [True, False])
def test_stray_quotes_in_tsv_are_texts(tmp_path: Path, texts: list[str], first: bool) -> None:
    data = read_data(write(tmp_path / "d.tsv", texts, LABELS, first=first))
    assert items(data) == texts
    assert data.labels == LABELS


SWALLOWING = [STRAY[i] for i in (0, 1, 2, 3, 6, 7, 8)]


@pytest.mark.parametrize("texts", SWALLOWING)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("numbers", [False, True])
def test_stray_quotes_in_csv_are_refused(
    tmp_path: Path, texts: list[str], first: bool, numbers: bool
) -> None:
    labels: list[Any] = [i / 7 for i in range(N)] if numbers else LABELS
    path = write(tmp_path / "d.csv", texts, labels, ",", first)
    line = next(i for i, text in enumerate(texts) if text.startswith('"')) + 2
    message = rf"d\.csv, line {line}: a quote begins a cell .* line ends.*quoting='none'"
    with pytest.raises(DataError, match=message):
        read_data(path)
    data = read_data(path, quoting="none")
    assert items(data) == texts
    assert list(data.labels) == labels
    assert items(read_data(path, quoting=csv.QUOTE_NONE)) == texts


def test_a_label_that_occurs_once_hides_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('label,text\n1,a\n1,b\n1,"c c\n0,d""\n0,e\n1,f\n2,g 5"\n1,h "i" j\n')
    with pytest.raises(DataError, match=r"line 4: a quote begins a cell there and takes 5 line"):
        read_data(path)
    assert len(read_data(path, quoting="none")) == 8


MULTILINE = [
    "a line\nand another",
    "Dear all,\nbest, me",
    "Hello, you\nbye",
    "1\n2\n3\n",
    'she said "no"\nand "yes"',
    "tab\there\nand\tthere",
    "\r\nwindows\r\n",
    '"',
    "\n\n\n",
    "all, of\nthese, have\none, comma",
]


@pytest.mark.parametrize("sep", [",", "\t"])
@pytest.mark.parametrize("first", [True, False])
def test_quoted_cells_may_have_lines(tmp_path: Path, sep: str, first: bool) -> None:
    path = tmp_path / ("d.csv" if sep == "," else "d.tsv")
    rows = list(zip(MULTILINE + TEXTS, [*LABELS, *LABELS][: len(MULTILINE) + N], strict=True))
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter=sep)
        writer.writerows(
            [("text", "label"), *rows] if first else [("label", "text"), *(r[::-1] for r in rows)]
        )
    data = read_data(path)
    assert items(data) == [text for text, _ in rows]
    assert data.labels == [label for _, label in rows]


VERSES = "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you."
LETTER = "Dear Tom,\nthanks, and yes\nBest,\nAnn"
LIST = "1,2\n3,4\n5,5"


@pytest.mark.parametrize("sep", [",", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_where_all_texts_are_quoted_each_line_may_look_like_a_row(
    tmp_path: Path, sep: str, quoting: int
) -> None:
    path = tmp_path / ("d.csv" if sep == "," else "d.tsv")
    texts = [text.replace(",", sep) for text in (VERSES, LETTER, LIST, "one") * 3]
    rows = list(zip(texts, [1, 2, 3] * 4, strict=True))
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=sep, quoting=quoting, lineterminator="\n").writerows(
            [("text", "label"), *rows]
        )
    data = read_data(path)
    assert (items(data), list(data.labels)) == (texts, [1, 2, 3] * 4)


@pytest.mark.parametrize("text", [VERSES, LETTER, "Items:\n3, apples\n1, pear"])
@pytest.mark.parametrize("first", [True, False])
def test_commas_of_texts_end_no_cells(tmp_path: Path, text: str, first: bool) -> None:
    texts = [text, *TEXTS[:6], text]
    rows = [(t, i % 3 + 1)[:: 1 if first else -1] for i, t in enumerate(texts)]
    with open(tmp_path / "d.csv", "w", newline="") as file:
        names = ("text", "label") if first else ("label", "text")
        csv.writer(file, lineterminator="\n").writerows([names, *rows])
    assert items(read_data(tmp_path / "d.csv")) == texts


def test_spreadsheets_end_rows_as_no_line_of_a_cell_ends(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    rows = ['"a,1\nb,2"', "c", "d", '"a,1\nb"']
    lines = [f"{text},{i % 2 + 1}" for i, text in enumerate(rows)]
    path.write_bytes("\r\n".join(["text,label", *lines, ""]).encode())
    assert items(read_data(path)) == ["a,1\nb,2", "c", "d", "a,1\nb"]
    path.write_bytes("\n".join(["text,label", *lines, ""]).encode())
    with pytest.raises(DataError, match="line 6: a quote begins a cell"):
        read_data(path)


@pytest.mark.parametrize("n_swallowed", [1, 2, 5])
def test_a_column_of_unique_texts_hides_no_rows(tmp_path: Path, n_swallowed: int) -> None:
    texts = with_quotes(3)
    texts[3 + n_swallowed] += '"'
    lines = [f"{y},{t},file{i}.txt" for i, (t, y) in enumerate(zip(texts, LABELS, strict=True))]
    path = tmp_path / "d.csv"
    path.write_text("\n".join(["label,text,source", *lines, ""]))
    with pytest.raises(DataError, match=f"line 5: .* takes {n_swallowed + 1} line ends"):
        read_data(path, label="label", text="text")


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": MULTILINE, "label": LABELS[: len(MULTILINE)]})
    for name, options in (("a.csv", {}), ("b.tsv", {"sep": "\t"}), ("c.csv", {"quoting": 1})):
        frame.to_csv(tmp_path / name, index=False, **options)
        assert items(read_data(tmp_path / name)) == MULTILINE
    frame = pandas.DataFrame({"text": ["Main Street, 5\nBerlin"] * 9, "label": [1, 2, 3] * 3})
    frame.to_csv(tmp_path / "n.csv", index=False)  # a number, but no label
    assert items(read_data(tmp_path / "n.csv")) == list(frame["text"])
    # Every line of this text is a row of the same labels: only the user can know.
    frame = pandas.DataFrame({"text": ["a,pos\nb", *"cde"], "label": ["pos", "neg", "pos", "neg"]})
    frame.to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(DataError, match=r"line 2: a quote .* 'minimal' if they enclose cells"):
        read_data(tmp_path / "d.csv")
    assert items(read_data(tmp_path / "d.csv", quoting="minimal"))[0] == "a,pos\nb"


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_right_or_refused(tmp_path: Path, seed: int) -> None:
    """Draw texts with quotes, unquoted or written by ``csv``: no row is lost in silence."""
    draw = random.Random(seed)
    parts = ['"', '""', "a", "b c", "it's", " ", ",", "\n", "\t", "pos"]
    n_read = {True: 0, False: 0}
    for _ in range(300):
        sep, is_quoted = draw.choice([",", "\t"]), draw.random() < 0.5
        pool = [part for part in parts if is_quoted or part not in (sep, "\n")]
        stray = ['"x', '"y"', '"z" z']
        texts = [
            "x" + "".join(draw.choices(pool, k=draw.randrange(6)))
            if draw.random() < 0.7
            else draw.choice(stray)
            for _ in range(draw.randrange(6, 13))
        ]
        labels = [draw.choice(["pos", "neg"]) for _ in texts]
        path = tmp_path / ("d.csv" if sep == "," else "d.tsv")
        if is_quoted:
            with open(path, "w", newline="") as file:
                csv.writer(file, delimiter=sep).writerows(
                    [("text", "label"), *zip(texts, labels, strict=True)]
                )
        else:
            write(path, texts, labels, sep)
        try:
            data = read_data(path)
        except DataError:
            continue
        n_read[is_quoted] += 1
        assert data.labels == labels
        if is_quoted:
            assert items(data) == texts
    assert n_read[True] > 125
    assert n_read[False] > 50


def test_quoting_is_validated(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", TEXTS[:0], [], ",")
    for wrong in ("quoted", 2, True, 1.5, []):
        with pytest.raises(
            DataError, match=r"quoting is .* give 'minimal' if quotes enclose cells"
        ):
            read_data(path, quoting=wrong)  # type: ignore[arg-type]
    for argument in ({"quoting": "none"}, {"encoding": "utf-8"}):
        with pytest.raises(DataError, match="are of a text file, and data is none"):
            read_data((TEXTS, LABELS), **argument)  # type: ignore[arg-type]


def test_options_that_a_file_has_not(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a", "label": 1}\n')
    with pytest.raises(DataError, match=r"quoting is of \.csv, \.tsv files, and data is "):
        read_data(path, quoting="none")
    path.rename(tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"encoding is of \.csv, \.tsv, \.jsonl, \.ndjson files"):
        read_data(tmp_path / "d.parquet", encoding="utf-8")


def test_stray_quotes_in_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "y.csv"
    path.write_text('a\nb\n"a\nb\n')
    with pytest.raises(DataError, match=r"line 3: a quote begins a cell .* remove the quote"):
        read_rows(path)
    path.write_text('a\nb\n"a\nb\na"\nb\n')
    with pytest.raises(DataError, match="line 3: a quote"):
        read_rows(path)
    path.write_text('"a"\n"b ""c"""\n')
    assert [row for _, row in read_rows(path)] == [["a"], ['b "c"']]


ACCENTED = ["déjà vu", "naïve café", "Grüße", "año", "niño", "garçon"]


def save(path: Path, encoding: str, texts: list[str] = ACCENTED) -> Path:
    lines = ["text,label", *(f"{text},{i % 2}" for i, text in enumerate(texts)), ""]
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_a_file_tells(tmp_path: Path, encoding: str) -> None:
    assert items(read_data(save(tmp_path / "d.csv", encoding))) == ACCENTED
    if encoding == "utf-16":
        content = "\ufefftext,label\na,1\nb,0\n".encode("utf-16-be")
        (tmp_path / "b.csv").write_bytes(content)
        assert items(read_data(tmp_path / "b.csv")) == ["a", "b"]
        rows = "".join(
            json.dumps({"text": t, "label": i % 2}, ensure_ascii=False) + "\n"
            for i, t in enumerate(ACCENTED)
        )
        (tmp_path / "d.jsonl").write_bytes(rows.encode("utf-16"))
        assert items(read_data(tmp_path / "d.jsonl")) == ACCENTED


@pytest.mark.parametrize(
    ("encoding", "texts", "message", "remedy"),
    [
        (
            "latin-1",
            ACCENTED,
            "it may be Latin-1 or Windows-1252; pass encoding='cp1252'",
            "cp1252",
        ),
        ("cp1252", ["“yes”", "café – 5 €", "x"], "it may be Windows-1252; pass", "cp1252"),
        (
            "latin-1",
            ["voilà café \x81", "b"],
            "it may be Latin-1; pass encoding='latin-1'",
            "latin-1",
        ),
        ("utf-16-le", ACCENTED, "it may be UTF-16 without .* encoding='utf-16-le'", "utf-16-le"),
        ("utf-16-be", ACCENTED, "it may be UTF-16 without .* encoding='utf-16-be'", "utf-16-be"),
        (
            "gb18030",
            ["中文文本分类", "机器学习模型"],
            "pass its encoding=, such as 'gb18030'",
            "gb18030",
        ),
        ("shift_jis", ["日本語の文章", "機械学習"], "pass its encoding=, such as", "shift_jis"),
        ("cp1251", ["русский текст", "ещё один"], "pass its encoding=, such as", "cp1251"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_encodings_that_a_file_does_not_tell(
    tmp_path: Path, encoding: str, texts: list[str], message: str, remedy: str, suffix: str
) -> None:
    path = save(tmp_path / "d.csv", encoding, texts)
    if suffix == ".jsonl":
        rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts)]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        path = tmp_path / "d.jsonl"
        path.write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=message):
        read_data(path)
    assert items(read_data(path, encoding=remedy)) == texts


def test_lines_of_json_that_are_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a", "label": 1}\n' + "[" * 100_000)
    with pytest.raises(DataError, match="line 2"):
        read_data(path)


def test_the_place_of_a_byte_is_said(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b"text,label\na,1\nb\xe9,2\n")
    with pytest.raises(DataError, match=r"is not in UTF-8: byte 0xe9 at position 16 \(line 3\)"):
        read_data(path)
    path.write_bytes("text,label\nGrüße,1\nüber,0\n".encode() + b"b\xe9,2\n")
    with pytest.raises(DataError, match=r"is UTF-8 but for byte 0xe9 .* \(line 4\); correct that"):
        read_data(path)
    path.write_bytes(b"text,label\n" + b"a,1\n" * 30_000 + b"b\xe9,2\n")
    with pytest.raises(DataError, match=r"byte 0xe9 at position 120012 \(line 30002\)"):
        read_data(path)
    with pytest.raises(DataError, match=r"is not in ASCII, the given encoding: byte 0xe9"):
        read_data(path, encoding="ascii")
    with pytest.raises(DataError, match="encoding is 'latin-8x', which Python does not know"):
        read_data(path, encoding="latin-8x")
    path.write_bytes(b"text,label\na,1\nb\xe9,2\n")
    with pytest.raises(DataError, match=r"position 16 .*; save it as UTF-8"):
        read_rows(path)  # where no argument can be advised


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_long_texts(tmp_path: Path, suffix: str) -> None:
    before = csv.field_size_limit()
    texts = ["long " * 40_000, 'quoted "' * 40_000, "short"]
    path = tmp_path / f"d{suffix}"
    if suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps({"text": t, "label": i}) + "\n" for i, t in enumerate(texts))
        )
    else:
        with open(path, "w", newline="") as file:
            rows = [("text", "label"), *((t, i) for i, t in enumerate(texts))]
            csv.writer(file, delimiter="," if suffix == ".csv" else "\t").writerows(rows)
    assert items(read_data(path)) == texts
    assert csv.field_size_limit() == before


def test_the_index_that_pandas_writes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS, "label": LABELS})
    path = tmp_path / "d.csv"
    frames = [
        frame,
        frame[::-1],
        frame.set_index(pandas.Index([f"id{i}" for i in range(N)])),
        frame.set_index(pandas.MultiIndex.from_product([[0, 1], range(N // 2)])),
    ]
    for form in frames:
        form.to_csv(path)
        data = read_data(path)
        assert items(data) == list(form["text"])
        assert (
            data.notes[0]
            == f"{path}: 'Unnamed: 0', a column without a name, was taken for an index"
        )
    frame.rename(columns={"text": "review", "label": "stars"}).to_csv(path)
    assert items(read_data(path, label="stars")) == TEXTS  # the only other column
    pandas.read_csv(path).to_csv(path)  # ",Unnamed: 0,review,stars"
    assert items(read_data(path, label="stars")) == TEXTS
    assert items(read_data(path, label="stars", text="review")) == TEXTS
    assert items(read_data(pandas.read_csv(path), label="stars")) == TEXTS
    frame.to_csv(path, sep="\t", index_label="id")
    (tmp_path / "d.tsv").write_text(path.read_text())
    assert read_data(tmp_path / "d.tsv").notes == ()
    for suffix in (".parquet", ".PARQUET"):
        frame[::2].to_parquet(tmp_path / f"d{suffix}")
        assert items(read_data(tmp_path / f"d{suffix}")) == TEXTS[::2]
    frame[::2].rename(columns={"text": "review"}).to_parquet(tmp_path / "d.parquet")
    assert items(read_data(tmp_path / "d.parquet")) == TEXTS[::2]


def test_other_columns_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label,,\na,1,,\nb,0,, \n")  # as spreadsheets write
    assert items(read_data(path)) == ["a", "b"]
    for content in ("text,,label\na,1,2\n", "text,label,\na,1,2\n", "\na\n"):
        path.write_text(content)
        with pytest.raises(DataError):
            read_data(path)
    path.write_text(",label\na,1\nb,0\n")
    with pytest.raises(DataError, match="has columns Unnamed: 0; say which with text="):
        read_data(path)
    assert items(read_data(path, text="Unnamed: 0")) == ["a", "b"]


def test_the_suffixes_of_labels_include_text(tmp_path: Path) -> None:
    from transferability.io._sources import load_labels, parse_source

    path = tmp_path / "y.xlsx"
    path.touch()
    with pytest.raises(DataError, match=r"neither an \.npy file nor one of \.npz, .*\.csv, \.txt;"):
        load_labels(path)
    with pytest.raises(DataError, match=r"neither an \.npy file nor one of \.npz, .*\.pth;"):
        parse_source(path)  # features are not text


@pytest.mark.parametrize(
    ("suffix", "delimiter", "message"),
    [
        (".csv", ";", "separate columns by commas in this format, not by semicolons"),
        (".csv", "\t", "separate columns by commas in this format, not by tabs"),
        (".tsv", ",", "separate columns by tabs in this format, not by commas"),
        (".csv", "|", "separate columns by commas in this format, not by vertical bars"),
    ],
)
def test_another_delimiter_is_named(
    tmp_path: Path, suffix: str, delimiter: str, message: str
) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_text(f"text{delimiter}label\n" + f"one, or two{delimiter}1\n" * 4)
    with pytest.raises(DataError, match=f"its first line is one column, .*; {message}$"):
        read_data(path)


def test_other_suffixes_of_the_same_formats(tmp_path: Path) -> None:
    (tmp_path / "d.ndjson").write_text('{"text": "é", "label": 1}\n', encoding="cp1252")
    assert items(read_data(tmp_path / "d.ndjson", encoding="cp1252")) == ["é"]
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"text": TEXTS, "label": LABELS}).to_parquet(tmp_path / "d.pq")
    assert items(read_data(tmp_path / "d.pq")) == list(TEXTS)


@pytest.mark.parametrize("suffix", [".CSV", ".Csv", ".TSV", ".JSONL"])
def test_suffixes_in_any_case(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"d{suffix}", TEXTS, LABELS, "\t" if suffix == ".TSV" else ";")
    if suffix.lower() == ".csv":
        path.write_text("text,label\na,1\nb,0\n")
    if suffix == ".JSONL":
        path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n')
    assert items(read_data(path))[:1] == [TEXTS[0] if suffix == ".TSV" else "a"]


def frames() -> list[Any]:
    columns = {"text": TEXTS, "label": LABELS}
    makers: list[Callable[[], Any]] = [
        lambda: columns,
        lambda: {"text": tuple(TEXTS), "label": np.array(LABELS)},
        lambda: {"label": np.array(LABELS, dtype=object), "id": range(N), "text": np.array(TEXTS)},
        lambda: pytest.importorskip("pandas").DataFrame(columns),
        lambda: dict(pytest.importorskip("pandas").DataFrame(columns)),
        lambda: pytest.importorskip("polars").DataFrame(columns),
        lambda: pytest.importorskip("polars").DataFrame(columns).to_dict(),
        lambda: pytest.importorskip("pyarrow").table(columns),
        lambda: pytest.importorskip("pyarrow").record_batch(columns),
        lambda: pytest.importorskip("pyarrow").Table.from_pandas(
            pytest.importorskip("pandas").DataFrame(columns, index=[f"id{i}" for i in range(N)])
        ),
        lambda: dict(
            zip(columns, pytest.importorskip("pyarrow").table(columns).columns, strict=True)
        ),
    ]
    return makers


@pytest.mark.parametrize("maker", frames())
def test_tables_in_memory_are_alike(maker: Callable[[], Any]) -> None:
    data = read_data(maker())
    assert data.digest() == read_data((TEXTS, LABELS)).digest()
    assert data.is_table
    named = read_data(maker(), label="label", text="text")
    assert items(named) == TEXTS
    with pytest.raises(DataError, match="data has no column 'y'; it has"):
        read_data(maker(), label="y")


def test_a_frame_of_one_column_of_texts() -> None:
    for library in ("pandas", "polars"):
        frame = pytest.importorskip(library).DataFrame({"text": TEXTS})
        data = read_data((frame, LABELS))
        assert (data.kind, items(data)) == ("text", list(TEXTS))
        numbers = pytest.importorskip(library).DataFrame({"x": [0.5] * N})
        assert read_data((numbers, LABELS)).items.shape == (N, 1)


def test_frames_of_labels() -> None:
    for library in ("pandas", "polars"):
        make = pytest.importorskip(library).DataFrame
        data = [read_data((TEXTS, make({"y": y}))) for y in (LABELS, LABELS[::-1])]
        assert data[0].digest() != data[1].digest()
        drawn = data[0].sample(4, 0)
        rows = [TEXTS.index(drawn.items[i]) for i in range(4)]
        found = np.asarray(drawn.labels).ravel().tolist()
        assert found == [LABELS[row] for row in rows]


def test_words_in_tables_in_memory() -> None:
    words, tags = [["a", "b"], ["c"]], [["O", "X"], ["O"]]
    columns = {"tokens": words, "ner_tags": tags}
    makers: list[Callable[[], Any]] = [
        lambda: columns,
        lambda: pytest.importorskip("pandas").DataFrame(columns),
        lambda: pytest.importorskip("polars").DataFrame(columns),
        lambda: pytest.importorskip("pyarrow").table(columns),
        lambda: pytest.importorskip("pandas").DataFrame(
            {"tokens": [np.array(row, dtype=object) for row in words], "ner_tags": tags}
        ),
    ]
    for make in makers:
        data = read_data(make())
        assert data.is_token
        assert items(data) == words
        assert [list(row) for row in data.labels] == tags


def test_columns_of_other_libraries() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    arrow = pytest.importorskip("pyarrow")
    for column in (pandas.Series, polars.Series, arrow.array, lambda v: arrow.chunked_array([v])):
        data = read_data((column(TEXTS), column(LABELS)))
        assert data.kind == "text"
        assert items(data) == TEXTS
        assert list(data.sample(5, 0).labels) == [LABELS[i] for i in data.sample(5, 0).items.rows]


def test_bad_tables_in_memory() -> None:
    with pytest.raises(DataError, match=r"row 0: column text holds .*, which is no text"):
        read_data({"text": np.zeros((2, 3)), "label": [0, 1]})
    with pytest.raises(DataError, match="differ in length: 'text' 20, 'label' 19"):
        read_data({"text": TEXTS, "label": LABELS[1:]})
    with pytest.raises(DtypeError, match=r"data\['text'\] is of type str"):
        read_data({"text": "a text", "label": [1]})
    with pytest.raises(DtypeError, match=r"data\['label'\] is of type int"):
        read_data({"text": TEXTS, "label": 1})
    with pytest.raises(DataError, match=r"has columns \(none\)"):
        read_data({})
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    with pytest.raises(DtypeError, match=r"LazyFrame; pass data\.collect\(\)"):
        read_data(polars.LazyFrame({"text": TEXTS, "label": LABELS}))
    twice = pandas.DataFrame([["a", "b", 1]], columns=["text", "text", "label"])
    with pytest.raises(DataError, match="data has two columns 'text'"):
        read_data(twice)
    numbered = read_data({0: ("a", 1), 1: ("b", 0)})  # a data set by position is no table
    assert items(numbered) == ["a", "b"]
