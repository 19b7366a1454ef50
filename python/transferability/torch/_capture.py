"""Record layer outputs and attention masks with forward hooks."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .._metric.score import issue
from ..errors import DataError
from ._layers import LayerRequest, named_modules
from ._tensors import select_features

__all__ = ["Capture"]

#: Names of mask arguments: 1 at tokens in the first, True (or -inf) at padding in torch's own.
_MASKS = ("attention_mask", "src_key_padding_mask", "tgt_key_padding_mask")


class Capture:
    """Record the outputs of layers in one forward pass.

    Parameters
    ----------
    model : torch.nn.Module
        The model, without wrappers.
    wanted : sequence of LayerRequest
        The layers.
    stack : ExitStack
        Receives the removal of the hooks.
    """

    def __init__(
        self, model: nn.Module, wanted: Sequence[LayerRequest], stack: contextlib.ExitStack
    ) -> None:
        #: Applied to the output of a layer within its hook; None keeps the output itself.
        self.transform: Callable[[LayerRequest, Tensor], Any] | None = None
        self.output: Any = None
        self._wanted = wanted
        self._model = model
        self._done = False
        self._found: dict[str, Any] = {}
        self._versions: dict[str, int] = {}
        self._runs: dict[nn.Module, int] = {}
        self._masks: dict[str, Tensor | None] = {}
        self._has_seen = False  # a module with a mask argument has run
        self._is_hidden = False  # the first such module got a 4-D mask of attention scores
        # Before all other hooks, since the model itself may be a layer.
        hooks = [model.register_forward_pre_hook(self._start, prepend=True)]
        for module in dict.fromkeys(layer.module for layer in wanted):
            hooks.append(module.register_forward_hook(self._take))
        seen: set[nn.Module] = set()
        outer = {model, *model.children()}
        for path, module in named_modules(model).items():
            place = _place_of_mask(module)
            if (place is not None or module in outer) and module not in seen:
                seen.add(module)
                watch = functools.partial(self._watch, path, place)
                hooks.append(module.register_forward_pre_hook(watch, with_kwargs=True))
        hooks.append(model.register_forward_hook(self._end))  # after all other hooks
        for hook in hooks:
            stack.callback(hook.remove)

    def clear(self) -> None:
        """Discard the recorded forward pass."""
        self._done, self.output = False, None
        self._found.clear()
        self._versions.clear()
        self._runs.clear()
        self._masks.clear()
        self._has_seen = self._is_hidden = False

    def find_mask(self, layer: LayerRequest) -> Tensor | None:
        """Return the attention mask of the innermost module around a layer that received one.

        Raises
        ------
        DataError
            If the model computes its mask itself, so that no module received it as (N, T).
        """
        around = [path for path in self._masks if _is_within(layer.path, path)]
        if self._is_hidden and not around:
            raise DataError(
                f"layer {layer.name!r}: the attention mask is not among what the model was given; "
                f"pass attention_mask=, or attention_mask={{{layer.name!r}: None}} if all tokens "
                f"count"
            )
        return self._masks[max(around, key=len)] if around else None

    def outputs(self) -> dict[str, Any]:
        """Return the output of each layer by name, or what `transform` made of it.

        Raises
        ------
        DataError
            If a layer did not run, ran several times, or its output was overwritten in place.
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
        """Record the mask (N, T) that a module receives."""
        if place is None:  # modules of sentence-transformers receive a mapping
            mapping = args[0] if args and isinstance(args[0], Mapping) else {}
            index, name, mask = 0, "attention_mask", mapping.get("attention_mask")
        else:
            index, name = place
            mask = kwargs.get(name, args[index] if index < len(args) else None)
        is_decoder = kwargs.get("encoder_hidden_states") is not None or name.startswith("tgt")
        if isinstance(mask, Tensor) and mask.ndim == 2:
            self._masks[path] = mask if name == "attention_mask" else mask == 0
        elif mask is None and is_decoder:
            self._masks[path] = None  # the encoder's mask is not that of the decoder's tokens
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
                tensor = select_features(output, module)
                if tensor is not None and self.transform is not None:
                    self._found[layer.name] = self.transform(layer, tensor)
                elif tensor is not None:
                    self._found[layer.name] = tensor.detach()
                    if not tensor.is_inference():
                        self._versions[layer.name] = tensor._version


def _place_of_mask(module: nn.Module) -> tuple[int, str] | None:
    """Return the position and name of the mask argument of a module; None without one."""
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):  # implemented in C
        return None
    for name in _MASKS:
        if name in names:
            return names.index(name), name
    return None


def _is_within(path: str, of: str) -> bool:
    return not of or path == of or path.startswith(f"{of}.")


def _did_not_run(layer: LayerRequest) -> str:
    inner = [f"{layer.path}.{name}".lstrip(".") for name, _ in layer.module.named_children()]
    text = f"layer {layer.name!r} ({type(layer.module).__name__}) did not run in this forward pass"
    if isinstance(layer.module, (nn.ModuleList, nn.ModuleDict)) and inner:
        return f"{text}: it only holds layers; name one of them, {inner[0]!r} to {inner[-1]!r}"
    return f"{text}; a compiled or parallel model must run through update"
