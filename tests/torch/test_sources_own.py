"""features:, module:function, modules and functions given; what names mean."""

from __future__ import annotations

import importlib
import linecache
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import transferability as tx
from transferability import DataError, DtypeError, models
from transferability.models._label_embeddings import encode

MAKERS = """
import numpy as np
import torch
from torch import nn

def module(width="8"):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, int(width)), nn.ReLU(), nn.Linear(int(width), 2))

def pair():
    return module(), lambda raw: torch.tensor([[float(len(word))] * 4 for word in raw])

def function():
    return lambda raw: np.array([[len(word), word.count("a")] for word in raw], dtype=float)

def several():
    def features(raw):
        return {"low": np.ones((len(raw), 2)), "high": np.zeros((len(raw), 3))}
    features.layers = ("low", "high")
    return features

def short():
    return lambda raw: np.ones((1, 2))

def number():
    return 3

def broken():
    raise RuntimeError("out of order")
"""


@pytest.fixture
def makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_makers.py").write_text(MAKERS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_makers", raising=False)
    return "own_makers"


class Twice(nn.Module):
    """A chain with a head, as users write them."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.one = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.two = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.head = nn.Linear(6, 3)
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(self.stem(x)))) + self.bias


def test_a_module_of_ones_own() -> None:
    module, x = Twice().train(), np.random.default_rng(0).normal(size=(5, 4))
    before = dict(module.named_modules())
    with torch.no_grad():
        inner = module.two(module.one(module.stem(torch.as_tensor(x).float())))
    model = models.open_model(module, device="cpu")
    assert (model.kind, model.name, model.default_layer) == ("array", "Twice", "head.input")
    assert model.layers == ("one.0.input", "one", "two")
    assert not module.training
    np.testing.assert_array_equal(encode(model, list(x)), inner)
    assert len(encode(model, list(x), batch_size=2)) == 5
    model.close()
    assert dict(module.named_modules()) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_modules_without_a_classifier_and_with_preprocessing() -> None:
    bare = models.open_model(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), device="cpu")
    assert bare.default_layer == bare.layers[-1] == "1.output"
    assert encode(bare, [np.zeros((1, 5, 5))] * 2).shape == (2, 3)

    def collate(raw: list[str]) -> torch.Tensor:
        return torch.tensor([[float(len(word))] * 4 for word in raw])

    model = models.open_model((Twice(), collate), device="cpu")
    assert encode(model, ["a", "bc"]).shape == (2, 6)
    with pytest.raises(DtypeError, match="the preprocessing of a model is int"):
        models.open_model((Twice(), 3))
    with pytest.raises(DtypeError, match="a model is int; give a name such as"):
        models.open_model(3)
    with pytest.raises(DataError, match="items of one batch differ in shape"):
        models.open_model(Twice()).collate([np.zeros(4), np.zeros(5)])


def test_fingerprints_of_ones_own() -> None:
    def prints(module: Any) -> str:
        return models.open_model(module, device="cpu").fingerprint()

    torch.manual_seed(1)
    module = Twice()
    first = prints(module)
    assert prints(module) == first
    other = Twice()
    other.load_state_dict(module.state_dict())
    assert prints(other) == first
    other.bias = 1.0  # neither a weight nor code
    assert prints(other) != first
    other.bias = 0.0
    with torch.no_grad():
        other.head.bias[0] += 1
    assert prints(other) != first
    assert prints((module, lambda raw: torch.zeros(len(raw), 4))) != first
    assert prints((module, lambda raw: torch.ones(len(raw), 4))) != prints(
        (module, lambda raw: torch.zeros(len(raw), 4))
    )

    def square(raw: list[float]) -> Any:
        return np.square(raw)[:, None]

    def cube(raw: list[float]) -> Any:
        return np.power(raw, 3)[:, None]

    assert prints(square) == prints(square) != prints(cube)
    assert prints(_power(2)) == prints(_power(2)) != prints(_power(3))
    assert prints(partial(_powers, n=2)) == prints(partial(_powers, n=2))
    assert prints(partial(_powers, n=2)) != prints(partial(_powers, n=3))
    cube.fingerprint = "v1"  # type: ignore[attr-defined]
    known = prints(cube)
    cube.fingerprint = "v2"  # type: ignore[attr-defined]
    assert prints(cube) != known


def test_a_model_that_is_trained_is_another_one(tmp_path: Path) -> None:
    """It may stay open meanwhile; the cache must not return what it gave before."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    model = models.open_model(network, device="cpu")
    rng = np.random.default_rng(0)
    items = rng.normal(size=(80, 4)).astype(np.float32)
    data = items, items[:, 0] * items[:, 1] > 0
    first = model.fingerprint()
    assert model.fingerprint() == first
    found = []
    for _ in range(2):
        row = tx.rank_models({"m": model}, data, cache=tmp_path, isolate=False)[0]
        assert not row.from_cache
        found.append(float(row.logme))
        again = tx.rank_models({"m": model}, data, cache=tmp_path, isolate=False)[0]
        assert again.from_cache
        assert float(again.logme) == found[-1]
        with torch.no_grad():
            network[0].weight.mul_(3.0)
    assert found[0] != found[1]
    assert model.fingerprint() != first


