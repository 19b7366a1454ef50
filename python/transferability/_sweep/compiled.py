"""Compile the blocks of a model by torch.compile, and undo it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

__all__ = ["compile_blocks"]


def compile_blocks(
    module: Any, blocks: Sequence[str], layers: Collection[str]
) -> Callable[[], None] | None:
    """Compile the forward passes of blocks; return a function that undoes it, or None if none is.

    Blocks are compiled one by one, because hooks read `layers` between them. A block with one of
    the layers inside is left as it is, and the whole model is compiled if it has no blocks and the
    only layer is its own output. Lengths and sizes of batches are free, so that each block is
    compiled once. It is compiled when it first runs, which raises the errors of the compiler.
    """
    import torch

    from ..torch._layers import resolve_layers, unwrap

    parts = [module.get_submodule(name) for name in blocks] or [module]
    inner = {id(layer.module) for layer in resolve_layers(unwrap(module), layers)}
    chosen = [part for part in parts if not inner & set(map(id, _find_inside(part)))]
    before = [part.__dict__.get("forward") for part in chosen]  # of an instance, as hooks set it
    for part in chosen:
        part.forward = torch.compile(part.forward, dynamic=True)

    def undo() -> None:
        for part, own in zip(chosen, before, strict=True):
            part.__dict__.pop("forward", None)
            if own is not None:
                part.forward = own

    return undo if chosen else None


def _find_inside(part: Any) -> list[Any]:
    """Return the modules that run within the forward pass of a module.

    A tap of the module itself runs in a hook, before or after its forward pass.
    """
    own_taps = {id(child) for child in part.children() if getattr(child, "is_tap", False)}
    return [inner for inner in part.modules() if inner is not part and id(inner) not in own_taps]
