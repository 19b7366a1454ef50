"""Layers of a model by name: what there is, and what a name means.

Names are those of ``model.named_modules()``, without the prefixes that wrappers add
(``module.`` of DataParallel, ``_orig_mod.`` of torch.compile); the empty name is the model itself.
A layer that runs several times in one forward pass, because modules share it, has one name for
each time: ``relu#0``, ``relu#1``, ….
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import DataError, DtypeError
from ._run import call, device_of, modes, moved
from ._tensors import main_tensor

__all__ = ["Layer", "Layers", "Wanted", "list_layers", "modules_of", "resolve", "unwrapped"]


@dataclass(frozen=True)
class Layer:
    """A layer: its name, its module's type, the shape it gives and how often it runs.

    `shape` is None for what does not run, or gives no tensor.
    """

    __module__ = "transferability.torch"

    name: str
    type: str
    shape: tuple[int, ...] | None
    calls: int


@dataclass(frozen=True)
class Wanted:
    """A layer that is asked for: the name as given, its module and path, and which of its runs."""

    name: str
    path: str
    module: nn.Module
    run: int | None


class Layers(list[Layer]):
    """Layers in the order of the model's definition; prints as a table."""

    __module__ = "transferability.torch"

    def __repr__(self) -> str:
        """Show a line for each layer."""
        rows = [("name", "type", "output shape")]
        for layer in self:
            shape = "does not run" if not layer.calls else str(layer.shape or "no tensor")
            again = f"  #0 to #{layer.calls - 1}" if layer.calls > 1 else ""
            rows.append((layer.name or "'' (the model)", layer.type, shape + again))
        widths = [max(len(row[k]) for row in rows) for k in (0, 1)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def list_layers(model: nn.Module, example: object) -> Layers:
    """Give every layer with its type and the shape of its output.

    Parameters
    ----------
    model : torch.nn.Module
        Runs once on `example`, in evaluation mode and without gradients; its modes are as before
        afterwards.
    example : tensor, mapping, or tuple
        One batch: a mapping is passed as keywords, a tuple as arguments.

    Returns
    -------
    layers : Layers
        A list that prints as a table. The shape is that of the tensor that :func:`extract` would
        take, with the batch first.

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
    model = unwrapped(model)
    shapes: dict[nn.Module, list[tuple[int, ...] | None]] = {}

    def note(module: nn.Module, args: object, output: object) -> None:
        tensor = main_tensor(output, module)
        shapes.setdefault(module, []).append(None if tensor is None else tuple(tensor.shape))

    with modes(model, warn=False) as stack:
        for module in model.modules():
            stack.callback(module.register_forward_hook(note).remove)
        call(model, moved(example, device_of(model)))
    first: dict[nn.Module, str] = {}
    for name, module in modules_of(model).items():
        first.setdefault(module, name)
    return Layers(
        Layer(name, type(module).__name__, *_seen(shapes.get(module, [])))
        for module, name in first.items()
    )


def _seen(shapes: list[tuple[int, ...] | None]) -> tuple[tuple[int, ...] | None, int]:
    return (shapes[0] if shapes else None), len(shapes)


def unwrapped(model: object) -> nn.Module:
    """Give the module inside DataParallel, DistributedDataParallel and torch.compile."""
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


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Give all modules by name; shared ones by each of their names."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found.setdefault(_plain(name), module)
    return found


def resolve(model: nn.Module, layers: str | Iterable[str]) -> list[Wanted]:
    """Find layers by name.

    Raises
    ------
    DataError
        If there is no such layer; the message offers the closest names.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise DataError("layers is empty; name at least one, '' is the model's own output")
    if not all(isinstance(name, str) for name in names):
        raise DtypeError(f"layers must be names, got {names!r}")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"layers names {repeated[0]!r} twice; name each layer once")
    modules = modules_of(model)
    found: list[Wanted] = []
    for name in names:
        base, mark, run = name.rpartition("#")
        if not (mark and run.isdigit()):
            base, run = name, ""
        path = _plain(base)
        if path not in modules:  # as DataParallel's own modules are named
            path = path.removeprefix("module.")
        if path not in modules:
            raise DataError(f"layers: the model has no layer {name!r}; {_advice(path, modules)}")
        found.append(Wanted(name, path, modules[path], int(run) if run else None))
    return found


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _advice(name: str, modules: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, modules, n=3)
    ends = [known for known in modules if known.endswith(f".{name}")]
    offered = list(dict.fromkeys([*ends[:3], *close])) or [known for known in modules if known][:5]
    more = "list_layers(model, example) shows all"
    return f"did you mean {' or '.join(map(repr, offered))}? {more}" if offered else more
