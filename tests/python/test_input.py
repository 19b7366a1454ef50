"""Every container and layout gives the same number; every bad input a named error."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError
from transferability._inputs.arrays import as_features

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")


class _Arrayish:
    """Something that only knows ``__array__``."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.array, dtype=dtype)


class _Capsule:
    """Something that only knows DLPack."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def _unaligned(x: Any) -> Any:
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    out = buffer[1:].view(x.dtype).reshape(x.shape)
    out[...] = x
    assert not out.flags.aligned
    return out


def _read_only(x: Any) -> Any:
    out = x.copy()
    out.flags.writeable = False
    return out


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "negative": lambda x: x[::-1].copy()[::-1],
    "read-only": _read_only,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": _unaligned,
    "longdouble": lambda x: x.astype(np.longdouble),
    "list": lambda x: x.tolist(),
    "tuple of arrays": tuple,
    "buffer": memoryview,
    "__array__": _Arrayish,
    "dlpack": _Capsule,
    "pandas": pd.DataFrame,
    "pandas nullable": lambda x: pd.DataFrame(x).astype("Float64"),
    "polars": lambda x: pl.DataFrame(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_container_gives_the_same_number(layout: str, features: Any, labels: Any) -> None:
    expected = tx.logme(features, labels)
    assert tx.logme(LAYOUTS[layout](features), labels) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["f2", "f4", "i1", "u2", "i8", "u8", "?"])
def test_every_dtype_is_read_exactly(dtype: str, features: Any, labels: Any) -> None:
    array = np.abs(np.round(features * 10)).astype(dtype)
    expected = tx.logme(array.astype(np.float64), labels)
    assert tx.logme(array, labels) == pytest.approx(expected, rel=1e-12)


def test_memory_maps_are_read(tmp_path: Path, features: Any, labels: Any) -> None:
    np.save(tmp_path / "x.npy", features)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert tx.logme(mapped, labels) == tx.logme(features, labels)


def test_frames_with_boolean_columns(features: Any, labels: Any) -> None:
    frame = {"a": features[:, 0], "b": features[:, 1] > 0}
    expected = tx.logme(np.column_stack(list(frame.values())), labels)
    assert tx.logme(pd.DataFrame(frame), labels) == pytest.approx(expected, rel=1e-12)
    assert tx.logme(pl.DataFrame(frame), labels) == pytest.approx(expected, rel=1e-12)


def test_torch_tensors(features: Any, labels: Any) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(features, requires_grad=True)
    assert tx.logme(tensor, torch.tensor(labels)) == tx.logme(features, labels)
    half = tensor.to(torch.bfloat16)
    assert tx.logme(half, labels) == tx.logme(half.detach().float().numpy(), labels)


class _Tensor:
    """As much of a torch tensor as is used, on a device that this machine need not have."""

    layout, dtype = "strided", "bfloat16"
    is_nested = is_quantized = False

    def __init__(self, array: Any, device: str = "cuda:1") -> None:
        self.array, self.device = array, types.SimpleNamespace(type=device[:4])

    def detach(self) -> _Tensor:
        return self

    resolve_conj = resolve_neg = float = detach

    def cpu(self) -> _Tensor:
        return _Tensor(self.array, "cpu")

    def numpy(self) -> Any:
        assert self.device.type == "cpu"
        if self.dtype == "float8":
            raise TypeError("Got unsupported ScalarType Float8")
        return self.array


def test_tensors_on_a_gpu_are_moved_with_a_note(
    monkeypatch: pytest.MonkeyPatch, features: Any, labels: Any
) -> None:
    torch = types.SimpleNamespace(Tensor=_Tensor, strided="strided", bfloat16="bfloat16")
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.warns(tx.TransferabilityWarning, match="copied to the CPU"):
        score = tx.logme(_Tensor(features), labels)
    assert score == tx.logme(features, labels)
    ranking = tx.rank({"gpu": _Tensor(features)}, _Tensor(labels, "cpu"))
    assert "copied to the CPU" in ranking.best.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "sparse_coo"}, r"sparse tensor; pass features.to_dense\(\)"),
        ({"is_nested": True, "layout": "jagged"}, "nested tensor; pass a list of its rows"),
        ({"is_quantized": True}, r"quantized tensor; pass features.dequantize\(\)"),
        ({"device": types.SimpleNamespace(type="meta")}, "meta tensor; it has no data"),
        ({"dtype": "float8", "array": None}, r"dtype float8.*pass features.float\(\)"),
    ],
)
def test_odd_tensors_are_refused_with_what_to_do(
    change: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    features: Any,
    labels: Any,
) -> None:
    torch = types.SimpleNamespace(Tensor=_Tensor, strided="strided", bfloat16="bfloat16")
    monkeypatch.setitem(sys.modules, "torch", torch)
    tensor = _Tensor(features, "cpu")
    vars(tensor).update(change)
    with pytest.raises(DtypeError, match=message):
        tx.logme(tensor, labels)


@pytest.mark.parametrize(
    "layout",
    ["fortran", "strided", "negative", "read-only", "buffer", "__array__", "dlpack", "pandas"],
)
def test_no_copy_where_the_layout_allows(layout: str, features: Any) -> None:
    container = LAYOUTS[layout](features)
    array, _ = as_features(container)
    again, _ = as_features(container)
    assert np.shares_memory(array, again)


class _Sparse:
    nnz = 0

    def toarray(self) -> None: ...


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda x: x[:, 0], DataError, r"2-D.*got 1-D of shape \(90,\).*reshape\(-1, 1\)"),
        (lambda x: x[:, :, None], DataError, r"3-D.*pool first.*mean\(axis=1\)"),
        (lambda x: x[:, :, None, None], DataError, r"pool first.*mean\(axis=\(2, 3\)\)"),
        (lambda x: x[:0], DataError, r"empty: shape \(0, 6\)"),
        (lambda x: x[:, :0], DataError, r"empty: shape \(90, 0\)"),
        (lambda x: x[:80], DataError, "labels has 90 entries but features has 80 rows"),
        (lambda x: x.astype(complex), DtypeError, "complex128.*modulus"),
        (lambda x: x.astype(object), DtypeError, "object.*astype"),
        (lambda x: x.astype(str), DtypeError, "real numbers, got dtype"),
        (lambda x: x.astype("M8[s]"), DtypeError, "datetime64"),
        (lambda x: np.ma.masked_less(x, 0), DtypeError, r"masked.*filled"),
        (lambda x: _Sparse(), DtypeError, r"sparse.*toarray\(\)"),
        (lambda x: [[1, 2], [3]], DataError, r"row 1 has 1 number and row 0 has 2"),
        (lambda x: "feats.npy", DtypeError, "path 'feats.npy'; load it first"),
        (lambda x: pd.DataFrame({"a": x[:, 0], "b": "z"}), DtypeError, "not numeric: 'b'"),
        (lambda x: pl.DataFrame({"a": x[:, 0], "b": "z"}), DtypeError, "not numeric: 'b'"),
        (lambda x: np.where(np.arange(540).reshape(90, 6) == 57, np.nan, x), DataError, "9, 3"),
        (lambda x: np.where(np.arange(540).reshape(90, 6) == 57, np.inf, x), DataError, "9, 3"),
    ],
)
def test_bad_features_are_named(
    bad: Any, error: type[Exception], message: str, features: Any, labels: Any
) -> None:
    with pytest.raises(error, match=message):
        tx.logme(bad(features), labels)


def test_one_row_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        tx.logme([[1.0, 2.0]], [1])


def test_missing_features_in_frames_become_a_position(features: Any, labels: Any) -> None:
    frame = pd.DataFrame(features).astype("Float64")
    frame.iloc[4, 2] = pd.NA
    with pytest.raises(DataError, match="4, 2"):
        tx.logme(frame, labels)


NAMES = np.array(["cat", "dog", "eel"])
LABELS = {
    "list": lambda y: y.tolist(),
    "float": lambda y: y.astype(float),
    "int8": lambda y: y.astype(np.int8),
    "column": lambda y: y[:, None],
    "object": lambda y: y.astype(object),
    "strings": lambda y: NAMES[np.unique(y, return_inverse=True)[1]],
    "string list": lambda y: NAMES[np.unique(y, return_inverse=True)[1]].tolist(),
    "bytes": lambda y: NAMES[np.unique(y, return_inverse=True)[1]].astype("S"),
    "bytes list": lambda y: NAMES[np.unique(y, return_inverse=True)[1]].astype("S").tolist(),
    "float16": lambda y: y.astype(np.float16),
    "float column": lambda y: y[:, None].astype(float),
    "pandas": pd.Series,
    "pandas strings": lambda y: pd.Series(y).map({-3: "a", 4: "b", 70: "c"}),
    "pandas category": lambda y: pd.Series(y).astype("category"),
    "pandas nullable": lambda y: pd.Series(y).astype("Int64"),
    "polars": pl.Series,
    "polars strings": lambda y: pl.Series(y).cast(pl.String),
    "polars categorical": lambda y: pl.Series(y).cast(pl.String).cast(pl.Categorical),
}


@pytest.mark.parametrize("kind", LABELS)
def test_every_kind_of_label_gives_the_same_number(kind: str, features: Any, labels: Any) -> None:
    score = tx.logme(features, LABELS[kind](labels))
    assert score == pytest.approx(tx.logme(features, labels), rel=1e-12)
    assert (score.task, score.n_classes) == ("classification", 3)


def test_classes_are_those_that_occur(features: Any, labels: Any) -> None:
    assert tx.logme(features, labels).classes == (-3, 4, 70)
    assert tx.logme(features, np.where(labels > 0, "up", "down")).classes == ("down", "up")


def test_boolean_classes_are_booleans(features: Any) -> None:
    labels = features[:, 0] > 0
    stats = tx.Stats().update(features[:50], labels[:50]).update(features[50:], labels[50:])
    for score in (tx.logme(features, labels), stats.score(), tx.logme(features, labels.tolist())):
        assert str(score.classes) == str(score.targets) == "(False, True)"
    assert str(tx.logme(features, labels.astype(int)).classes) == "(0, 1)"
    with pytest.warns(tx.TransferabilityWarning, match="single class"):
        assert str(tx.logme(features, np.ones(90, bool)).classes) == "(True,)"


@pytest.mark.parametrize(
    ("make", "task", "word"),
    [
        (lambda x, y: y, "classification", "integers"),
        (lambda x, y: y > 0, "classification", "booleans"),
        (lambda x, y: y.astype(str), "classification", "strings"),
        (lambda x, y: y.astype(float), "classification", "whole numbers"),
        (lambda x, y: x[:, 0] + np.sin(y), "regression", "real numbers"),
        (lambda x, y: np.arange(90.0), "regression", "real numbers"),
        (lambda x, y: np.arange(90.0)[:, None], "regression", "real numbers"),
        (lambda x, y: y[:, None].astype(float), "classification", "whole numbers"),
        (lambda x, y: np.arange(90).astype(str).repeat(2)[:90], "classification", "strings"),
        (lambda x, y: np.sin(x[:, :2] * 9), "regression", "2-D array of real numbers"),
        (lambda x, y: (x[:, :2] > 0).astype(int), "multilabel", "2-D array of 0 and 1"),
        (lambda x, y: np.eye(3)[np.arange(90) % 3], "multilabel", "argmax"),
    ],
)
def test_auto_decides_and_says_so(
    make: Any, task: str, word: str, features: Any, labels: Any
) -> None:
    score = tx.logme(features, make(features, labels))
    assert score.task == task
    assert word in score.task_note


@pytest.mark.parametrize(
    ("bad", "task", "error", "message"),
    [
        (lambda y: [None, *y[1:].tolist()], "auto", DataError, "1 missing values.*position 0"),
        (lambda y: ["a", None, float("nan")] * 30, "auto", DataError, "60 missing.*position 1"),
        (lambda y: np.where(y > 4, np.nan, y), "auto", DataError, "missing values"),
        (lambda y: pd.Series(y).astype("Int64").where(y < 5), "auto", DataError, "NA"),
        (lambda y: pd.Series(["a", None, "b"] * 30, dtype="category"), "auto", DataError, "30 mis"),
        (lambda y: pl.Series(["a", "b", None] * 30), "auto", DataError, "position 2"),
        (lambda y: ["a", 1, "b"] * 30, "auto", DtypeError, "int, str; use one kind"),
        (lambda y: y.astype(complex), "auto", DtypeError, "complex"),
        (lambda y: [{}] * 90, "auto", DtypeError, "dict"),
        (lambda y: np.arange(90), "auto", DataError, "90 distinct integers in 90 rows.*task="),
        (lambda y: np.arange(180).reshape(90, 2), "auto", DataError, r"\(90, 2\).*task='regr"),
        (lambda y: y + 0.5, "classification", DataError, r"labels\[0\] is .*task='regression'"),
        (lambda y: np.ones((90, 2)), "classification", DataError, "not one class per row"),
        (lambda y: [*"ab"] * 45, "regression", DtypeError, "labels are strings, such as 'a'"),
        (lambda y: y, "multilabel", DataError, "multilabel needs 0 and 1"),
        (lambda y: np.where(y > 4, np.inf, y + 0.5), "regression", DataError, "infinite values"),
        (lambda y: np.where(y > 4, np.inf, y), "classification", DataError, "infinite values"),
        (lambda y: np.where(y > 4, -np.inf, y).astype("f2"), "auto", DataError, "infinite values"),
        (lambda y: [*map(str, range(46)), *"0" * 44], "auto", DataError, "46 distinct strings.*fl"),
        (lambda y: [b"\xff", b"a"] * 45, "auto", DataError, "not UTF-8.*decode"),
        (lambda y: [b"a", 1] * 45, "auto", DtypeError, "bytes, int; use one kind"),
        (lambda y: "y.npy", "auto", DtypeError, r"path 'y.npy'.*np.load\('y.npy'\); rank and"),
        (lambda y: "y.tsv", "auto", DtypeError, r"path 'y.tsv'; load it first; rank and io.stats"),
        (lambda y: np.where(y > 4, 2.0**63, 0), "classification", DataError, "64-bit"),
        (lambda y: np.where(y > 4, -(2.0**64), 0), "classification", DataError, "64-bit"),
        (lambda y: np.where(y > 4, 2**63, 0).astype("u8"), "auto", DataError, "64-bit"),
        (lambda y: np.ones((90, 2)), "multilabel", DataError, "nothing to predict"),
        (lambda y: y, "clustering", DataError, "task is 'clustering'"),
        (lambda y: 3, "auto", DataError, "0-D.*give one label"),
        (lambda y: (label for label in y), "auto", DataError, "of type generator; give one label"),
        (lambda y: set(y.tolist()), "auto", DataError, "of type set; give one label"),
        (lambda y: {"y": y}, "auto", DataError, "of type dict; give one label"),
        (lambda y: [], "auto", DataError, "empty"),
        (lambda y: [2**70, 1] * 45, "auto", DataError, "64-bit"),
        (lambda y: np.full(90, 2.5), "regression", DataError, "constant"),
        (lambda y: y[:5], "auto", DataError, "5 entries but features has 90|distinct"),
    ],
)
def test_bad_labels_are_named(
    bad: Any, task: str, error: type[Exception], message: str, features: Any, labels: Any
) -> None:
    with pytest.raises(error, match=message):
        tx.logme(features, bad(labels), task=task)


def test_the_ends_of_64_bit_ids_are_kept(features: Any) -> None:
    ends = (-(2**63), 2**63 - 1)
    assert tx.logme(features, np.array(ends)[np.arange(90) % 2]).classes == ends


def test_zero_targets_are_refused(features: Any) -> None:
    with pytest.raises(DataError, match="zero"):
        tx.logme(features, np.zeros(90), task="regression", intercept=False)


def test_one_class_is_defined_and_warns(features: Any) -> None:
    with pytest.warns(tx.TransferabilityWarning, match="single class"):
        score = tx.logme(features, np.full(90, 5))
    assert np.isfinite(score)


def test_flat_multilabel_columns_are_left_out(features: Any) -> None:
    columns = np.column_stack([features[:, 0] > 0, np.ones(90), features[:, 1] > 0, np.zeros(90)])
    with pytest.warns(tx.TransferabilityWarning, match="2 of 4 label columns.*: 1, 3"):
        score = tx.logme(features, columns)
    assert score.targets == (0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score == pytest.approx(tx.logme(features, columns[:, [0, 2]]), rel=1e-12)
    frame = pd.DataFrame(columns[:, [0, 2]].astype(int), columns=["red", "blue"])
    assert tx.logme(features, frame).targets == ("red", "blue")


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"intercept": "yes"}, DataError, "intercept is 'yes'"),
        ({"precision": "half"}, DataError, "precision is 'half'"),
        ({"method": "qr"}, DataError, "method is 'qr'"),
        ({"n_threads": 0}, DataError, "between 1 and 128"),
        ({"n_threads": 1.5}, DtypeError, "integer"),
    ],
)
def test_bad_options_are_named(
    option: dict[str, Any], error: type[Exception], message: str, features: Any, labels: Any
) -> None:
    with pytest.raises(error, match=message):
        tx.logme(features, labels, **option)


def test_thread_count_comes_from_argument_setting_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSFERABILITY_NUM_THREADS", "3")
    assert tx.get_num_threads() == 3
    tx.set_num_threads(5)
    try:
        assert tx.get_num_threads() == 5
    finally:
        tx.set_num_threads(None)
    monkeypatch.setenv("TRANSFERABILITY_NUM_THREADS", "many")
    with pytest.raises(DataError, match="NUM_THREADS is 'many'"):
        tx.get_num_threads()
    monkeypatch.delenv("TRANSFERABILITY_NUM_THREADS")
    assert tx.get_num_threads() >= 1


def test_integers_that_float64_would_round_are_refused() -> None:
    x = np.arange(60) % 7
    with pytest.raises(DataError, match=r"beyond 2\*\*53"):
        tx.logme((2**60 + x[:, None]).astype(np.int64), x > 2, intercept=True)
    offset = tx.logme((2**40 + x[:, None]).astype(np.int64), x > 2, intercept=True)
    assert offset == pytest.approx(tx.logme(x[:, None], x > 2, intercept=True), abs=1e-12)


@pytest.mark.parametrize("kind", ["int64", "uint64", "Int64", "UInt64", "polars", "arrow", "file"])
def test_so_are_those_beside_real_numbers(kind: str, tmp_path: Path) -> None:
    """Libraries of frames convert such a column to float64 with the others."""
    x, noise = np.arange(60) % 7, np.random.default_rng(0).normal(size=60)

    def frame(offset: int) -> Any:
        columns = {"f0": noise, "f1": offset + x}
        if kind == "polars":
            return pytest.importorskip("polars").DataFrame(columns)
        if kind in ("arrow", "file"):
            table = pytest.importorskip("pyarrow").table(columns)
            if kind == "arrow":
                return table
            pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "x.parquet")
            return tx.io.open_features(tmp_path / "x.parquet", key="f*")
        made = pytest.importorskip("pandas").DataFrame(columns)
        return made.astype({"f1": kind})

    expected = tx.logme(np.stack([noise, x], axis=1), x > 2, intercept=True)
    found = tx.score(frame(2**40), x > 2, "logme", intercept=True)
    assert found == pytest.approx(expected, abs=1e-12)
    with pytest.raises(DataError, match=r"up to 9007199254740999, beyond 2\*\*53"):
        tx.score(frame(2**53 + 1), x > 2, "logme", intercept=True)


@pytest.mark.parametrize("missing", [False, True])
def test_errors_call_arguments_as_the_function_does(missing: bool) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    short: Any = None if missing else [1.5, 2.0, 3.0]
    calls: dict[str, list[Any]] = {
        "targets": [
            lambda: tx.lin_mse(x, short),
            lambda: tx.lab_mse(abs(x) / abs(x).sum(1, keepdims=True), short),
            *(() if missing else (lambda: tx.Engine().score(x, targets=short),)),
        ],
        "samples": [lambda: tx.lidar(x, None if missing else [0, 0, 1])],
        "labels": [lambda: tx.logme(x, short), lambda: tx.Engine().score(x, short)],
    }
    for name, own in calls.items():
        for call in own:
            with pytest.raises(DataError, match=f"\\b{name}\\b") as error:
                call()
            others = {"labels", "targets", "samples"} - {name}
            assert not others & set(str(error.value).replace("n_samples", "").split())
    with pytest.raises(DataError, match=r"^source_outputs must be 2-D"):
        tx.lab_mse(x[0], [1.5, 2.0, 3.0])
