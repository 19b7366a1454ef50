"""Keep the states of a metric exact: float64, on a device that holds numbers.

A module of torch converts its tensors in many ways: ``to``, ``half``, ``bfloat16``, ``type``,
``to_empty``, also from a module that contains it, or by an assignment of the states themselves.
Sums of products do not survive a conversion: bfloat16 counts to 256.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, DtypeError

__all__ = ["as_vector", "check_state", "move_exactly", "real_device"]


def move_exactly(fn: Callable[[Tensor], Tensor], state: Tensor) -> Tensor:
    """Move a state to where `fn` moves tensors, with its own dtype and values.

    The device "meta" holds no values, so a state stays where it is.
    """
    probe = state.new_zeros(1)
    moved = fn(probe)
    if moved is probe:  # in place, as share_memory_, or nothing to do
        return fn(state)
    return state if moved.is_meta else state.to(moved.device)


def real_device(device: torch.device) -> torch.device:
    """Return a device, and the CPU for "meta", which holds no values."""
    return torch.device("cpu") if device.type == "meta" else device


def check_state(name: str, value: Any, shape: torch.Size) -> None:
    """Raise DtypeError or DataError unless a value can be the state of this name."""
    dtype = value.dtype if isinstance(value, Tensor) else type(value).__name__
    if dtype != torch.float64:
        raise DtypeError(
            f"the state {name} of this metric must be float64, got {dtype}, in which sums lose "
            f"digits; leave the metric out where states are converted, also in checkpoints"
        )
    if value.shape != shape:
        raise DataError(
            f"the state {name} of this metric has shape {tuple(shape)}, got {tuple(value.shape)}; "
            f"give both metrics the same number of features, and of classes, outputs or labels"
        )


def as_vector(name: str, value: Any, size: int, device: torch.device) -> Tensor:
    """Return a shift as a vector in float64; zeros for None."""
    if value is None:
        return torch.zeros(size, dtype=torch.float64, device=device)
    vector = torch.as_tensor(value, dtype=torch.float64, device=device).detach().clone()
    if vector.shape != (size,) or not torch.isfinite(vector).all():
        raise DataError(f"{name} must be {size} finite values, got shape {tuple(vector.shape)}")
    return vector
