"""onnx: graphs by onnxruntime: layers, texts, and the batch that a graph declares."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_models as tiny
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import transferability as tx
from transferability import DataError, models
from transferability.models._label_embeddings import encode
from transferability.models._onnx import OnnxModel


def _dense_onnx(path: Path, module: nn.Sequential, batch: Any = "n") -> None:
    """Write Linear, ReLU, Linear as exporters write them."""
    weights = {
        f"{i}.{kind}": getattr(module[i], kind).detach().numpy()
        for i in (0, 2)
        for kind in ("weight", "bias")
    }
    nodes = [
        helper.make_node("Gemm", ["x", "0.weight", "0.bias"], ["first"], transB=1),
        helper.make_node("Relu", ["first"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "2.weight", "2.bias"], ["logits"], transB=1),
    ]
    ends = [("x", [batch, 4]), ("logits", [batch, 3])]
    _write_onnx(path, nodes, weights, *[(name, TensorProto.FLOAT, shape) for name, shape in ends])


def _lookup_onnx(path: Path, table: Any, tokens: Any = ("n", "t"), mask_tokens: Any = None) -> None:
    """Write an encoder of tokens that looks each one up, and one value for each text."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
    ]
    _write_onnx(
        path,
        nodes,
        {"table": table},
        ("input_ids", TensorProto.INT64, tokens),
        ("attention_mask", TensorProto.INT64, mask_tokens or tokens),
        ("last_hidden_state", TensorProto.FLOAT, [*tokens, table.shape[1]]),
        ("mask", TensorProto.FLOAT, mask_tokens or tokens),
    )


def _write_onnx(path: Path, nodes: Any, weights: dict[str, Any], *ends: Any) -> None:
    outputs = {name for node in nodes for name in node.output}
    values = [helper.make_tensor_value_info(*end) for end in ends]
    graph = helper.make_graph(
        nodes,
        "graph",
        [value for value in values if value.name not in outputs],
        [value for value in values if value.name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def _open_dense(path: Path, batch: Any) -> Any:
    torch.manual_seed(0)
    _dense_onnx(path, nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), batch)
    return models.open_model(str(path), device="cpu")


def test_onnx_arrays(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    path, x = tmp_path / "model.onnx", torch.randn(5, 4)
    _dense_onnx(path, module)
    model: Any = models.open_model(str(path), device="cpu")
    assert isinstance(model, OnnxModel)
    assert (model.kind, model.layers, model.module) == ("array", ("logits",), None)
    assert model.default_layer == "hidden"
    batch = model.collate(list(x.double()))
    found = model.features(batch, ["logits", "first"])
    with torch.no_grad():
        # Two implementations of float32 products of some six terms of size 1.
        np.testing.assert_allclose(found["logits"], module(x), rtol=0, atol=1e-6)
        np.testing.assert_allclose(found["first"], module[0](x), rtol=0, atol=1e-6)
        np.testing.assert_allclose(encode(model, list(x)), module[:2](x), rtol=0, atol=1e-6)
    with pytest.raises(DataError, match=r"no layer 'hiden' \(did you mean 'hidden'.* are logits"):
        model.features(batch, ["hiden"])
    with pytest.raises(DataError, match="takes 'x', but a batch has y"):
        model.features({"y": x}, ["logits"])
    with torch.no_grad():
        module[0].bias += 1
    _dense_onnx(tmp_path / "other.onnx", module)
    other = models.open_model(f"onnx:{tmp_path}/other.onnx", device="cpu")
    assert other.fingerprint() != model.fingerprint()
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match=r"bad\.onnx cannot be loaded"):
        models.open_model(f"onnx:{tmp_path}/bad.onnx")
    assert models.expand(f"onnx:{tmp_path}/*.onnx") == [
        f"onnx:{tmp_path}/{name}.onnx" for name in ("bad", "model", "other")
    ]


def test_onnx_texts(tmp_path: Path) -> None:
    n_tokens = tiny.word_pieces(tmp_path)
    table = np.random.default_rng(0).normal(size=(n_tokens, 5)).astype(np.float32)
    _lookup_onnx(tmp_path / "model.onnx", table)
    model = models.open_model(f"onnx:{tmp_path}/model.onnx", device="cpu")
    assert (model.kind, model.default_layer) == ("text", "last_hidden_state")
    assert model.layers == ("last_hidden_state", "mask")
    expected = []
    for text in tiny.TEXTS:
        ids = model.collate([text])["input_ids"][0]
        expected.append(table[ids].mean(axis=0))
    np.testing.assert_allclose(encode(model, tiny.TEXTS), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 33])
