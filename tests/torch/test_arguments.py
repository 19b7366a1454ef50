"""Wrong arguments of ``rank_models`` are named before any model is loaded."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import transferability as tx
from transferability._inputs.arguments import check_counts, check_switches, read_ignored
from transferability._sweep.job import ExtractionOptions
from transferability.errors import DataError, DtypeError
from transferability.models import open_model
from transferability.torch._run import read_device

HERE = Path(__file__).parent
X = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
Y = X[:, 0] > 0

#: Wrong values by argument, with the class of the error and what it says is allowed.
WRONG: dict[str, list[tuple[Any, type[Exception], str]]] = {
    "aggregate": [("max", DataError, "'last', 'mean', 'best'")],
    "amp": [
        ("int8", DataError, "'bfloat16', 'float16'"),
        (torch.float16, DataError, "'bfloat16', 'float16'"),
        (True, DataError, "'bfloat16', 'float16'"),
    ],
    "bag": [(np.zeros(3), DataError, r"shape \(3,\) for 40 rows")],
    "bag_pool": [("median", DataError, "'mean', 'max'"), ("max", DataError, "give bag")],
    "batch_size": [(0, DataError, "at least 1"), ("8", DtypeError, "whole number")],
    "bio": [("drop", DataError, "'strip', 'keep'")],
    "cache": [(5, DtypeError, "the path of a folder"), (b"x", DtypeError, "the path of a folder")],
    "compile": [("no", DtypeError, "True or False"), (2, DtypeError, "True or False")],
    "device": [
        ("zz", DataError, "'cpu' or 'cuda:0'"),
        ("cpu:x", DataError, "'cpu' or 'cuda:0'"),
        (1.5, DtypeError, "'cpu' or 'cuda:0'"),
        (True, DtypeError, "'cpu' or 'cuda:0'"),
        (object(), DtypeError, "'cpu' or 'cuda:0'"),
        ("meta", DataError, "computes nothing"),
        ("cuda:99", DataError, "torch finds"),
        ("vulkan", DataError, "give 'cpu'"),
    ],
    "dtype": [
        ("int8", DataError, "'float32', 'float64', 'float16', 'bfloat16'"),
        (torch.float16, DataError, "'float32', 'float64', 'float16', 'bfloat16'"),
    ],
    "ignore": [
        (5, DtypeError, r"ignore=\[255\]"),
        ("255", DtypeError, r"ignore=\[255\]"),
        (["a"], DtypeError, r"ignore=\[255\]"),
        (np.array(5), DtypeError, r"ignore=\[255\]"),
    ],
    "isolate": [("no", DtypeError, "True or False")],
    "keep_features": [("float16", DtypeError, "True or False")],
    "layers": [
        (5, DtypeError, "'default', 'last', 'all'"),
        ([], DataError, "name at least one"),
        (["blocks.0", "blocks.0"], DataError, "'blocks.0' twice"),
    ],
    "max_length": [(0, DataError, "at least 1"), (2.5, DtypeError, "whole number")],
    "max_samples": [(0, DataError, "at least 1"), (True, DtypeError, "whole number")],
    "n_threads": [(0, DataError, "between 1 and 128"), ("2", DtypeError, "an integer")],
    "outputs": [("yes", DtypeError, "True or False")],
    "pool": [
        ("median", DataError, "choose from mean, cls"),
        (["cls", "median"], DataError, "choose from mean, cls"),
        ([["cls"]], DtypeError, "a list of names"),
        (["cls", "all"], DataError, "give pool='all' alone"),
        (["cls", "cls"], DataError, "'cls' twice"),
        ({"blocks.0": "cls"}, DtypeError, "a list of names"),
        ("first_subword", DataError, "no lists of words"),
    ],
    "positions": [(0, DataError, "at least 1"), (1.5, DtypeError, "whole number")],
    "progress": [("yes", DtypeError, "True, False, or a function")],
    "resume": [("no", DtypeError, "True or False")],
    "seed": [(-1, DataError, "at least 0"), (0.5, DtypeError, "whole number")],
    "stride": [(4, DataError, "a window of at least the stride")],
    "window": [(0, DataError, "at least 1"), (8.0, DtypeError, "whole number")],
}


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if str(HERE) not in sys.path:
        monkeypatch.syspath_prepend(str(HERE))


def seen_models(argument: str) -> tuple[list[str], Any]:
    """Return a list of the models that were begun, and the progress function that fills it."""
    begun: list[str] = []

    def note(state: Any) -> None:
        begun.extend([state.model] if state.model else [])

    return begun, None if argument == "progress" else note


@pytest.mark.parametrize(
    ("argument", "value", "error", "allowed"),
    [(name, *case) for name, cases in WRONG.items() for case in cases],
)
@pytest.mark.filterwarnings("ignore:.*(device|backend).*")
def test_a_wrong_value_is_named_before_a_model_is_loaded(
    argument: str, value: Any, error: type[Exception], allowed: str, tmp_path: Path
) -> None:
    begun, progress = seen_models(argument)
    options = {"cache": tmp_path, "isolate": False, "progress": progress, argument: value}
    with pytest.raises(error, match=allowed) as caught:
        tx.rank_models({"m": nn.Linear(12, 3)}, (X, Y), **options)
    assert argument in str(caught.value)
    assert begun == []


def test_the_table_has_every_argument_that_concerns_models() -> None:
    """Those of the data, the metrics and the columns are tested where these are read."""
    elsewhere = {
        *("models", "data", "label", "task", "text", "split", "encoding", "quoting", "metrics"),
        *("label_embeddings", "prior", "costs", "race", "options"),
    }
    assert {*inspect.signature(tx.rank_models).parameters} == {*WRONG} | elsewhere


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_here_is_named_by_a_process_of_its_own(tmp_path: Path) -> None:
    models = ["sweep_models:good", "torchvision:resnet18?weights=none"]
    begun, progress = seen_models("device")
    with pytest.raises(DataError, match="device is 'cuda', but torch finds no GPU here"):
        tx.rank_models(models[1], (X, Y), cache=tmp_path, device="cuda", progress=progress)
    with pytest.raises(DataError, match="device is 'zz'; give for example 'cpu'"):
        tx.rank_models(models, (X, Y), cache=tmp_path, device="zz", progress=progress)
    assert begun == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_models_that_do_not_run_on_torch_may_have_a_device_that_torch_lacks(tmp_path: Path) -> None:
    """Such as a graph for a build of onnxruntime with a GPU; the rows of others have the reason."""
    np.save(tmp_path / "saved.npy", X)
    models = {"saved": f"features:{tmp_path / 'saved.npy'}", "module": nn.Linear(12, 3)}
    ranking = tx.rank_models(models, (X, Y), cache=False, isolate=False, device="cuda")
    assert ranking["saved"].error is None
    assert "torch finds no GPU here" in str(ranking["module"].error)


def test_a_remembered_sweep_does_not_ask_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        "transferability._sweep.rank_models.check_device", lambda *given: asked.append(given[0])
    )
    np.save(tmp_path / "saved.npy", X)
    for _ in range(2):
        tx.rank_models(f"features:{tmp_path / 'saved.npy'}", (X, Y), cache=tmp_path, device="cpu:0")
    assert asked in (["cpu:0"], ["cpu:0", "cpu:0"])  # the file may be too new to be remembered


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": np.int64(8), "seed": np.int32(3), "n_threads": np.int64(1)},
        {"keep_features": np.True_, "outputs": 0, "compile": None, "resume": 1},
        {"ignore": {255, 254}},
        {"ignore": np.array([255])},
        {"ignore": (value for value in (1, 2))},
        {"device": torch.device("cpu")},
        {"device": "cpu"},
        {"cache": None},
        {"pool": "mean"},
        {"pool": ["mean", "max"]},
        {"layers": ("", "0.input")},
    ],
)
def test_what_is_right_is_accepted(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERABILITY_CACHE", str(tmp_path))
    model = nn.Sequential(nn.Linear(12, 3))
    chosen = {"cache": tmp_path, "isolate": False, **options}
    row = tx.rank_models({"m": model}, (X, Y), **chosen)[0]
    assert row.error is None, row.error


@pytest.mark.parametrize("pool", ["cls", "flatten", ["mean", "max"]])
def test_words_need_a_pooling_of_words(pool: Any) -> None:
    words = ([["a", "dog"], ["the", "cat"]] * 4, [["x", "y"], ["y", "x"]] * 4)
    with pytest.raises(DataError, match=r"does not make one row of each word.*'first_subword'"):
        tx.rank_models({"m": nn.Linear(2, 2)}, words, pool=pool, isolate=False)


def test_open_model_names_a_wrong_device_before_it_loads_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setattr(
        torchvision.models, "get_model", lambda *given, **more: pytest.fail("weights were loaded")
    )
    with pytest.raises(DataError, match="device is 'zz'"):
        open_model("torchvision:resnet18?weights=none", device="zz")
    with pytest.raises(DataError, match="dtype is 'int8'"):
        open_model("torchvision:resnet18?weights=none", dtype="int8")
    with pytest.raises(DtypeError, match="max_length must be a whole number"):
        open_model("hf:nowhere", max_length="8")  # type: ignore[arg-type]


def test_devices() -> None:
    assert read_device("cpu") == torch.device("cpu")
    assert read_device(torch.device("cpu")) == torch.device("cpu")
    assert read_device().type in ("cpu", "cuda")


def test_counts_switches_and_ignored_labels() -> None:
    assert check_counts(a=np.int8(3), b=None) == {"a": 3, "b": None}
    assert check_counts(0, a=0) == {"a": 0}
    assert check_switches(a=np.False_, b=1, c=None) == {"a": False, "b": True, "c": False}
    assert read_ignored([np.int64(255), torch.tensor(3), 0.5]) == (255, 3, 0.5)
    assert type(read_ignored(np.array([7]))[0]) is int
    options = [ExtractionOptions(positions=4, ignore=own) for own in ([255], {np.uint8(255)})]  # type: ignore[arg-type]
    assert options[0].key_facts() == options[1].key_facts()
