"""Validate a batch of features and labels of TransferabilityMetric on its device."""

from __future__ import annotations

import torch

from ..errors import DataError, DtypeError

__all__ = ["check_batch"]


def check_batch(
    features: torch.Tensor,
    target: torch.Tensor,
    num_features: int,
    task: str,
    width: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Validate a batch, and move it to a device.

    Return features (B, num_features) in float64, with classes (B,) in int64 or targets (B, width)
    in float64. `width` is the number of classes, targets or labels.
    """
    for name, given in (("features", features), ("target", target)):
        if not isinstance(given, torch.Tensor):
            raise DtypeError(f"{name} must be a tensor, not {type(given).__name__}")
    if features.ndim != 2 or features.shape[1] != num_features:
        raise DataError(f"features has shape {tuple(features.shape)}, expected (B, {num_features})")
    if target.ndim == 1 and task != "classification" and width == 1:
        target = target[:, None]
    expected = (len(features),) + (() if task == "classification" else (width,))
    if not len(features) or target.shape != expected:
        raise DataError(
            f"target has shape {tuple(target.shape)}, expected {expected} with at least one row"
        )
    if features.is_complex() or target.is_complex():
        raise DtypeError("features and target must be real")
    x = features.detach().to(device).double()
    y = target.detach().to(device)
    if not torch.isfinite(x).all():
        row = int((~torch.isfinite(x)).any(dim=1).nonzero()[0])
        raise DataError(f"features has a value that is not finite in row {row} of this batch")
    if task == "classification":
        if y.is_floating_point():
            raise DtypeError(f"target holds classes and has dtype {y.dtype}; give integers")
        y = y.long()
        if len(odd := y[(y < 0) | (y >= width)]):
            raise DataError(
                f"target holds class {int(odd[0])}; num_classes={width} allows 0 to {width - 1}"
            )
        return x, y
    y = y.double()
    fine = torch.isfinite(y) if task == "regression" else (y == 0) | (y == 1)
    if not fine.all():
        row = int((~fine).any(dim=1).nonzero()[0])
        needed = "finite values" if task == "regression" else "0 and 1"
        raise DataError(f"target must hold {needed} only; row {row} of this batch does not")
    return x, y