@pytest.mark.parametrize("batch", [1, 2, 3, 8, 64, None, "n"])
def test_graphs_run_with_the_batch_that_they_declare(
    tmp_path: Path, batch: Any, n_rows: int
) -> None:
    fixed = _open_dense(tmp_path / "fixed.onnx", batch)
    free = _open_dense(tmp_path / "free.onnx", "n")
    x = torch.randn(n_rows, 4)
    layers = ["first", "logits", "hidden"]
    found = fixed.features(fixed.collate(list(x)), layers)
    expected = free.features(free.collate(list(x)), layers)
    assert list(found) == layers
    for layer in layers:
        # Products of 4 and 6 terms of size 1, perhaps in another order.
        np.testing.assert_allclose(found[layer], expected[layer], rtol=0, atol=1e-6)
        assert found[layer].dtype == np.float32


@pytest.mark.parametrize("batch", [1, 5])
def test_exports_of_torch_without_dynamic_axes(tmp_path: Path, batch: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    path, x = tmp_path / "conv.onnx", torch.randn(12, 3, 9, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x[:batch],), path, dynamo=False)
    model: Any = models.open_model(str(path), device="cpu")
    with torch.no_grad():
        # Sums of 27 products, averaged.
        np.testing.assert_allclose(encode(model, list(x)), module[:4](x), rtol=0, atol=1e-6)
    with pytest.raises(
        DataError, match=rf"of shape \({batch}, 3, 9, 9\).*\(7, 3, 8, 9\); give items of shape \(3,"
    ):
        model.features(torch.zeros(7, 3, 8, 9), model.layers)
    with pytest.raises(DataError, match=r"has shape \(7, 3\); give items"):
        model.features(torch.zeros(7, 3), model.layers)


def test_rankings_of_graphs_with_a_fixed_batch(tmp_path: Path) -> None:
    for batch in (1, 7, "n"):
        _open_dense(tmp_path / f"{batch}.onnx", batch)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).numpy()
    labels = (x[:, 0] > 0).astype(int)
    paths = [f"onnx:{tmp_path}/{batch}.onnx" for batch in (1, 7, "n")]
    ranking = tx.rank_models(
        paths, (x, labels), batch_size=16, isolate=False, cache=tmp_path / "c", layers="all"
    )
    scores = [float(row.scores["logme"]) for row in ranking]
    # Rows that differ by float32 rounding, 1e-7, of a score of size 1.
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batch", [1, 3, "n"])
def test_texts_of_a_fixed_number_of_tokens(tmp_path: Path, batch: Any, side: str) -> None:
    (tmp_path / "free").mkdir()
    n_tokens = tiny.word_pieces(tmp_path / "free")
    config = tmp_path / "free" / "tokenizer_config.json"
    facts = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**facts, "padding_side": side}), encoding="utf-8")
    table = np.random.default_rng(0).normal(size=(n_tokens, 5)).astype(np.float32)
    for name, tokens in (("fixed", (batch, 40)), ("short", (batch, 6)), ("free", ("n", "t"))):
        if name != "free":
            shutil.copytree(tmp_path / "free", tmp_path / name)
        _lookup_onnx(tmp_path / name / "model.onnx", table, tokens)
    free, fixed, short = (
        models.open_model(f"onnx:{tmp_path}/{name}/model.onnx", device="cpu")
        for name in ("free", "fixed", "short")
    )
    assert (fixed.max_length, short.max_length) == (40, 6)
    batch_of = fixed.collate(tiny.TEXTS)
    assert {tuple(tokens.shape) for tokens in batch_of.values()} == {(len(tiny.TEXTS), 40)}
    padded = batch_of["attention_mask"][:, 0 if side == "left" else -1]
    assert not padded.any()
    rows = encode(free, tiny.TEXTS)
    np.testing.assert_allclose(encode(fixed, tiny.TEXTS), rows, rtol=0, atol=1e-6)
    cut = models.open_model(f"onnx:{tmp_path}/free/model.onnx?max_length=6", device="cpu")
    np.testing.assert_allclose(
        encode(short, tiny.TEXTS), encode(cut, tiny.TEXTS), rtol=0, atol=1e-6
    )
    assert fixed.fingerprint() != free.fingerprint()
    less = models.open_model(f"onnx:{tmp_path}/fixed/model.onnx?max_length=6", device="cpu")
    assert less.max_length == 6
    np.testing.assert_allclose(encode(less, tiny.TEXTS), encode(cut, tiny.TEXTS), rtol=0, atol=1e-6)


