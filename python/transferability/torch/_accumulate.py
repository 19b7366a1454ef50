r"""Accumulate power sums of rows, classes and targets, a block of rows at a time.

For shifted rows x (B, D) of a block, with labels or with shifted targets y (B, K):

    sum (D,) += Σ x                                target_sum (K,) += Σ y
    cubic (D,) += Σ ‖x‖² x                         target_square (K,) += Σ y²
    quartic () += Σ ‖x‖⁴                           cross (D, K) += Σ x yᵀ
    class_sums (C, D) += Σ x of each class         joint_quartic () += Σ ‖x‖² ‖y‖²
    class_squares (C,) += Σ ‖x‖² of each class     joint_features (D,) += Σ ‖y‖² x
                                                   joint_targets (K,) += Σ ‖x‖² y

and, for K ≤ D, the target_products (K, K), target_cubic (K,) and target_quartic () of y, which are
for y as scatter, cubic and quartic are for x.

Everything is float64; the names are those of :meth:`transferability.Stats.from_moments`.
TransferabilityMetric and DeviceMoments share these sums, and differ in the rest:

- *Shift*. An argument of the metric, because the sums of several processes can be merged only about
  one shift. DeviceMoments takes the mean of its first block.
- *Scatter*, Σ x xᵀ. The metric adds a float64 product. DeviceMoments multiplies in float32 without
  TF32, with columns scaled by powers of two, or in float64 in place, which saves D² numbers. The
  in-place product is summed in another order, so the two round differently.
- *Classes*. 0 to C - 1 in the metric; names in order of appearance in DeviceMoments.
- *Targets*. On the device in the metric; on the host in DeviceMoments.
- *Range*. The least and the largest value of each column in the metric, equal in constant columns;
  the largest |x| in DeviceMoments, whose shift makes constant columns exactly 0.

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
    """Return zeros for the sums of rows and, where there are targets, those with targets."""
    shapes: dict[str, tuple[int, ...]] = {
        "sum": (n_features,),
        "scatter": (n_features, n_features),
        "cubic": (n_features,),
        "quartic": (),
    }
    if n_targets is not None:
        shapes |= {
            "cross": (n_features, n_targets),
            "joint_quartic": (),
            "joint_features": (n_features,),
            "joint_targets": (n_targets,),
        }
        if n_targets <= n_features:
            shapes |= {
                "target_products": (n_targets, n_targets),
                "target_cubic": (n_targets,),
                "target_quartic": (),
            }
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
    """Add the sums of each class over rows x (B, D) to `class_sums`, `class_squares`, in place.

    `members` (n_classes, B) is 1 where a row belongs to a class, else 0. `places` (n_classes,) has
    the row of each class in `class_sums`, none twice; by default, all C in order.
    """
    # A product, since index_add_ of rows adds them in another order in each run on a GPU.
    blocks = {"class_sums": members @ x, "class_squares": members @ (x * x).sum(1)}
    for name, block in blocks.items():
        if places is None:
            sums[name] += block
        else:
            sums[name].index_add_(0, places, block)


def add_targets(sums: MutableMapping[str, Any], x: Tensor, y: Tensor | NDArray[Any]) -> None:
    """Add targets (B, K), on the device of `x` or on the host, to the sums of targets, in place."""
    sums["target_sum"] += y.sum(0)
    sums["target_square"] += (y * y).sum(0)
    y = y if isinstance(y, Tensor) else send(y, x.device)
    sums["cross"] += x.T @ y
    of_features, of_targets = (x * x).sum(1), (y * y).sum(1)
    sums["joint_quartic"] += of_features @ of_targets
    sums["joint_features"] += of_targets @ x
    sums["joint_targets"] += of_features @ y
    if "target_products" in sums:
        sums["target_products"] += y.T @ y
        sums["target_cubic"] += of_targets @ y
        sums["target_quartic"] += of_targets @ of_targets


def send(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy a small array to a device; to a GPU asynchronously, from pinned memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
