r"""Accumulate power sums of rows, of classes and of targets, one block of rows at a time.

For shifted rows x (B, D) of a block, with its labels, or with shifted targets y (B, K):

    sum (D,) += Σ x                        target_sum (K,) += Σ y
    cubic (D,) += Σ ‖x‖² x                 target_square (K,) += Σ y²
    quartic () += Σ ‖x‖⁴                   cross (D, K) += Σ x yᵀ
    class_sums (C, D) += Σ of each class

Everything is float64; the names are those of :meth:`transferability.Stats.from_moments`.
TransferabilityMetric and DeviceMoments both hold these sums. They differ in the rest:

- *Shift*. The metric takes it as an argument, because the sums of several processes can be merged
  only about one shift. DeviceMoments takes the mean of its first block.
- *Scatter*, Σ x xᵀ. The metric adds a float64 product. DeviceMoments multiplies in float32, of
  columns scaled by powers of two and without TF32, or in float64 in place, to save D² numbers. A
  product in place is summed in another order, so the two round differently.
- *Classes*. The metric has 0 to C - 1. DeviceMoments has names in order of appearance, and a table
  that grows.
- *Targets*. On the device for the metric, on the host for DeviceMoments.
- *Range*. The metric holds the least and the largest value of each column, from which constant
  columns are found under any shift. DeviceMoments holds the largest |x|; its shift makes constant
  columns exactly 0.
- *State*. The metric holds tensors that torchmetrics resets, saves and merges. DeviceMoments holds
  the rows themselves while N ≤ D.

Time: O(B D) for rows, O(B C D) for classes, O(B D K) for targets.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["add_classes", "add_rows", "add_targets", "send", "zero_sums"]


def zero_sums(
    n_features: int, n_targets: int | None = None, device: torch.device | None = None
) -> dict[str, Tensor]:
    """Return zeros for the sums of rows, and for `cross` where there are targets."""
    shapes: dict[str, tuple[int, ...]] = {
        "sum": (n_features,),
        "scatter": (n_features, n_features),
        "cubic": (n_features,),
        "quartic": (),
    }
    if n_targets is not None:
        shapes["cross"] = (n_features, n_targets)
    return {
        name: torch.zeros(shape, dtype=torch.float64, device=device)
        for name, shape in shapes.items()
    }


def add_rows(sums: MutableMapping[str, Any], x: Tensor) -> None:
    """Add the rows of a block, (B, D) float64, to `sum`, `cubic` and `quartic`, in place."""
    square = (x * x).sum(1)
    sums["sum"] += x.sum(0)
    sums["cubic"] += square @ x
    sums["quartic"] += square @ square


def add_classes(
    sums: MutableMapping[str, Any], members: Tensor, x: Tensor, places: Tensor | None = None
) -> None:
    """Add the sum of each class to `class_sums`, in place.

    Parameters
    ----------
    sums : mapping
        Holds `class_sums`, (C, D).
    members : Tensor of shape (n_classes, B), float64
        1 where a row belongs to a class, else 0.
    x : Tensor of shape (B, D), float64
        The rows.
    places : Tensor of shape (n_classes,), optional
        The row of `class_sums` of each class, none twice. Default: all rows in order.
    """
    # A product, not index_add_ of the rows: on a GPU the order of its additions differs by run.
    of_classes = members @ x
    if places is None:
        sums["class_sums"] += of_classes
    else:
        sums["class_sums"].index_add_(0, places, of_classes)


def add_targets(sums: MutableMapping[str, Any], x: Tensor, y: Tensor | NDArray[Any]) -> None:
    """Add targets (B, K), on the device of `x` or on the host, to the sums of targets, in place."""
    sums["target_sum"] += y.sum(0)
    sums["target_square"] += (y * y).sum(0)
    sums["cross"] += x.T @ (y if isinstance(y, Tensor) else send(y, x.device))


def send(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy a small array to a device: to a GPU from pinned memory, without waiting for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
