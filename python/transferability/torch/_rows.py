"""Buffer the rows of one layer, and accumulate them into statistics in blocks.

Blocks have exactly `BLOCK` rows for any batch size. So results do not depend on the batch size, the
task is not inferred from the labels of one small batch, and matrix products are large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.target import UNLABELLED, Target, read_target, unlabelled
from .._stats.stats import Stats
from ..errors import DataError
from ._device import DeviceMoments

__all__ = ["BLOCK", "LayerRows"]

#: Rows that are accumulated together.
BLOCK = 512


class LayerRows:
    """The rows of one layer: their statistics, and the rows themselves on request.

    Parameters
    ----------
    layer : str
        Name of the layer, for messages.
    task, n_threads, class_scatters
        As in :class:`transferability.Stats`.
    accumulate : {"auto", "host", "device"}
        "auto" is the device of the rows, except if that is the CPU or MPS (which has no float64),
        or with `class_scatters`, which only the host has.
    dtype : {"float32", "float64"}, optional
        Precision of products. Default: float64 on the host, float32 on a device.
    keep : torch.dtype, optional
        Also keep the rows, on the host, in this dtype.
    keep_labels : bool, default=False
        Also keep the labels; implied by `keep`.
    """

    def __init__(
        self,
        layer: str,
        task: str,
        *,
        accumulate: str = "auto",
        dtype: str | None = None,
        class_scatters: bool = False,
        n_threads: int | None = None,
        keep: torch.dtype | None = None,
        keep_labels: bool = False,
    ) -> None:
        self.layer = layer
        self.groups: list[NDArray[Any]] = []
        self.n_rows = 0
        self.is_constant = True  # all rows so far are equal
        self._task = task
        self._accumulate = accumulate
        self._dtype = dtype
        self._class_scatters = class_scatters
        self._n_threads = n_threads
        self._first: Tensor | None = None
        self._keep = keep
        self._keep_labels = keep_labels or keep is not None
        self._kept: list[Tensor] = []
        self._labels: list[NDArray[Any]] = []
        self._waiting: list[tuple[Tensor, NDArray[Any] | None]] = []
        self._n_waiting = 0
        self._into: Stats | DeviceMoments | None = None
        self._form: tuple[bool, int, int] | None = None  # named classes, label columns, features

    def check(self, rows: Tensor, labels: NDArray[Any] | None) -> None:
        """Check rows against their labels and against earlier batches.

        Raises
        ------
        DataError
            If the number of rows or columns, or the form of the labels, does not fit.
        """
        if rows.ndim != 2:
            raise DataError(
                f"layer {self.layer!r}: pool gave {tuple(rows.shape)}; it must give (n, D) rows"
            )
        if labels is not None and len(labels) != len(rows):
            raise DataError(
                f"labels has {len(labels)} entries but layer {self.layer!r} gives {len(rows)} "
                f"rows; give one label for each row, the batch first"
            )
        if not len(rows):  # without labelled words, the labels have no form to compare
            return
        form = self._form_of(rows, labels)
        if self._form is not None and self._form != form:
            raise DataError(
                f"layer {self.layer!r}: this batch has {form[2]} features and "
                f"{_describe(form)}, earlier ones {self._form[2]} and {_describe(self._form)}"
            )

    def add(self, rows: Tensor, labels: NDArray[Any] | None, groups: NDArray[Any] | None) -> None:
        """Add rows that passed :meth:`check`."""
        if not len(rows):
            return
        self._form = self._form_of(rows, labels)
        self.n_rows += len(rows)
        if self.is_constant:
            self._first = rows[:1].clone() if self._first is None else self._first
            self.is_constant = bool((rows == self._first).all())
        if groups is not None:
            self.groups.append(groups)
        if self._keep is not None:
            self._kept.append(rows.to("cpu", self._keep))
        if self._keep_labels and labels is not None:
            self._labels.append(labels)
        self._waiting.append((rows, labels))
        self._n_waiting += len(rows)
        if self._n_waiting >= BLOCK:
            self._flush(whole=True)

    def _form_of(self, rows: Tensor, labels: NDArray[Any] | None) -> tuple[bool, int, int]:
        if labels is None:
            return (False, -1, rows.shape[1])
        return (labels.dtype.kind == "U", labels.shape[1] if labels.ndim > 1 else 0, rows.shape[1])

    def _flush(self, whole: bool) -> None:
        rows = torch.cat([rows for rows, _ in self._waiting])
        given = [labels for _, labels in self._waiting if labels is not None]
        labels = np.concatenate(given) if given else None
        end = len(rows) - len(rows) % BLOCK if whole else len(rows)
        for start in range(0, end, BLOCK):
            stop = min(start + BLOCK, end)
            self._push(rows[start:stop], None if labels is None else labels[start:stop])
        # A copy, since a view would keep all rows alive.
        rest = (rows[end:].clone(), None if labels is None else labels[end:].copy())
        self._waiting = [rest] if end < len(rows) else []
        self._n_waiting = len(rows) - end

    def _push(self, rows: Tensor, labels: NDArray[Any] | None) -> None:
        target = unlabelled(len(rows)) if labels is None else read_target(labels, self._task)
        self._task = "auto" if target.task == UNLABELLED else target.task
        if self._into is None:
            self._into = self._begin(rows, target)
        if isinstance(self._into, DeviceMoments):
            self._into.add(rows, target)
        else:
            self._into.push(rows.cpu().numpy(), target)

    def _begin(self, rows: Tensor, target: Target) -> Stats | DeviceMoments:
        kind = rows.device.type
        on_device = self._accumulate == "device" or (
            self._accumulate == "auto" and kind not in ("cpu", "mps") and not self._class_scatters
        )
        if on_device and not self._class_scatters:
            return DeviceMoments(torch.float64 if self._dtype == "float64" else torch.float32)
        precision = "single" if self._dtype == "float32" else "double"
        scatters = self._class_scatters
        return Stats(target.task, precision, self._n_threads, class_scatters=scatters)

    def detach(self) -> None:
        """Copy statistics on the host, so that further rows do not change those returned before."""
        if isinstance(self._into, Stats):
            self._into = self._into.copy()

    def stats(self) -> Stats:
        """Return the statistics of all rows so far."""
        if self._n_waiting:
            self._flush(whole=False)
        if self._into is None:
            raise DataError(f"layer {self.layer!r} has no rows yet; call update first")
        if isinstance(self._into, DeviceMoments):
            return self._into.to_stats(self._n_threads)
        return self._into

    @property
    def has_features(self) -> bool:
        """Whether rows were kept."""
        return bool(self._kept)

    def features(self) -> NDArray[Any]:
        """Return the kept rows, (n_rows, D)."""
        if self._keep is None:
            raise DataError("features were not kept; use extract(…, keep_features=True)")
        if not self._kept:
            raise DataError(f"layer {self.layer!r} has no rows yet; call update first")
        features: NDArray[Any] = torch.cat(self._kept).numpy()
        return features

    def labels(self) -> NDArray[Any] | None:
        """Return the kept labels; None without any."""
        return np.concatenate(self._labels) if self._labels else None


def _describe(form: tuple[bool, int, int]) -> str:
    if form[1] < 0:
        return "no labels"
    columns = f"{form[1]} columns of " if form[1] else ""
    return f"{columns}{'strings' if form[0] else 'numbers'} as labels"
