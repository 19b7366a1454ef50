"""Fingerprints of models that differ in what they hold, not in weights or in the text of code.

Such models must not get the statistics of each other from the cache.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

import transferability as tx
from transferability.models._fingerprint import hash_callable, hash_module
from transferability.models._installed import find_library

SCALE = np.ones(3)
SETTINGS: dict[str, Any] = {"power": {"of": [1, [2]]}}
NETWORK = nn.Linear(2, 2)


class Power(nn.Module):
    """A module whose exponent is neither a weight nor public."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self._power = power

    def forward(self, x: Tensor) -> Tensor:
        return x.abs() ** self._power


class Encoder:
    factor = 1

    def __init__(self, power: int) -> None:
        self.power = power

    def encode(self, items: list[Any]) -> Any:
        return np.stack(items) ** self.power * self.factor


class Slotted:
    __slots__ = ("power",)

    def __init__(self, power: int) -> None:
        self.power = power

    def __call__(self, items: list[Any]) -> Any:
        return np.stack(items) ** self.power


class Holder(nn.Module):
    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held


def closing(value: Any) -> Callable[..., Any]:
    return lambda items: (value, items)


def scaling(mean: int | None, deviation: int | None) -> Callable[..., Any]:
    return lambda items: (mean, deviation, items)


class Table(dict[str, int]):
    """A mapping with a setting beside its entries."""

    def __init__(self, power: int) -> None:
        super().__init__(a=1)
        self.power = power


# Two functions on one line, and two that differ in their second lines.
BESIDE = {2: lambda items: np.stack(items)[:, :2], 3: lambda items: np.stack(items)[:, 2:]}
# fmt: off
OVER_LINES = [
    lambda items: items
    ** 2,
    lambda items: items
    ** 3,
]
# fmt: on


def with_default(value: int) -> Callable[..., Any]:
    def power(items: Any, *, by: int = value) -> Any:
        return items**by

    return power


def deep(value: float) -> nn.Module:
    """A network of which one weight in the middle, which no repr shows, has a value."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(40, 40))))
    with torch.no_grad():
        inner[0][0][0].weight[20, 20] = value
    return inner


def parent_and_child(value: int) -> nn.Module:
    child = Holder(value)
    child._parent = [child]  # type: ignore[assignment]
    return child


FUNCTIONS: dict[str, Callable[[int], Any]] = {
    "the object of a method": lambda k: Encoder(k).encode,
    "the network of a method": lambda k: deep(k).forward,
    "slots": Slotted,
    "an object in a closure": lambda k: closing(Encoder(k)),
    "a network in a closure": lambda k: closing(deep(k)),
    "a network in a list": lambda k: closing([{"of": (deep(k),)}]),
    "a large array in a closure": lambda k: closing(np.arange(5000) == 2000 + k),
    "an array of objects": lambda k: closing(np.array([k, "a"], dtype=object)),
    "which of two is None": lambda k: scaling(*((None, 7) if k == 2 else (7, None))),
    "a mapping with attributes": lambda k: closing(Table(k)),
    "functions on one line": BESIDE.__getitem__,
    "functions over lines": lambda k: OVER_LINES[k - 2],
    "a default": with_default,
    "namespaces": lambda k: closing([argparse.Namespace(a=deep(k)), SimpleNamespace(a=1)]),
}
MODULES: dict[str, Callable[[int], Any]] = {
    "a private attribute": Power,
    "in a library's module": lambda k: nn.Sequential(Power(k)),
    "a configuration": lambda k: Holder(Encoder(k)),
    "networks out of sight": lambda k: Holder([deep(k)]),
    "a set": lambda k: Holder({"a", "b", str(k)}),
    "a circle": parent_and_child,
}


@pytest.mark.parametrize("make", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_that_hold_other_values(make: Callable[[int], Any]) -> None:
    assert hash_callable(make(2)) == hash_callable(make(2)) != hash_callable(make(3))


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_modules_that_hold_other_values(make: Callable[[int], Any]) -> None:
    assert hash_module(make(2)) == hash_module(make(2)) != hash_module(make(3))


def scaled(items: Any) -> Any:
    return items * SCALE


def raised(items: Any) -> Any:
    return items ** SETTINGS["power"]["of"][1][0]


def run(items: Any) -> Any:
    return NETWORK(items)


def test_globals_and_attributes_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = (scaled, raised, run, Encoder(1).encode)

    def found() -> list[str]:
        return [hash_callable(function) for function in functions]

    first = found()
    changes: list[Callable[[], object]] = [
        lambda: monkeypatch.setitem(globals(), "SCALE", np.array([1.0, 1, 2])),
        lambda: monkeypatch.setitem(SETTINGS["power"], "of", [1, [3]]),
        lambda: monkeypatch.setitem(globals(), "NETWORK", nn.Linear(2, 2)),
        lambda: monkeypatch.setattr(Encoder, "factor", 2),
    ]
    for i, change in enumerate(changes):
        change()
        now = found()
        assert [a != b for a, b in zip(now, first, strict=True)] == [
            j <= i for j in range(len(functions))
        ]


_AT_A_PROMPT = """
from torch import nn
from transferability.models._fingerprint import hash_module
found = set()
for k in (2, 3, 3):
    exec(f'''
class Inner:
    k = {k}
class Model(nn.Module):
    def forward(self, x):
        return x * Inner.k
''')
    found.add(hash_module(Model()))
