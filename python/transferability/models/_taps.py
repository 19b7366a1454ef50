"""Insert taps: make a module's input, or one field of its output, readable as a layer.

Features are read by forward hooks, which receive the outputs of modules. A tap makes other values
readable: the input of a classifier or of the first block, or a field of a model's output. It is an
``nn.Identity`` that is added to a module as a child and called with the value: ``fc.input`` is the
input of ``fc``. It has no parameters and does not change the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Taps", "find_blocks", "find_last_linear", "find_stages"]

#: Prefixes of children that are no stages.
_NO_PARTS = ("aux", "classifier", "head", "fc")


class Taps:
    """The taps inserted into one model."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._names = {id(module): name for name, module in root.named_modules()}
        self._handles: list[Any] = []
        self._owners: list[tuple[Any, str]] = []

    def on_input(self, module: Any, pick: Callable[[Any], Any] = lambda value: value) -> str:
        """Insert a tap on ``pick(first argument)`` of a module, and return its name."""
        module = _end(module, 0)
        tap, name = self._add(module, "input")

        def pass_on(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tap(pick(args[0] if args else next(iter(kwargs.values()))))

        self._handles.append(module.register_forward_pre_hook(pass_on, with_kwargs=True))
        return name

    def on_output(self, module: Any, field: str, pick: Callable[[Any], Any]) -> str:
        """Insert a tap on ``pick(output)`` of a module, and return its name."""
        module = _end(module, -1)
        tap, name = self._add(module, field)

        def pass_on(_: Any, args: tuple[Any, ...], output: Any) -> None:
            tap(pick(output))

        self._handles.append(module.register_forward_hook(pass_on))
        return name

    def on_first_input(self, parts: list[str]) -> list[str]:
        """Insert a tap on the input of the first of these modules; return its name, if any."""
        return [self.on_input(self._root.get_submodule(name)) for name in parts[:1]]

    def with_stem(self, parts: list[str]) -> list[str]:
        """Prepend a tap on the input of the first part, if parameters precede that part."""
        begins = next((name for name, _ in self._root.named_parameters()), "")
        has_stem = bool(parts) and not begins.startswith(f"{parts[0]}.")
        return [*self.on_first_input(parts), *parts] if has_stem else parts

    def remove(self) -> None:
        """Remove all taps."""
        for handle in self._handles:
            handle.remove()
        for owner, field in self._owners:
            delattr(owner, field)
        self._handles, self._owners = [], []

    def _add(self, owner: Any, field: str) -> tuple[Any, str]:
        from torch import nn

        while hasattr(owner, field):  # never shadow an attribute of the module
            field += "_"
        tap = nn.Identity()
        tap.is_tap = True  # the fingerprint leaves taps out
        owner.add_module(field, tap)
        self._owners.append((owner, field))
        path = self._names[id(owner)]
        return tap, f"{path}.{field}" if path else field


def find_stages(module: Any, skip: Any = None) -> list[str]:
    """Return the names of the stages of a network, in the order of definition.

    Stages are children that have children themselves. A child with nine tenths of the weights is
    replaced by its own stages. The child that contains `skip`, the classifier, is left out, as
    are children named like heads: auxiliary heads do not run in evaluation mode.
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
        inner = find_stages(biggest, skip)
        return [f"{name}.{part}" for part in inner] if len(inner) > 1 else [name]
    return [name for (name, _), size in zip(parts, sizes, strict=True) if size]


def find_blocks(module: Any) -> list[str]:
    """Return the names of the blocks of a transformer: the largest ``ModuleList``'s entries."""
    from torch import nn

    lists = [(name, m) for name, m in module.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        return []
    name, blocks = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    return [f"{name}.{i}" for i in range(len(blocks))]


def find_last_linear(module: Any) -> Any:
    """Return the last linear layer, the presumed classifier; None if there is none."""
    from torch import nn

    return next((m for m in reversed([*module.modules()]) if isinstance(m, nn.Linear)), None)


def _end(module: Any, which: int) -> Any:
    """Return the first or last module of a ``Sequential``, to which no child can be added."""
    from torch import nn

    while isinstance(module, nn.Sequential) and len(module) > 0:
        module = module[which]
    return module
