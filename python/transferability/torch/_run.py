"""Run a model as it should be run for features, and leave it as it was found."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._metric.score import issue
from ..errors import DataError

__all__ = ["call", "device_of", "modes", "moved"]

_AMP = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@contextlib.contextmanager
def modes(
    model: nn.Module, *, device: object = None, amp: str | None = None, warn: bool = True
) -> Iterator[contextlib.ExitStack]:
    """Put a model in evaluation mode, without gradients, as asked; then all as it was before.

    Gives a stack for what else is to be undone at the end, an error or not.
    """
    if amp is not None and amp not in _AMP:
        raise DataError(f"amp is {amp!r}; choose from None, 'bfloat16', 'float16'")
    here = device_of(model)
    there = here if device is None else torch.device(device)
    with contextlib.ExitStack() as stack:
        training = [module for module in model.modules() if module.training]
        if training:
            if warn and model.training:
                issue(
                    [
                        "the model was in training mode, where dropout and batch statistics make "
                        "features random; it is in evaluation mode until the end of this pass"
                    ]
                )
            stack.callback(_train, training)
            model.eval()
        if there != here:
            stack.callback(model.to, here)
            model.to(there)
        stack.enter_context(torch.no_grad())
        if amp is not None:
            stack.enter_context(torch.autocast(there.type, dtype=_AMP[amp]))
        yield stack


def _train(modules: list[nn.Module]) -> None:
    for module in modules:  # not model.train(), which would put frozen parts in training mode too
        module.training = True


def device_of(model: nn.Module) -> torch.device:
    """Give the device of the model's first parameter or buffer."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "meta":
            raise DataError("the model is on the meta device: it has no weights; load them first")
        return tensor.device
    return torch.device("cpu")


def moved(batch: Any, device: torch.device) -> Any:
    """Give a batch on a device: tensors, also inside mappings, tuples and lists."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        entries = [moved(entry, device) for entry in batch]
        return type(batch)(*entries) if hasattr(batch, "_fields") else type(batch)(entries)
    return batch


def call(model: nn.Module, batch: Any) -> Any:
    """Call a model on a batch: a mapping as keywords where they fit, a tuple as arguments."""
    if isinstance(batch, Mapping):
        try:
            inspect.signature(model.forward).bind(**batch)
        except TypeError:
            return model(batch)  # sentence-transformers' models take the mapping itself
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple) else model(batch)
