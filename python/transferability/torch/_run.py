"""Run a model in evaluation mode, and restore its modes and device afterwards."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from .._metric.score import issue
from ..errors import DataError, DtypeError
from ._names import AMP_FORMATS, check_amp

__all__ = ["call", "evaluation_mode", "find_device", "move_batch", "parse_device", "pin_batch"]
__all__ += ["read_device"]

_AMP: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in AMP_FORMATS}


@contextlib.contextmanager
def evaluation_mode(
    model: nn.Module, *, device: object = None, amp: str | None = None, warn: bool = True
) -> Iterator[contextlib.ExitStack]:
    """Put a model in evaluation mode without gradients; restore it afterwards, also after an error.

    The mode of each module is restored on its own. The model runs on `device`, by default where it
    is, in mixed precision with `amp`. `warn` reports a model in training mode. The stack that the
    context yields takes further callbacks for its end.
    """
    check_amp(amp)
    here = find_device(model)
    there = here if device is None else read_device(device)
    with contextlib.ExitStack() as stack:
        training = [module for module in model.modules() if module.training]
        if training:
            if warn and model.training:
                text = (
                    "the model was in training mode, where dropout and batch statistics make "
                    "features random; it is in evaluation mode until the end of this pass"
                )
                issue([text])
            for module in training:  # model.train() would include frozen parts
                stack.callback(setattr, module, "training", True)
            model.eval()
        if there != here:
            stack.callback(model.to, here)
            model.to(there)
        stack.enter_context(torch.no_grad())
        if amp is not None:
            stack.enter_context(torch.autocast(there.type, dtype=_AMP[amp]))
        yield stack


def read_device(device: Any = None) -> torch.device:
    """Return a device on which torch can run here; by default the GPU if there is one.

    Raise DtypeError or DataError, with the argument's name, if it is none.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = parse_device(device)
    if chosen.type == "meta":
        raise DataError("device is 'meta', which computes nothing; give for example 'cpu'")
    if chosen.type == "cuda":
        n_here = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not n_here:
            raise DataError(f"device is {str(device)!r}, but torch finds no GPU here; give 'cpu'")
        if (chosen.index or 0) >= n_here:
            last = f"'cuda:0' to 'cuda:{n_here - 1}'" if n_here > 1 else "'cuda:0'"
            raise DataError(f"device is {str(device)!r}, and torch finds {last} here")
    elif chosen.type != "cpu":
        try:
            torch.empty(0, device=chosen)
        except Exception as error:  # of each backend its own, also if it is not compiled in
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DataError(
                f"device is {str(device)!r}, which torch cannot use here ({reason}); give 'cpu'"
            ) from error
    return chosen


def parse_device(device: Any) -> torch.device:
    """Return a device by its name, whether there is one here or not."""
    is_number = isinstance(device, int) and not isinstance(device, bool)
    if not isinstance(device, (str, torch.device)) and not is_number:
        raise DtypeError(f"device is {device!r}; give for example 'cpu' or 'cuda:0'")
    try:
        return torch.device(device)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"device is {device!r}; give for example 'cpu' or 'cuda:0'") from error


def find_device(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer of a model; the CPU without any."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.device.type == "meta":
            raise DataError("the model is on the meta device: it has no weights; load them first")
        return tensor.device
    return torch.device("cpu")


def move_batch(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch to a device, also those in mappings, tuples and lists."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: move_batch(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        entries = [move_batch(entry, device) for entry in batch]
        return type(batch)(*entries) if hasattr(batch, "_fields") else type(batch)(entries)
    return batch


def pin_batch(batch: Any) -> Any:
    """Copy the tensors of a batch to pinned memory, from which a CUDA device copies by itself.

    A mapping is changed in place, since its class may carry more than its entries.
    """
    if isinstance(batch, Tensor):
        return batch.pin_memory() if batch.device.type == "cpu" else batch
    if isinstance(batch, MutableMapping):
        for key in list(batch):
            if isinstance(batch[key], Tensor):
                batch[key] = pin_batch(batch[key])
    return batch


def call(model: nn.Module, batch: Any) -> Any:
    """Call a model on a batch: mappings as keywords if the signature fits, tuples as arguments."""
    if isinstance(batch, Mapping):
        try:
            inspect.signature(model.forward).bind(**batch)
        except TypeError:
            return model(batch)  # models of sentence-transformers take the mapping itself
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple) else model(batch)