def _powers(raw: list[float], n: int) -> Any:
    return np.power(raw, n)[:, None]


def _power(n: int) -> Any:
    return lambda raw: _powers(raw, n)


def test_entry_points(makers: str) -> None:
    model = models.open_model(f"{makers}:module?width=6&pool=max", device="cpu")
    assert model.spec == f"{makers}:module?width=6&pool=max"
    assert (model.default_layer, model.default_pool) == ("2.input", "max")
    assert encode(model, [np.zeros(4)]).shape == (1, 6)
    assert encode(models.open_model(f"{makers}:pair", device="cpu"), ["a"]).shape == (1, 8)
    plain = models.open_model(f"{makers}:function")
    assert plain.module is None
    np.testing.assert_array_equal(encode(plain, ["banana", "b"]), [[6, 3], [1, 0]])
    several = models.open_model(f"{makers}:several")
    assert (several.layers, several.default_layer) == (("low", "high"), "high")
    found = several.features(several.collate([1, 2]), ["low"])
    assert {name: array.shape for name, array in found.items()} == {"low": (2, 2)}
    with pytest.raises(DataError, match=r"no layer 'hihg' \(did you mean 'high'"):
        several.features([1], ["hihg"])
    with pytest.raises(DataError, match=r"an array of shape \(1, 2\) for 2 items"):
        encode(models.open_model(f"{makers}:short"), ["a", "b"])
    with pytest.raises(DtypeError, match="returned int; return a torch module"):
        models.open_model(f"{makers}:number")
    with pytest.raises(RuntimeError, match="out of order"):
        models.open_model(f"{makers}:broken")
    with pytest.raises(DataError, match=r"no function 'modul' \(did you mean 'module'"):
        models.open_model(f"{makers}:modul")
    with pytest.raises(TypeError, match="depth"):
        models.open_model(f"{makers}:module?depth=3")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tim:resnet18", r"neither a Python module 'tim' .*did you mean 'timm'"),
        ("resnet18", r"did you mean timm:resnet18 or torchvision:resnet18\?"),
        ("hf:", "names no model; write for example"),
        ("timm:resnet18?pretrained", "is not option=value"),
        ("onnx:nowhere.onnx", "there is no file nowhere.onnx"),
        ("features:nowhere", "there is no file or folder nowhere"),
    ],
)
def test_names_that_mean_nothing(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        models.open_model(spec)


def test_saved_features(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(70, 3))
    (tmp_path / "run").mkdir()
    for i, part in enumerate(np.split(x, [20, 45])):
        np.save(tmp_path / "run" / f"x_{i}.npy", part)
    model: Any = models.open_model(f"features:{tmp_path}/run")
    assert (model.kind, model.n_samples, model.layers) == ("saved", 70, ("features",))
    np.testing.assert_array_equal(encode(model, range(70), batch_size=16), x)
    np.testing.assert_array_equal(
        model.features(model.collate([3, 60]), ["features"])["features"], x[[3, 60]]
    )
    np.save(tmp_path / "whole.npy", x)
    whole = models.open_model(str(tmp_path / "whole.npy"))
    np.testing.assert_array_equal(encode(whole, range(70)), x)
    first = whole.fingerprint()
    np.save(tmp_path / "whole.npy", x + 1)
    assert models.open_model(f"features:{tmp_path}/whole.npy").fingerprint() != first
    with pytest.raises(DataError, match=r"numbers from 0 to 69, got -1"):
        model.collate([-1])
    with pytest.raises(DataError, match="has no layer 'fc'"):
        model.features([0], ["fc"])
    assert models.expand(f"features:{tmp_path}/*.npy") == [f"features:{tmp_path}/whole.npy"]


_HELP = "def shaped(x):\n    return x * {helper}\n"
_NETWORK = """
import code_help
from torch import nn

SCALE, UNUSED = {constant}, {unused}

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        return self.linear(code_help.shaped(x)) * SCALE + {base}

class Network(Base):
    pass
"""


def test_all_code_that_runs_is_in_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of bases, and what forward calls and reads in the user's other modules."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def fingerprint(**changed: int) -> str:
        values = {"helper": 1, "constant": 1, "unused": 1, "base": 0, **changed}
        for name, text in (("code_help", _HELP), ("code_network", _NETWORK)):
            (tmp_path / f"{name}.py").write_text(text.format(**values), encoding="utf-8")
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        linecache.clearcache()
        torch.manual_seed(0)
        network = importlib.import_module("code_network").Network()
        return models.open_model(network, device="cpu").fingerprint()

    first = fingerprint()
    assert fingerprint() == fingerprint(unused=2) == first
    assert first not in {fingerprint(base=1), fingerprint(helper=2), fingerprint(constant=2)}


def test_what_a_library_module_was_made_with_is_in_the_fingerprint() -> None:
    """What its weights and what it prints do not show: functions, hooks, another forward."""

    def fingerprint(activation: Any = F.silu, hook: Any = None, forward: Any = None) -> str:
        torch.manual_seed(0)
        module = nn.TransformerEncoderLayer(8, 2, 16, activation=activation)
        if hook is not None:
            module.linear1.register_forward_hook(hook)
        if forward is not None:
            module.linear2.forward = forward
        return models.open_model(module, device="cpu").fingerprint()

    def times(number: int) -> Any:
        return lambda module, args, output: output * number

    several = [
        fingerprint(),
        fingerprint(F.mish),
        fingerprint(hook=times(2)),
        fingerprint(hook=times(3)),
        fingerprint(forward=lambda x: x[..., :8]),
    ]
    assert len(set(several)) == len(several)
    assert fingerprint(hook=times(3)) == several[3]


def test_a_model_that_cannot_be_opened_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    before = [name for name, _ in module.named_modules()]
    with pytest.raises(DataError, match="device is 'gpu'"):
        models.open_model(module, device="gpu")
    assert [name for name, _ in module.named_modules()] == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(DataError, match="torch finds no GPU"):
        models.open_model(nn.Linear(2, 2), device="cuda")


class Counting(Twice):
    """Its first parameter is a whole number, as those of quantised layers are."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.n_steps = nn.Parameter(torch.tensor(3), requires_grad=False)
        own = Twice()
        self.stem, self.one, self.two, self.head = own.stem, own.one, own.two, own.head
        self.bias = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.float())


def test_inputs_are_not_rounded_to_the_format_of_whole_parameters() -> None:
    module, x = Counting(), np.random.default_rng(0).normal(size=(5, 4))
    model = models.open_model(module, device="cpu")
    assert model.moved(torch.as_tensor(x)).dtype is torch.float32
    with torch.no_grad():
        inner = module.two(module.one(module.stem(torch.as_tensor(x).float())))
    np.testing.assert_array_equal(encode(model, list(x)), inner)


@pytest.mark.parametrize("wrong", [{"dtype": "float31"}, {"device": "cpus"}])
def test_a_module_that_is_not_opened_is_left_as_it_was(wrong: dict[str, str]) -> None:
    module = Twice().train()
    before = dict(module.named_modules())
    with pytest.raises(DataError, match=next(iter(wrong))):
        models.open_model(module, **wrong)  # type: ignore[arg-type]
    assert all(part.training for part in module.modules())
    assert dict(module.named_modules()) == before
