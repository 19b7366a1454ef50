"""Check features for NaN and infinity without synchronising with the device at every batch."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from ..errors import DataError

__all__ = ["FiniteCheck"]

#: Batches between two reads of the flags on a device; each read waits for the device.
_PERIOD = 16
_NEVER = 2**62


class FiniteCheck:
    """Record the first batch of each layer that holds NaN or infinity.

    The check is deferred on every device but the CPU; with `later`, on the CPU too.
    """

    def __init__(self, *, later: bool = False) -> None:
        self._batch = 0
        self._later = later
        self._found: dict[str, Tensor] = {}

    def inspect(self, layer: str, rows: Tensor) -> None:
        """Check rows; on the CPU raise DataError at once, on a device only record the result."""
        bad = ~torch.isfinite(rows).all()
        if rows.device.type == "cpu" and not self._later:
            if bad:
                self._refuse(layer, self._batch, rows)
            return
        here = torch.where(bad, self._batch, _NEVER)
        before = self._found.get(layer)
        self._found[layer] = here if before is None else torch.minimum(before, here)

    def end_of_batch(self) -> None:
        """Count a batch; read the recorded flags every 16 batches."""
        self._batch += 1
        self.check(_PERIOD)

    def check(self, period: int | None) -> None:
        """Raise DataError if a recorded batch was not finite.

        With a `period`, read the flags only if the number of batches is a multiple of it.
        """
        if not self._found or (period is not None and self._batch % period):
            return
        first = torch.stack(list(self._found.values())).cpu()
        if int(first.min()) < _NEVER:
            layer = list(self._found)[int(first.argmin())]
            self._refuse(layer, int(first.min()), None)

    def _refuse(self, layer: str, batch: int, rows: Tensor | None) -> NoReturn:
        where = ""
        if rows is not None:
            row, column = torch.nonzero(~torch.isfinite(rows))[0].tolist()
            where = f" (row {row}, column {column}: {float(rows[row, column])})"
        raise DataError(
            f"layer {layer!r} gives features that are NaN or infinite in batch {batch}{where}; "
            f"look for overflow in half precision, for samples whose attention mask is all 0, or "
            f"for broken weights"
        )