def test_each_input_declares_its_axes(tmp_path: Path) -> None:
    n_tokens = tiny.word_pieces(tmp_path)
    table = np.random.default_rng(0).normal(size=(n_tokens, 5)).astype(np.float32)
    path, results = tmp_path / "model.onnx", []
    for tokens, mask_tokens in (
        (("n", "t"), ("n", "t")),
        ((2, "t"), ("n", 40)),  # the rows of one input, the tokens of the other
        (("n", 40), (2, "t")),
    ):
        _lookup_onnx(path, table, tokens, mask_tokens)
        model = models.open_model(f"onnx:{path}", device="cpu")
        results.append(encode(model, tiny.TEXTS))
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(results[2], results[0], rtol=0, atol=1e-6)
    _lookup_onnx(path, table, (2, "t"), (3, "t"))
    with pytest.raises(DataError, match="different numbers of rows: input_ids 2, attention_mask 3"):
        models.open_model(f"onnx:{path}")
    _lookup_onnx(path, table, (1, 8), (1, 16))
    with pytest.raises(DataError, match="different numbers of tokens: input_ids 8, attention"):
        models.open_model(f"onnx:{path}")
    _lookup_onnx(path, table)
    ragged = {"input_ids": np.ones((2, 3)), "attention_mask": np.ones((1, 3))}
    with pytest.raises(DataError, match=r"as many rows, got .*'input_ids': 2, 'attention_mask': 1"):
        models.open_model(f"onnx:{path}").features(ragged, ["mask"])


@pytest.mark.parametrize("batch", [1, 3, "n"])
@pytest.mark.parametrize(
    ("operator", "attributes", "shape"),
    [
        ("ReduceMean", {"axes": [0], "keepdims": 0}, r"\(4,\)"),  # as squeeze() of a batch of 1
        ("ReduceMean", {"keepdims": 0}, r"\(\)"),
        ("Transpose", {}, r"\(4, {batch}\)"),
        ("Shape", {}, r"\(2,\)"),
    ],
)
def test_layers_without_a_batch_axis_are_refused(
    tmp_path: Path, batch: Any, operator: str, attributes: Any, shape: str
) -> None:
    path, size = tmp_path / "model.onnx", 5 if batch == "n" else batch
    kind = TensorProto.INT64 if operator == "Shape" else TensorProto.FLOAT
    nodes = [helper.make_node(operator, ["x"], ["y"], **attributes)]
    _write_onnx(path, nodes, {}, ("x", TensorProto.FLOAT, [batch, 4]), ("y", kind, None))
    model = models.open_model(str(path), device="cpu")
    expected = shape.replace("{batch}", str(size))
    with pytest.raises(
        DataError, match=rf"'y' of .*model\.onnx has shape {expected} for a batch of {size}; its fi"
    ):
        model.features(torch.zeros(5, 4), ["y"])


def test_a_batch_that_is_fixed_inside_the_graph(tmp_path: Path) -> None:
    """Axes are declared dynamic, but a Reshape was traced with a batch of 1."""
    ends = [("x", TensorProto.FLOAT, ["n", 2, 2]), ("y", TensorProto.FLOAT, None)]
    for target, message in (
        ([1, -1], r"has shape \(1, 12\) for a batch of 3; its first axis must be the batch"),
        ([1, 4], r"fails on a batch of 3: .*Reshape.*is fixed inside, give batch_size=1"),
    ):
        nodes = [helper.make_node("Reshape", ["x", "target"], ["y"])]
        _write_onnx(tmp_path / "model.onnx", nodes, {"target": np.array(target)}, *ends)
        model = models.open_model(str(tmp_path / "model.onnx"), device="cpu")
        with pytest.raises(DataError, match=message):
            model.features(torch.zeros(3, 2, 2), ["y"])
        x = list(torch.randn(3, 2, 2))
        rows = encode(model, x, batch_size=1)
        np.testing.assert_array_equal(rows, torch.stack(x).reshape(3, 4))