print(len(found), hash_module(Model()))
"""


def test_classes_without_a_file() -> None:
    """Their text cannot be read; also the same in another process."""
    ran = [
        subprocess.run([sys.executable, "-c", _AT_A_PROMPT], capture_output=True, check=True)
        for _ in range(2)
    ]
    assert ran[0].stdout.split()[0] == b"2"
    assert ran[0].stdout == ran[1].stdout


def test_a_set_in_a_function_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("keep = lambda b: [i for i in b if i in {'a', 'b', 'c'}]\n")
    code = "import mine; from transferability.models._fingerprint import hash_callable as h"
    found = {
        subprocess.run(
            [sys.executable, "-c", f"{code}; print(h(mine.keep))"],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(path)},
            capture_output=True,
            check=True,
        ).stdout
        for path in [[str(tmp_path), *filter(None, sys.path)]]
        for seed in range(3)
    }
    assert len(found) == 1


def test_models_do_not_share_entries_of_the_cache(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    data = inputs, inputs[:, 0] + inputs[:, 1] ** 2 > 0.5
    models = {
        **{f"module {k}": nn.Sequential(Power(k), nn.Linear(4, 2)) for k in (1, 4)},
        **{f"method {k}": Encoder(k).encode for k in (1, 4)},
        **{f"line {k}": function for k, function in BESIDE.items()},
    }
    shared = tx.rank_models(models, data, cache=tmp_path, isolate=False)
    for name, model in models.items():
        alone = tx.rank_models({name: model}, data, cache=False, isolate=False)
        assert shared[name].logme == alone[0].logme, name
        assert not shared[name].from_cache
    again = tx.rank_models(models, data, cache=tmp_path, isolate=False)
    assert all(row.from_cache for row in again)


def _resized(items: list[Any]) -> Any:
    return torchvision.transforms.functional.resize(torch.stack(items), 4)


def _stacked(items: list[Any]) -> Any:
    return np.stack(items)


class _Holds:
    """Holds an object of a library."""

    def __init__(self) -> None:
        self.transform = torchvision.transforms.Compose([torchvision.transforms.Resize(4)])

    def __call__(self, items: list[Any]) -> Any:
        return self.transform(items)


@pytest.mark.parametrize("library", ["torchvision", "numpy", "timm"])
def test_code_of_libraries_is_told_by_their_versions(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm")
    of_timm = timm.create_model("resnet10t", pretrained=False)
    hashes: dict[str, Callable[[], str]] = {
        "timm": lambda: hash_module(of_timm),
        "numpy": lambda: hash_callable(_stacked),
        "torchvision": lambda: hash_callable(_resized),
        "torchvision, held": lambda: hash_callable(_Holds()),
    }
    before = {name: function() for name, function in hashes.items()}
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99" if name == library else version(name)
    )
    find_library.cache_clear()
    try:
        changed = {name for name, function in hashes.items() if function() != before[name]}
    finally:
        find_library.cache_clear()
    assert changed == {name for name in hashes if name.startswith(library)}


def test_a_library_may_have_another_name_than_its_package() -> None:
    pytest.importorskip("PIL")
    assert find_library("PIL") == f"pillow {importlib.metadata.version('pillow')}".replace(
        "pillow", next(iter(importlib.metadata.packages_distributions()["PIL"])), 1
    )
    assert find_library("json") == find_library("transferability") == find_library("nothing") == ""
