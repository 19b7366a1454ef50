"""NaN and infinity in features, named by layer and batch, without making a device wait."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from ..errors import DataError

__all__ = ["FirstBad"]

#: Batches between looks at what a device found: each look waits for the device.
_PERIOD = 16
_NEVER = 2**62


class FirstBad:
    """The first batch of each layer with features that are not finite.

    Parameters
    ----------
    later : bool
        Treat the CPU like any device.
    """

    def __init__(self, *, later: bool = False) -> None:
        self._batch = 0
        self._later = later
        self._found: dict[str, Tensor] = {}

    def see(self, layer: str, rows: Tensor) -> None:
        """Look at a batch of a layer's rows: at once on the CPU, later elsewhere."""
        bad = ~torch.isfinite(rows).all()
        if rows.device.type == "cpu" and not self._later:
            if bad:
                self._refuse(layer, self._batch, rows)
            return
        here = torch.where(bad, self._batch, _NEVER)
        before = self._found.get(layer)
        self._found[layer] = here if before is None else torch.minimum(before, here)

    def end_of_batch(self) -> None:
        """Count a batch, and look now and then."""
        self._batch += 1
        self.check(_PERIOD)

    def check(self, period: int | None) -> None:
        """Refuse what was found so far; with a period, look at every so many batches only."""
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