def test_layers_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path, x = tmp_path / "model.onnx", ("x", TensorProto.FLOAT, [1, 4])
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "zero"], ["y"]),
    ]
    _write_onnx(path, nodes, {"zero": np.array(0)}, x, ("y", TensorProto.FLOAT, None))
    model = models.open_model(str(path), device="cpu")
    with pytest.raises(DataError, match=r"'parts' of .* is a list, not an array; choose another"):
        model.features(torch.zeros(2, 4), ["parts"])
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Slice", ["places", "zero", "one"], ["y"]),
    ]
    ends = (x, ("y", TensorProto.INT64, None))
    _write_onnx(path, nodes, {"zero": np.array([0]), "one": np.array([1])}, *ends)
    model = models.open_model(str(path), device="cpu")
    with pytest.raises(DataError, match=r"'y' of .* has rows of shapes \(1,\) and \(2,\)"):
        model.features(torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0]]), ["y"])


def test_words_make_rows(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(tiny.word_pieces(tmp_path), 6)).astype(np.float32)
    _lookup_onnx(tmp_path / "model.onnx", table)
    words = [["the", "cat"], ["a", "dog", "sat"]] * 20
    tags = [["A", "B"], ["A", "B", "C"]] * 20
    row = tx.rank_models(
        str(tmp_path / "model.onnx"), (words, tags), cache=False, isolate=False, device="cpu"
    )[0]
    assert (row.error, row.n_samples) == (None, 100)


def test_threads_do_not_spin(tmp_path: Path) -> None:
    _dense_onnx(tmp_path / "model.onnx", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    tx.set_num_threads(1)
    try:
        model: Any = models.open_model(str(tmp_path / "model.onnx"), device="cpu")
    finally:
        tx.set_num_threads(None)
    options = model._graph._session(()).get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_lack_of_memory_is_one(tmp_path: Path) -> None:
    """A sweep halves the batch after a MemoryError."""
    path, size = tmp_path / "model.onnx", np.array([2**22, 2**20, 4])  # 70 terabytes
    nodes = [helper.make_node("Expand", ["x", "size"], ["y"])]
    ends = [("x", TensorProto.FLOAT, ["n", 1, 4]), ("y", TensorProto.FLOAT, None)]
    _write_onnx(path, nodes, {"size": size}, *ends)
    model = models.open_model(str(path), device="cpu")
    with pytest.raises(MemoryError, match=r"on a batch of 1: .*Failed to allocate"):
        model.features(torch.zeros(1, 1, 4), ["y"])


@pytest.mark.parametrize("place", ["weights.bin", "parts/weights.bin", "model.onnx_data"])
def test_weights_in_files_of_any_name_are_part_of_the_fingerprint(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "notes.txt").write_text("beside")
    path, prints = tmp_path / "model.onnx", []
    for seed in (0, 1, 0):
        (tmp_path / place).unlink(missing_ok=True)
        weights = np.random.default_rng(seed).normal(size=(4, 5)).astype(np.float32)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
            [numpy_helper.from_array(weights, "w")],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        made.ir_version = 8
        onnx.save(made, path, save_as_external_data=True, location=place, size_threshold=0)
        model = models.open_model(f"onnx:{path}")
        found = model.features(model.collate([np.ones(4, np.float32)]), ["y"])["y"]
        np.testing.assert_allclose(found[0], weights.sum(0), rtol=1e-5)
        prints.append(model.fingerprint())
    assert prints[0] == prints[2] != prints[1]
    (tmp_path / "notes.txt").write_text("has nothing to do with it")
    (tmp_path / "w").write_text("a name that the graph has for a tensor")
    assert models.open_model(f"onnx:{path}").fingerprint() == prints[2]
