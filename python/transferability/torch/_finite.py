"""Check features for NaN and infinity without synchronising with the device at every batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..errors import DataError

__all__ = ["FiniteCheck"]

#: Batches between two reads of the flags on a device; each read waits for the device.
_PERIOD = 16
_NEVER = 2**62


class FiniteCheck:
    """Record the first batch of each layer that holds NaN or infinity.

    The check is deferred on every device but the CPU; with `later`, on the CPU too. What a CUDA
    device finds is copied while it works on later batches, so it is reported up to 32 batches late.
    """

    def __init__(self, *, later: bool = False) -> None:
        self._batch = 0
        self._later = later
        self._found: dict[str, Tensor] = {}
        self._copied: tuple[list[str], Tensor, Any] | None = None  # layers, flags, end of the copy

    def inspect(self, layer: str, rows: Tensor, name: Callable[[int], str] | None = None) -> None:
        """Check rows; on the CPU raise DataError at once, on a device only record the result.

        ``name(i)`` is how the message calls row i.
        """
        bad = ~torch.isfinite(rows).all()
        if rows.device.type == "cpu" and not self._later:
            if bad:
                self._refuse(layer, self._batch, rows, name)
            return
        here = torch.where(bad, self._batch, _NEVER)
        before = self._found.get(layer)
        self._found[layer] = here if before is None else torch.minimum(before, here)

    def end_of_batch(self) -> None:
        """Count a batch; read the recorded flags every 16 batches."""
        self._batch += 1
        if self._batch % _PERIOD == 0:
            self._read()  # flags of 16 batches ago, which have arrived since
            self._copy()

    def check(self) -> None:
        """Raise DataError if a recorded batch was not finite; wait for the device."""
        self._copy()
        self._read()

    def _copy(self) -> None:
        """Copy the flags to the host; from a CUDA device without waiting for the copy."""
        if not self._found:
            return
        flags = torch.stack(list(self._found.values()))
        if flags.device.type != "cuda":
            self._copied = [*self._found], flags.cpu(), None
            self._read()
            return
        host = torch.empty(flags.shape, dtype=flags.dtype, pin_memory=True)
        host.copy_(flags, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(flags.device))
        self._copied = [*self._found], host, event

    def _read(self) -> None:
        """Raise DataError if the flags that were copied say so."""
        if self._copied is None:
            return
        (layers, flags, event), self._copied = self._copied, None
        if event is not None:
            event.synchronize()
        if int(flags.min()) < _NEVER:
            self._refuse(layers[int(flags.argmin())], int(flags.min()))

    def _refuse(
        self,
        layer: str,
        batch: int,
        rows: Tensor | None = None,
        name: Callable[[int], str] | None = None,
    ) -> NoReturn:
        where = ""
        if rows is not None:
            row, column = torch.nonzero(~torch.isfinite(rows))[0].tolist()
            called = f"row {row}" if name is None else name(row)
            where = f" ({called}, column {column}: {float(rows[row, column])})"
        raise DataError(
            f"layer {layer!r} gives features that are NaN or infinite in batch {batch}{where}; "
            f"look for overflow in half precision, for samples whose attention mask is all 0, or "
            f"for broken weights"
        )
