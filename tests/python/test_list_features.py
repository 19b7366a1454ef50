"""Features whose rows are lists, tuples or arrays: one column of a frame, a series, a list.

Kinds: every container of such a column gives the one number; rows that do not fit are named; a
frame with more than that column asks which is meant; anything else gets advice that works.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError, io
from transferability._inputs.arrays import as_features

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], 20)
X = RNG.normal(size=(60, 5))
X[:, 0] += Y
ROWS = X.tolist()
LOGME = float(tx.logme(X, Y))
LIST, FIXED = pa.list_(pa.float64()), pa.list_(pa.float64(), 5)


def _objects(rows: Any) -> Any:
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def _sliced(kind: Any) -> Any:
    """Chunks that begin within their buffers."""
    extra = [[9.0] * 5]
    halves = [
        pa.array(extra + ROWS[:25], kind).slice(1),
        pa.array(extra + ROWS[25:], kind).slice(1),
    ]
    return pa.chunked_array([halves[0], pa.array([], kind), halves[1]])


CONTAINERS = {
    "series of lists": lambda: pd.Series(ROWS),
    "series of arrays": lambda: pd.Series(list(X)),
    "series of tuples": lambda: pd.Series([*map(tuple, ROWS)]),
    "series of Arrow lists": lambda: pd.Series(ROWS, dtype=pd.ArrowDtype(LIST)),
    "frame of lists": lambda: pd.DataFrame({"emb": ROWS}),
    "frame of arrays": lambda: pd.DataFrame({"emb": list(X)}),
    "frame of Arrow lists": lambda: pd.DataFrame(
        {"emb": pd.Series(ROWS, dtype=pd.ArrowDtype(FIXED))}
    ),
    "polars List": lambda: pl.Series(ROWS),
    "polars Array": lambda: pl.Series(ROWS, dtype=pl.Array(pl.Float64, 5)),
    "polars objects": lambda: pl.Series([*X], dtype=pl.Object),
    "polars frame of List": lambda: pl.DataFrame({"emb": ROWS}),
    "polars frame of Array": lambda: pl.DataFrame(
        {"emb": pl.Series(ROWS, dtype=pl.Array(pl.Float64, 5))}
    ),
    "polars frame of objects": lambda: pl.DataFrame({"emb": pl.Series([*X], dtype=pl.Object)}),
    "Arrow list": lambda: pa.array(ROWS),
    "Arrow large list": lambda: pa.array(ROWS, pa.large_list(pa.float64())),
    "Arrow list view": lambda: pa.array(ROWS, pa.list_view(pa.float64())),
    "Arrow fixed-size list": lambda: pa.array(ROWS, FIXED),
    "Arrow tensor": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(X.copy()),
    "Arrow chunks": lambda: _sliced(LIST),
    "Arrow fixed chunks": lambda: _sliced(FIXED),
    "Arrow table": lambda: pa.table({"emb": ROWS}),
    "Arrow table with an index": lambda: pa.Table.from_pandas(
        pd.DataFrame({"emb": ROWS}, index=[f"r{i}" for i in range(60)])
    ),
    "Arrow batch": lambda: pa.record_batch({"emb": pa.array(ROWS)}),
    "objects": lambda: _objects(list(X)),
    "objects of a frame": lambda: pd.DataFrame({"emb": list(X)}).to_numpy(),
    "objects of lists": lambda: _objects(ROWS),
    "list of arrays": lambda: list(X),
    "series of polars series": lambda: pd.Series([pl.Series(row) for row in ROWS]),
    "list of series": lambda: [pd.Series(row) for row in ROWS],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_bits(container: str) -> None:
    array, _ = as_features(CONTAINERS[container]())
    np.testing.assert_array_equal(array, X)
    assert tx.logme(CONTAINERS[container](), Y) == LOGME
    stats = tx.Stats().update(CONTAINERS[container](), Y)
    assert (stats.logme(), stats.feature_names) == (LOGME, None)


@pytest.mark.parametrize("dtype", ["f4", "i8", "?"])
def test_numbers_of_other_types(dtype: str) -> None:
    x = (X * 3).astype(dtype)
    expected = float(tx.logme(x, Y))
    rows = x.tolist()
    for column in (pd.Series(list(x)), pl.Series(rows), pa.array(rows), pl.DataFrame({"e": rows})):
        assert tx.logme(column, Y) == pytest.approx(expected, rel=1e-6)


def test_columns_of_decimals_and_structs_of_polars() -> None:
    rows = X.round(3)
    decimals = pl.Series(rows.tolist()).cast(pl.List(pl.Decimal(9, 3)))
    assert tx.logme(decimals, Y) == pytest.approx(float(tx.logme(rows, Y)), rel=1e-12)
    frame = pl.DataFrame(X, schema=list("abcde"))
    structs, other = frame[:30].to_struct(), frame[30:][list("edcba")].to_struct()
    stats = tx.Stats().update(structs, Y[:30]).update(other, Y[30:])  # names match
    assert stats.logme() == pytest.approx(LOGME, rel=1e-12)


def test_lists_of_lists_are_pooled() -> None:
    for column in (pa.array(X.reshape(60, 5, 1).tolist()), pd.Series([*X.reshape(60, 5, 1)])):
        with pytest.raises(tx.TransferabilityError, match=r"pool .*mean\(axis="):
            tx.logme(column, Y)


def test_a_file_with_a_column_of_lists_beside_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame({"emb": list(X), "label": Y}, index=[f"r{i}" for i in range(60)])
    frame.to_parquet(tmp_path / "x.parquet")
    source = io.open_features(tmp_path / "x.parquet", label_column="label")
    assert io.stats_of(source).logme() == LOGME
    again = pd.read_parquet(tmp_path / "x.parquet")
    assert tx.logme(again["emb"], again["label"]) == LOGME
    assert tx.logme(again[["emb"]], again["label"]) == LOGME


# --- rows that do not fit ------------------------------------------------------------------------


def _with_row(row: Any) -> list[Any]:
    return [*ROWS[:7], row, *ROWS[8:]]


MAKE = {
    "list": list,
    "tuple": tuple,
    "series": pd.Series,
    "frame": lambda rows: pd.DataFrame({"emb": rows}),
    "polars": lambda rows: pl.Series(rows),
    "polars frame": lambda rows: pl.DataFrame({"emb": rows}),
    "Arrow": pa.array,
    "Arrow chunks": lambda rows: pa.chunked_array([rows[:3], rows[3:]]),
    "Arrow table": lambda rows: pa.table({"emb": rows}),
    "objects": _objects,
}


@pytest.mark.parametrize("kind", MAKE)
def test_rows_of_other_lengths_are_named(kind: str) -> None:
    column = ", column 'emb'" if "frame" in kind or "table" in kind else ""
    for row, n in (([1.0, 2.0, 3.0], "3 numbers"), ([1.0], "1 number"), ([], "0 numbers")):
        message = rf"features{column}, row 7 has {n} and row 0 has 5; rows must have one length"
        with pytest.raises(DataError, match=message):
            tx.logme(MAKE[kind](_with_row(row)), Y)
    first = MAKE[kind]([[], *ROWS[1:]])
    with pytest.raises(DataError, match="row 1 has 5 numbers and row 0 has 0"):
        tx.logme(first, Y)


@pytest.mark.parametrize("kind", MAKE)
def test_missing_rows_are_named(kind: str) -> None:
    with pytest.raises(DataError, match=r"row 7 is (None|null); drop that row and its label"):
        tx.logme(MAKE[kind](_with_row(None)), Y)
    inner = _with_row([1.0, 2.0, None, 4.0, 5.0])
    with pytest.raises(DataError, match=r"\[7, 2\] is (None|NaN)|row 7 holds None at 2"):
        tx.logme(MAKE[kind](inner), Y)


def test_other_rows_are_named() -> None:
    fixed = pa.array(_with_row(None), FIXED)
    for features, error, message in (
        (fixed, DataError, "row 7 is null"),
        (pl.Series(_with_row(None), dtype=pl.Array(pl.Float64, 5)), DataError, "row 7 is None"),
        (pd.Series(_with_row(np.nan)), DataError, "row 7 is nan"),
        (pd.Series(_with_row(pd.NA)), DataError, "row 7 is <NA>"),
        (pd.Series(_with_row(1.5)), DataError, "row 7 is 1.5 and row 0 is a list"),
        (pd.Series([1.0, "gone"] * 30, dtype=object), DtypeError, "row 1 is the text 'gone'"),
        (pd.Series([1.0, *ROWS[1:]]), DataError, "row 0 is 1.0 and row 1 is a list"),
        (pd.Series(_with_row("gone")), DtypeError, "row 7 is the text 'gone'"),
        (pd.Series(_with_row(["a"] * 5)), DtypeError, "row 7 holds the text 'a'"),
        (pd.Series(_with_row([[1, 2], [3]])), DataError, "row 7 does not convert"),
        (pl.Series([["a"]] * 60), DtypeError, "lists of String"),
        (pa.array([["a"]] * 60), DtypeError, "lists of string"),
        (pa.array([[[1.0]]] * 60), DtypeError, "lists of list<"),
        (
            [np.ones((3 + (i == 9), 4)) for i in range(60)],
            DataError,
            r"row 9 has shape \(4, 4\).*"
            r"row 0 has \(3, 4\); pool each",
        ),
        (pd.Series([np.ones((3, 4))] * 60), DataError, r"3-D of shape \(60, 3, 4\); pool first"),
        (pl.Series([[[1.0, 2.0]] * 3] * 60), DataError, r"3-D of shape \(60, 3, 2\); pool first"),
        ([[[1, 2], [3]]] * 60, DataError, "row 0, row 1 has 1 number and row 0 has 2"),
        (pd.Series([[]] * 60), DataError, r"empty: shape \(60, 0\)"),
        (pa.array([[]] * 60, LIST), DataError, r"empty: shape \(60, 0\)"),
        (pl.Series([[]] * 60, dtype=pl.List(pl.Float64)), DataError, r"empty: shape \(60, 0\)"),
    ):
        with pytest.raises(error, match=message):
            tx.logme(features, Y)


def test_a_column_of_lists_beside_others_is_a_question() -> None:
    table = {"emb": ROWS, "age": [1.0] * 60, "size": [2] * 60}
    for frame in (pd.DataFrame(table), pl.DataFrame(table), pa.table(table)):
        with pytest.raises(DtypeError, match=r"'emb', beside 'age', 'size'.*features\['emb'\]"):
            tx.logme(frame, Y)
        assert tx.logme(frame["emb"], Y) == LOGME  # as the message says
    with pytest.raises(DtypeError, match="'a', beside 'b'"):
        tx.logme(pd.DataFrame({"a": ROWS, "b": ROWS}), Y)


# --- advice for the rest -------------------------------------------------------------------------


def test_advice_works_where_it_is_given() -> None:
    """A conversion is advised if, and only if, it gives the numbers."""
    numbers = _objects([1.0] * 60)

    def convert(x: Any) -> Any:
        return np.asarray(x).astype(np.float64)

    for features, remedy in (
        (X.astype(object), convert),
        (X.astype(str), convert),
        (np.array([[Decimal("1.5"), Fraction(1, 2)]] * 60), convert),
        ([[Decimal("1.5"), Fraction(1, 2)]] * 60, convert),
        ([row.astype(object) for row in X], convert),
        (X.astype(str).tolist(), convert),
        (pd.Series([[Decimal("1.5"), 2]] * 60), lambda x: [convert(row) for row in x]),
        (pd.Series(X.astype(str).tolist()), lambda x: [convert(row) for row in x]),
        (numbers, lambda x: convert(x).reshape(-1, 1)),
        (pd.DataFrame(X).astype(object), lambda x: x.astype(float)),
        (pd.DataFrame(X).astype(str), lambda x: x.astype(float)),
        (pd.DataFrame({"a": ["1", "2.5"] * 30}), lambda x: x.astype(float)),
        (pl.DataFrame(X.astype(str)), lambda x: x.cast(pl.Float64)),
    ):
        with pytest.raises(
            DtypeError,
            match=r"np\.asarray\(.*\)\.astype\(np\.float64\)|astype\(float\)|polars\.Float64",
        ):
            tx.logme(features, Y)
        array, _ = as_features(remedy(features))
        assert array.dtype == np.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pd.Series([str(row) for row in ROWS]), r"the text '\[0.12.*json.loads"),
        (lambda: pd.DataFrame({"emb": [str(r) for r in ROWS]}), "'emb', row 0 .*json.loads"),
        (lambda: pd.Series([str(row) for row in X]), "parse the text first"),
        (lambda: pd.Series([row.tobytes() for row in X]), "np.frombuffer"),
        (lambda: pd.Series([row * 1j for row in X]), "holds the complex number .*take the real"),
        (lambda: pl.Series([*map(list, X.astype(str))]), "lists of String, .*lists of Float64"),
        (lambda: [{"a": 1.0}] * 60, "is a mapping.*one column for each"),
        (lambda: {"a": X[:, 0]}, r"of type dict; .*pandas.DataFrame\(features\)"),
        (lambda: (row for row in ROWS), r"of type generator; pass list\(features\)"),
        (lambda: pl.DataFrame(X).lazy(), r"lazy frame.*features.collect\(\)"),
        (lambda: np.zeros(60, [("a", float), ("b", float)]), "structured_to_unstructured"),
        (lambda: np.where(X > 2, "n/a", X.astype(object)), r"\[\d+, \d\] is the text 'n/a'"),
        (lambda: [["a", "b"]] * 60, r"features\[0, 0\] is the text 'a'; leave it out"),
        (
            lambda: pd.DataFrame({"a": X[:, 0], "b": ["1.5", "n/a"] * 30}),
            r"'b' \(str, such as 'n/a'\); leave them out",
        ),
        (
            lambda: pd.DataFrame({"a": X[:, 0], "z": X[:, 0] * 1j}),
            r"'z' \(complex128, such as .*\); take the real part",
        ),
        (
            lambda: pd.DataFrame({"a": X[:, 0], "t": pd.Timestamp("2020-01-01")}),
            r"'t' \(datetime64.*, such as Timestamp.*\); leave them out",
        ),
        (lambda: pd.DataFrame({"a": X[:, 0], "n": [None] * 60}), r"'n' \(object.*leave them out"),
        (
            lambda: pd.DataFrame({"k": pd.Series(["u"] * 60, dtype="category"), "w": "v"}),
            r"'k' \(category, such as 'u'\), 'w' \(str, such as 'v'\); leave them out",
        ),
        (lambda: pl.DataFrame({"a": X[:, 0], "s": [{"q": 1}] * 60}), r"'s' \(Struct.*one column"),
        (lambda: pa.table({"a": X[:, 0], "s": ["u"] * 60}), r"'s' \(string, such as 'u'\)"),
        (lambda: pd.DataFrame([["v"] * 9] * 60), "4 more|and 4"),
    ],
)
def test_advice_names_the_column_or_the_row(make: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message) as caught:
        tx.logme(make(), Y)
    assert "np.float64" not in str(caught.value)


def test_missing_cells_of_objects_are_named() -> None:
    holes = X.astype(object)
    holes[3, 1] = None
    with pytest.raises(DataError, match=r"features\[3, 1\] is None; every value must be finite"):
        tx.logme(holes, Y)
    table = pa.table({"a": X[:, 0], "b": pa.array([True, None] * 30)})
    with pytest.raises(DataError, match=r"features\[1, 1\] is NaN"):
        tx.logme(table, Y)
    decimals = pl.DataFrame({"a": X[:, 0]}).with_columns(pl.lit("1.5").cast(pl.Decimal(9, 2)))
    assert tx.logme(decimals, Y) == pytest.approx(
        float(tx.logme(np.column_stack([X[:, 0], np.full(60, 1.5)]), Y)), rel=1e-12
    )
