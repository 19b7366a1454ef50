"""List the layers of a model, and resolve their names.

Names are those of ``model.named_modules()``, without the prefixes of wrappers (``module.`` of
DataParallel, ``_orig_mod.`` of torch.compile). The empty name is the model itself. A module that
runs several times in one forward pass has a name for each run: ``relu#0``, ``relu#1``, ….
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import DataError, DtypeError
from ._run import call, evaluation_mode, find_device, move_batch
from ._tensors import select_features

__all__ = [
    "Layer",
    "LayerRequest",
    "Layers",
    "first_names",
    "list_layers",
    "resolve_layers",
    "unwrap",
]


@dataclass(frozen=True)
class Layer:
    """A layer of a model.

    Attributes
    ----------
    name : str
        As :func:`extract` takes it.
    type : str
        The class of its module.
    shape : tuple of int, or None
        Shape of its output at the first run; None if it does not run or returns no tensor.
    calls : int
        Number of runs in one forward pass.
    """

    __module__ = "transferability.torch"

    name: str
    type: str
    shape: tuple[int, ...] | None
    calls: int


@dataclass(frozen=True)
class LayerRequest:
    """A requested layer: its name as given, its path and module, and the index of the run."""

    name: str
    path: str
    module: nn.Module
    run: int | None


class Layers(list[Layer]):
    """A list of layers in the order of their definition, which prints as a table."""

    __module__ = "transferability.torch"

    def __repr__(self) -> str:
        """Return a table with a line for each layer."""
        rows = [("name", "type", "output shape")]
        for layer in self:
            shape = "does not run" if not layer.calls else str(layer.shape or "no tensor")
            again = f"  #0 to #{layer.calls - 1}" if layer.calls > 1 else ""
            rows.append((layer.name or "'' (the model)", layer.type, shape + again))
        widths = [max(len(row[k]) for row in rows) for k in (0, 1)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def list_layers(model: nn.Module, example: Any) -> Layers:
    """List the layers of a model with their types and output shapes.

    Parameters
    ----------
    model : torch.nn.Module
        It runs once on `example`, in evaluation mode and without gradients. Its modes are restored.
    example : tensor, mapping, or tuple
        One batch. A mapping is passed as keywords, a tuple as arguments.

    Returns
    -------
    layers : Layers
        A list of :class:`Layer` that prints as a table. Shapes are as :func:`extract` records them,
        batch first.

    Examples
    --------
    >>> import torch
    >>> from transferability.torch import list_layers
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    >>> list_layers(model, torch.zeros(2, 4))
    name            type        output shape
    '' (the model)  Sequential  (2, 8)
    0               Linear      (2, 8)
    1               ReLU        (2, 8)
    """
    model = unwrap(model)
    shapes: dict[nn.Module, list[tuple[int, ...] | None]] = {}

    def note(module: nn.Module, args: object, output: object) -> None:
        tensor = select_features(output, module)
        shapes.setdefault(module, []).append(None if tensor is None else tuple(tensor.shape))

    with evaluation_mode(model, warn=False) as stack:
        for module in model.modules():
            stack.callback(module.register_forward_hook(note).remove)
        call(model, move_batch(example, find_device(model)))
    layers = Layers()
    for module, name in first_names(model).items():
        runs = shapes.get(module, [])
        layers.append(Layer(name, type(module).__name__, runs[0] if runs else None, len(runs)))
    return layers


def unwrap(model: object) -> nn.Module:
    """Return the module inside DataParallel, DistributedDataParallel and torch.compile."""
    if not isinstance(model, nn.Module):
        raise DtypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    inner: Any = model
    while True:
        if isinstance(inner, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = inner.module
        elif "_orig_mod" in inner._modules:
            inner = inner._modules["_orig_mod"]
        else:
            return inner


def _named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return all modules by name; a shared module has several."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found.setdefault(_strip_wrappers(name), module)
    return found


def first_names(model: nn.Module) -> dict[nn.Module, str]:
    """Return the name of each module; of a shared module, the first."""
    found: dict[nn.Module, str] = {}
    for name, module in _named_modules(model).items():
        found.setdefault(module, name)
    return found


def resolve_layers(model: nn.Module, layers: str | Iterable[str]) -> list[LayerRequest]:
    """Find layers by name; the error for an unknown name suggests the closest ones."""
    if not isinstance(layers, Iterable):
        raise DtypeError(f"layers is {layers!r}; give the name of a layer, or a list of names")
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise DataError("layers is empty; name at least one, '' is the model's own output")
    if not all(isinstance(name, str) for name in names):
        raise DtypeError(f"layers must be names, got {names!r}")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"layers names {repeated[0]!r} twice; name each layer once")
    modules = _named_modules(model)
    found: list[LayerRequest] = []
    for name in names:
        base, mark, run = name.rpartition("#")
        if not (mark and run.isdigit()):
            base, run = name, ""
        path = _strip_wrappers(base)
        if path not in modules:  # the prefix of DataParallel
            path = path.removeprefix("module.")
        if path not in modules:
            raise DataError(f"layers: the model has no layer {name!r}; {_suggest(path, modules)}")
        found.append(LayerRequest(name, path, modules[path], int(run) if run else None))
    return found


def _strip_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _suggest(name: str, modules: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, modules, n=3)
    ends = [known for known in modules if known.endswith(f".{name}")]
    offered = list(dict.fromkeys([*ends[:3], *close])) or [known for known in modules if known][:5]
    asked = f"did you mean {' or '.join(map(repr, offered))}? " if offered else ""
    return f"{asked}list_layers(model, example) shows all"
