"""Names for places inside a model that no module's output stands for.

The input of a classifier, the input of the first block and one field of a model's output are what
users want features from, and forward hooks see modules' outputs only. So an ``nn.Identity``, which
has no parameters and changes nothing, is put into the module whose input or output is meant, and
is called with the value as it passes: ``fc.input`` is what goes into ``fc``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Taps", "chain", "last_linear", "longest_list"]

_NO_PARTS = ("aux", "classifier", "head", "fc")


class Taps:
    """The identities put into one model, and how to take them out again."""

    def __init__(self, root: Any) -> None:
        self._names = {id(module): name for name, module in root.named_modules()}
        self._handles: list[Any] = []
        self._owners: list[tuple[Any, str]] = []

    def on_input(self, module: Any) -> str:
        """Name the first argument of a module of the model."""
        module = _end(module, 0)
        tap, name = self._add(module, "input")

        def pass_on(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tap(args[0] if args else next(iter(kwargs.values())))

        self._handles.append(module.register_forward_pre_hook(pass_on, with_kwargs=True))
        return name

    def on_output(self, module: Any, field: str, pick: Callable[[Any], Any]) -> str:
        """Name what `pick` takes from the output of a module of the model."""
        module = _end(module, -1)
        tap, name = self._add(module, field)

        def pass_on(_: Any, args: tuple[Any, ...], output: Any) -> None:
            tap(pick(output))

        self._handles.append(module.register_forward_hook(pass_on))
        return name

    def with_stem(self, root: Any, parts: list[str]) -> list[str]:
        """Put before the parts of a chain what goes into them, if weights have worked on it."""
        if not parts:
            return parts
        begins = next((name for name, _ in root.named_parameters()), "")
        if begins.startswith(f"{parts[0]}."):
            return parts
        return [self.on_input(root.get_submodule(parts[0])), *parts]

    def remove(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        for owner, field in self._owners:
            delattr(owner, field)
        self._handles, self._owners = [], []

    def _add(self, owner: Any, field: str) -> tuple[Any, str]:
        from torch import nn

        while hasattr(owner, field):  # never in the way of what the module has
            field += "_"
        tap = nn.Identity()
        tap.is_tap = True  # no part of the model's own structure, see _fingerprint.py
        owner.add_module(field, tap)
        self._owners.append((owner, field))
        path = self._names[id(owner)]
        return tap, f"{path}.{field}" if path else field


def chain(module: Any, skip: Any = None) -> list[str]:
    """Name the parts that a network is a chain of, as its author laid it out.

    Parts are children that have children themselves; a part with nine tenths of the weights is
    entered, for then it is the chain. What holds `skip`, the classifier, is no part, nor are
    other heads, of which auxiliary ones do not run in evaluation.
    """
    parts = [
        (name, child)
        for name, child in module.named_children()
        if any(True for _ in child.children())
        and all(inner is not skip for inner in child.modules())
        and not name.lower().startswith(_NO_PARTS)
    ]
    sizes = [sum(p.numel() for p in child.parameters()) for _, child in parts]
    if not any(sizes):
        return []
    name, biggest = parts[sizes.index(max(sizes))]
    if max(sizes) >= 0.9 * sum(sizes):
        inner = chain(biggest, skip)
        return [f"{name}.{part}" for part in inner] if len(inner) > 1 else [name]
    return [name for (name, _), size in zip(parts, sizes, strict=True) if size]


def longest_list(module: Any) -> list[str]:
    """Name the blocks of a transformer: the entries of the ``ModuleList`` with most weights."""
    from torch import nn

    lists = [(name, m) for name, m in module.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        return []
    name, blocks = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    return [f"{name}.{i}" for i in range(len(blocks))]


def last_linear(module: Any) -> Any:
    """Find the classifier of a network that does not say: its last linear layer, if any."""
    from torch import nn

    found = [m for m in module.modules() if isinstance(m, nn.Linear)]
    return found[-1] if found else None


def _end(module: Any, which: int) -> Any:
    """Enter a ``Sequential``, to which nothing can be added: its first or last module."""
    from torch import nn

    while isinstance(module, nn.Sequential) and len(module) > 0:
        module = module[which]
    return module
