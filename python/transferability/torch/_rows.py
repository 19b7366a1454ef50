"""Buffer the rows of one layer, and accumulate them into statistics in blocks of `BLOCK` rows.

With fixed blocks, results do not depend on the batch size, and matrix products are large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.labels import is_text
from .._inputs.target import UNLABELLED, read_block, unlabelled
from .._stats.stats import Stats
from ..errors import DataError
from ._device import DeviceMoments
from ._held import Held, HeldRows
from ._pooling import as_float
from ._tokens import ChunkTags

__all__ = ["BLOCK", "AccumulationOptions", "LayerRows"]

#: Rows that are accumulated together.
BLOCK = 512


@dataclass(frozen=True)
class AccumulationOptions:
    """Settings for accumulating and keeping the rows of every layer."""

    task: str
    accumulate: str  # "host", "device", or "auto": on a GPU if the rows are there
    dtype: str | None  # of products; None: float64 on the host, float32 on a device
    class_scatters: bool  # only the host has them
    n_threads: int | None
    keep: torch.dtype | bool  # also keep the rows, on the host; True: as float32 or float64
    keep_labels: bool  # also keep the labels; implied by `keep`
    strip_chunks: bool = False  # remove the marks of chunks from labels that are text
    tag_names: Sequence[str] | None = None  # all tags, to decide their chunk scheme


class LayerRows:
    """The rows of one layer: their statistics, and the rows themselves on request."""

    def __init__(self, layer: str, options: AccumulationOptions) -> None:
        self.layer = layer
        self.groups: list[NDArray[Any]] = []
        self.n_rows = 0
        self._is_constant: bool | Tensor = True  # on a device, a tensor that is read at the end
        self._options = options
        self._first: Tensor | None = None
        self._kept: list[Tensor] = []
        self._labels: list[NDArray[Any]] = []
        self._held = HeldRows()
        self._waiting: list[tuple[Tensor, NDArray[Any] | None]] = []
        self._n_waiting = 0
        self._into: Stats | DeviceMoments | None = None
        self._tags = ChunkTags(options.tag_names) if options.strip_chunks else None
        self._form: tuple[bool, int, int] | None = None  # named classes, label columns, features

    def check(self, rows: Tensor, labels: NDArray[Any] | None) -> None:
        """Raise DataError unless rows fit their labels and earlier batches."""
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

    def hold(
        self,
        rows: Tensor,
        labels: NDArray[Any] | None,
        groups: NDArray[Any] | None,
        order: NDArray[np.int64],
    ) -> None:
        """Hold rows that passed :meth:`check`; `order` has the position of each in the data."""
        if len(rows):
            self._form = self._form_of(rows, labels)
            beside: tuple[Any, ...] = () if groups is None else (groups,)
            self._held.hold(Held(rows, labels, beside), order)

    def add_held(self) -> None:
        """Add the rows that are held, in the order of their positions."""
        for part in self._held.take(BLOCK):
            self.add(part.rows, part.labels, *(part.beside or (None,)))

    def add(self, rows: Tensor, labels: NDArray[Any] | None, groups: NDArray[Any] | None) -> None:
        """Add rows that passed :meth:`check`."""
        if not len(rows):
            return
        self._form = self._form_of(rows, labels)
        self.n_rows += len(rows)
        if self._is_constant is not False:
            self._first = rows[:1].clone() if self._first is None else self._first
            is_equal = (rows == self._first).all()
            if rows.device.type == "cpu":
                self._is_constant = bool(is_equal)
            else:
                self._is_constant = is_equal & self._is_constant
        if groups is not None:
            self.groups.append(groups)
        keep = self._options.keep
        if keep is not False:
            kept = as_float(rows) if keep is True else rows.to(keep)
            self._kept.append(kept.cpu())
        if labels is not None and (self._options.keep_labels or keep is not False):
            self._labels.append(labels)
        self._waiting.append((rows, labels))
        self._n_waiting += len(rows)
        if self._n_waiting >= BLOCK:
            self._flush(whole=True)

    def _form_of(self, rows: Tensor, labels: NDArray[Any] | None) -> tuple[bool, int, int]:
        if labels is None:
            return (False, -1, rows.shape[1])
        return (is_text(labels), labels.shape[1] if labels.ndim > 1 else 0, rows.shape[1])

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
        note = ""
        if self._tags is not None and labels is not None and is_text(labels):
            labels, note = self._tags.read(labels)
        held = None if self._into is None else self._into.described
        if labels is None:
            target = unlabelled(len(rows))
        else:
            target = read_block(labels, self._options.task, held)
            target = replace(target, note=target.note + note)
        if self._into is None:
            task = UNLABELLED if labels is None else self._options.task
            self._into = self._begin(task, rows.device)
        if isinstance(self._into, DeviceMoments):
            self._into.add(rows, target)
        else:
            self._into.push(rows.cpu().numpy(), target)

    def _begin(self, task: str, device: torch.device) -> Stats | DeviceMoments:
        options, scatters = self._options, self._options.class_scatters
        is_gpu = device.type not in ("cpu", "mps")  # MPS has no float64
        on_device = options.accumulate == "device" or (options.accumulate == "auto" and is_gpu)
        if on_device and not scatters:
            return DeviceMoments(torch.float64 if options.dtype == "float64" else torch.float32)
        precision = "single" if options.dtype == "float32" else "double"
        return Stats(task, precision, options.n_threads, class_scatters=scatters)

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
            return self._into.to_stats(self._options.n_threads)
        return self._into

    @property
    def is_constant(self) -> bool:
        """Whether all rows so far are equal."""
        return bool(self._is_constant)

    @property
    def has_features(self) -> bool:
        """Whether rows were kept."""
        return bool(self._kept)

    def features(self) -> NDArray[Any]:
        """Return the kept rows, (n_rows, D)."""
        if self._options.keep is False:
            raise DataError("features were not kept; use extract(…, keep_features=True)")
        if not self._kept:
            raise DataError(f"layer {self.layer!r} has no rows yet; call update first")
        features: NDArray[Any] = torch.cat(self._kept).numpy()
        return features

    def labels(self) -> NDArray[Any] | None:
        """Return the kept labels; None without any."""
        if not self._labels:
            return None
        labels = np.concatenate(self._labels)
        return self._tags.preview(labels) if self._tags and is_text(labels) else labels


def _describe(form: tuple[bool, int, int]) -> str:
    if form[1] < 0:
        return "no labels"
    columns = f"{form[1]} columns of " if form[1] else ""
    return f"{columns}{'strings' if form[0] else 'numbers'} as labels"
