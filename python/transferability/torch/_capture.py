"""Hooks that take what layers give, and the attention mask that goes with it."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .._metric.score import issue
from ..errors import DataError
from ._layers import Wanted, modules_of
from ._tensors import main_tensor

__all__ = ["Capture"]

#: What modules call their mask: 1 at tokens; or, torch's own, True (or -inf) at padding.
_MASKS = ("attention_mask", "src_key_padding_mask", "tgt_key_padding_mask")


class Capture:
    """What the wanted layers gave in one forward pass.

    Parameters
    ----------
    model : Module
        Not wrapped.
    wanted : sequence of Wanted
        The layers.
    stack : ExitStack
        Removes the hooks at its end.
    """

    def __init__(
        self, model: nn.Module, wanted: Sequence[Wanted], stack: contextlib.ExitStack
    ) -> None:
        #: What to make of a layer's tensor at once; None keeps it for later.
        self.at_once: Callable[[Wanted, Tensor], Any] | None = None
        self.output: Any = None
        self._wanted = wanted
        self._model = model
        self._done = False
        self._found: dict[str, Any] = {}
        self._versions: dict[str, int] = {}
        self._runs: dict[nn.Module, int] = {}
        self._masks: dict[str, Tensor | None] = {}
        self._has_seen = False  # a module that takes a mask has been called
        self._is_hidden = False  # the only masks that were seen are those of attention scores
        # First: what else hangs on the model itself may be a layer already.
        hooks = [model.register_forward_pre_hook(self._start, prepend=True)]
        for module in dict.fromkeys(layer.module for layer in wanted):
            hooks.append(module.register_forward_hook(self._take))
        seen: set[nn.Module] = set()
        outer = {model, *model.children()}
        for path, module in modules_of(model).items():
            place = _place_of_mask(module)
            if (place is not None or module in outer) and module not in seen:
                seen.add(module)
                watch = functools.partial(self._watch, path, place)
                hooks.append(module.register_forward_pre_hook(watch, with_kwargs=True))
        hooks.append(model.register_forward_hook(self._end))  # last: the model may be a layer too
        for hook in hooks:
            stack.callback(hook.remove)

    def clear(self) -> None:
        """Forget the forward pass."""
        self._done, self.output = False, None
        self._found.clear()
        self._versions.clear()
        self._runs.clear()
        self._masks.clear()
        self._has_seen = self._is_hidden = False

    def mask_of(self, layer: Wanted) -> Tensor | None:
        """Give the attention mask that the innermost module around a layer was given.

        Raises
        ------
        DataError
            If there is one that cannot be seen.
        """
        around = [path for path in self._masks if _is_within(layer.path, path)]
        if self._is_hidden and not around:
            raise DataError(
                f"layer {layer.name!r}: the attention mask is not among what the model was given; "
                f"pass attention_mask=, or attention_mask={{{layer.name!r}: None}} if all tokens "
                f"count"
            )
        return self._masks[max(around, key=len)] if around else None

    def taken(self) -> dict[str, Any]:
        """Give what every layer gave, by name.

        Raises
        ------
        DataError
            If a layer did not run, or several times; or what it gave was overwritten since.
        """
        for layer in self._wanted:
            runs, name = self._runs.get(layer.module, 0), layer.name
            if not runs:
                raise DataError(_did_not_run(layer))
            if layer.run is None and runs > 1:
                raise DataError(
                    f"layer {name!r} ran {runs} times in one forward pass; say which: "
                    f"{name + '#0'!r} to {f'{name}#{runs - 1}'!r}"
                )
            if layer.run is not None and layer.run >= runs:
                raise DataError(f"layer {name!r} ran only {runs} times in this forward pass")
            if name not in self._found:
                raise DataError(f"layer {name!r} gives no tensor of features")
            if name in self._versions and self._versions[name] != self._found[name]._version:
                raise DataError(
                    f"what layer {name!r} gave was overwritten by a layer that works in place; "
                    f"let update run the model, or name that later layer"
                )
        return self._found

    def _watch(
        self,
        path: str,
        place: tuple[int, str] | None,
        module: nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Note the mask of (samples, tokens) that a module is given."""
        if place is None:  # sentence-transformers hands a mapping from module to module
            mapping = args[0] if args and isinstance(args[0], Mapping) else {}
            index, name, mask = 0, "attention_mask", mapping.get("attention_mask")
        else:
            index, name = place
            mask = kwargs.get(name, args[index] if index < len(args) else None)
        is_decoder = kwargs.get("encoder_hidden_states") is not None or name.startswith("tgt")
        if isinstance(mask, Tensor) and mask.ndim == 2:
            self._masks[path] = mask if name == "attention_mask" else mask == 0
        elif mask is None and is_decoder:
            self._masks[path] = None  # the encoder's mask says nothing of the decoder's tokens
        elif place is not None and not self._has_seen:
            self._is_hidden = isinstance(mask, Tensor) and mask.ndim == 4
        self._has_seen |= place is not None

    def _start(self, model: nn.Module, args: Any) -> None:
        if self._done:
            issue(["a forward pass was not collected and does not count; call collect after each"])
        self.clear()

    def _end(self, model: nn.Module, args: Any, output: Any) -> None:
        self._done, self.output = True, output

    def _take(self, module: nn.Module, args: Any, output: Any) -> None:
        run = self._runs.get(module, 0)
        self._runs[module] = run + 1
        for layer in self._wanted:
            if layer.module is module and (layer.run or 0) == run:
                tensor = main_tensor(output, module)
                if tensor is not None and self.at_once is not None:
                    self._found[layer.name] = self.at_once(layer, tensor)
                elif tensor is not None:
                    self._found[layer.name] = tensor.detach()
                    if not tensor.is_inference():
                        self._versions[layer.name] = tensor._version


def _place_of_mask(module: nn.Module) -> tuple[int, str] | None:
    """Say which argument of a module is its mask, by place and name; None if it takes none."""
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):  # written in C
        return None
    for name in _MASKS:
        if name in names:
            return names.index(name), name
    return None


def _is_within(path: str, of: str) -> bool:
    return not of or path == of or path.startswith(f"{of}.")


def _did_not_run(layer: Wanted) -> str:
    inner = [f"{layer.path}.{name}".lstrip(".") for name, _ in layer.module.named_children()]
    text = f"layer {layer.name!r} ({type(layer.module).__name__}) did not run in this forward pass"
    if isinstance(layer.module, (nn.ModuleList, nn.ModuleDict)) and inner:
        return f"{text}: it only holds layers; name one of them, {inner[0]!r} to {inner[-1]!r}"
    return f"{text}; a compiled or parallel model must run through update"
