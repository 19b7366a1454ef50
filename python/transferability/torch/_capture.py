"""Record layer outputs and attention masks with forward hooks."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from .._metric.score import issue
from ..errors import DataError
from ._layers import LayerRequest, first_names
from ._tensors import select_features

__all__ = ["Capture"]

#: Arguments that hold a mask. The first is 1 at tokens; those of torch are True or -inf at padding.
_MASKS = ("attention_mask", "src_key_padding_mask", "tgt_key_padding_mask")


@dataclass(eq=False)
class _ForwardPass:
    """Everything that is recorded in one forward pass."""

    is_done: bool = False
    output: Any = None  # of the model
    found: dict[str, Any] = field(default_factory=dict)  # outputs of layers
    versions: dict[str, int] = field(default_factory=dict)  # of these tensors; count changes
    n_runs: dict[nn.Module, int] = field(default_factory=dict)
    masks: dict[str, Tensor | None] = field(default_factory=dict)  # (N, T), by path of the module
    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)  # (N, T) of these outputs
    unmasked: set[str] = field(default_factory=set)  # layers that no mask was found for
    has_seen: bool = False  # a module with a mask argument has run
    is_hidden: bool = False  # the first such module got a 4-D mask of attention scores


class Capture:
    """Record the outputs of the wanted layers of a model; leaving `stack` removes the hooks."""

    def __init__(
        self, model: nn.Module, wanted: Sequence[LayerRequest], stack: contextlib.ExitStack
    ) -> None:
        #: Applied to each output within the hook of the layer; None keeps the output itself.
        self.transform: Callable[[LayerRequest, Tensor], Any] | None = None
        self._wanted = wanted
        self._pass = _ForwardPass()
        self._warned: set[str] = set()  # layers whose padding was warned of
        # Before all other hooks, since the model itself may be a layer.
        hooks = [model.register_forward_pre_hook(self._start, prepend=True)]
        for module in dict.fromkeys(layer.module for layer in wanted):
            hooks.append(module.register_forward_hook(self._take))
        outer = {model, *model.children()}
        for module, path in first_names(model).items():
            place = _place_of_mask(module)
            if place is not None or module in outer:
                watch = functools.partial(self._watch, path, place)
                hooks.append(module.register_forward_pre_hook(watch, with_kwargs=True))
        hooks.append(model.register_forward_hook(self._end))  # after all other hooks
        for hook in hooks:
            stack.callback(hook.remove)

    def clear(self) -> None:
        """Discard the recorded forward pass."""
        self._pass = _ForwardPass()

    @property
    def output(self) -> Any:
        """The output of the model."""
        return self._pass.output

    def find_mask(self, layer: LayerRequest) -> Tensor | None:
        """Return the attention mask of the innermost module around a layer that received one.

        Raise DataError if the model computes its mask itself, so that no module received (N, T).
        """
        masks = self._pass.masks
        around = [path for path in masks if not path or f"{layer.path}.".startswith(f"{path}.")]
        if self._pass.is_hidden and not around:
            raise DataError(
                f"layer {layer.name!r}: the attention mask is not among what the model was given; "
                f"pass attention_mask=, or attention_mask={{{layer.name!r}: None}} if all tokens "
                f"count"
            )
        if not around:
            self._pass.unmasked.add(layer.name)
        return masks[max(around, key=len)] if around else None

    def warn_of_padding(self) -> None:
        """Warn of layers without a mask, if another module got one that hides some of the tokens.

        Such a module may run after the layer, so that its mask comes too late to be used.
        """
        state = self._pass
        for name in sorted(state.unmasked - self._warned):
            for path, mask in state.masks.items():
                if mask is None or mask.shape != state.tokens.get(name) or bool((mask != 0).all()):
                    continue
                self._warned.add(name)
                text = (
                    f"layer {name!r} counts padding as tokens: the mask that {path!r} received "
                    f"hides it from the layers in there only; pass attention_mask=, or "
                    f"attention_mask={{{name!r}: None}} if all tokens count"
                )
                issue([text])
                break

    def outputs(self) -> dict[str, Any]:
        """Return the output of each layer by name, after `transform`.

        Raise DataError if a layer did not run, ran several times, or was overwritten in place.
        """
        found, versions = self._pass.found, self._pass.versions
        for layer in self._wanted:
            runs, name = self._pass.n_runs.get(layer.module, 0), layer.name
            if not runs:
                raise DataError(_did_not_run(layer))
            if layer.run is None and runs > 1:
                raise DataError(
                    f"layer {name!r} ran {runs} times in one forward pass; say which: "
                    f"{name + '#0'!r} to {f'{name}#{runs - 1}'!r}"
                )
            if layer.run is not None and layer.run >= runs:
                raise DataError(f"layer {name!r} ran only {runs} times in this forward pass")
            if name not in found:
                raise DataError(f"layer {name!r} gives no tensor of features")
            if name in versions and versions[name] != found[name]._version:
                raise DataError(
                    f"what layer {name!r} gave was overwritten by a layer that works in place; "
                    f"let update run the model, or name that later layer"
                )
        return found

    def _watch(
        self,
        path: str,
        place: tuple[int, str] | None,
        module: nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Record the mask (N, T) that a module receives."""
        state = self._pass
        if place is None:  # modules of sentence-transformers receive a mapping
            mapping = args[0] if args and isinstance(args[0], Mapping) else {}
            index, name, mask = 0, "attention_mask", mapping.get("attention_mask")
        else:
            index, name = place
            mask = kwargs.get(name, args[index] if index < len(args) else None)
        is_decoder = kwargs.get("encoder_hidden_states") is not None or name.startswith("tgt")
        if isinstance(mask, Tensor) and mask.ndim == 2:
            state.masks[path] = mask if name == "attention_mask" else mask == 0
        elif mask is None and is_decoder:
            state.masks[path] = None  # the encoder's mask is not that of the decoder's tokens
        elif place is not None and not state.has_seen:
            state.is_hidden = isinstance(mask, Tensor) and mask.ndim == 4
        state.has_seen |= place is not None

    def _start(self, model: nn.Module, args: Any) -> None:
        if self._pass.is_done:
            issue(["a forward pass was not collected and does not count; call collect after each"])
        self.clear()

    def _end(self, model: nn.Module, args: Any, output: Any) -> None:
        self._pass.is_done, self._pass.output = True, output

    def _take(self, module: nn.Module, args: Any, output: Any) -> None:
        state = self._pass
        run = state.n_runs.get(module, 0)
        state.n_runs[module] = run + 1
        for layer in self._wanted:
            if layer.module is module and (layer.run or 0) == run:
                tensor = select_features(output, module)
                if tensor is not None and tensor.ndim == 3 and not tensor.is_nested:
                    state.tokens[layer.name] = tuple(tensor.shape[:2])
                if tensor is not None and self.transform is not None:
                    state.found[layer.name] = self.transform(layer, tensor)
                elif tensor is not None and tensor.is_inference():
                    state.found[layer.name] = tensor.clone()  # its changes are not counted
                elif tensor is not None:
                    state.found[layer.name] = tensor.detach()
                    state.versions[layer.name] = tensor._version


def _place_of_mask(module: nn.Module) -> tuple[int, str] | None:
    """Return the position and name of the mask argument of a module; None without one."""
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):  # implemented in C
        return None
    return next(((names.index(name), name) for name in _MASKS if name in names), None)


def _did_not_run(layer: LayerRequest) -> str:
    inner = [f"{layer.path}.{name}".lstrip(".") for name, _ in layer.module.named_children()]
    text = f"layer {layer.name!r} ({type(layer.module).__name__}) did not run in this forward pass"
    if isinstance(layer.module, (nn.ModuleList, nn.ModuleDict)) and inner:
        return f"{text}: it only holds layers; name one of them, {inner[0]!r} to {inner[-1]!r}"
    return f"{text}; a compiled or parallel model must run through update"
