"""Accumulate sufficient statistics on a device; only O(D²) numbers are copied to the host.

The statistics are those of the native core (see src/stats/mod.rs), in float64: the rows themselves
while N ≤ D, then moments about a shift s. The shift of a column is its mean in the first block;
where the column is constant there, exactly its value. ``_accumulate`` defines the sums, and
compares them with those of TransferabilityMetric.

The scatter of a block is one product, in float32 or float64; the scatters of blocks are added in
float64. In float32 the columns are first divided by powers of two near their largest value, which
prevents overflow and underflow. The error of an entry S_ij is then about 1e-7·√(S_ii S_jj), as with
``Stats(precision="single")``. LogME and metrics that shrink the covariance change by at most 1e-6.
The plain H-score divides by every variance: it changes by 1e-5 where variances differ by a factor
of 1e6, and by more beyond that.

Memory: 8·D² bytes for the scatter and, in float32, 4·D² for a product.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.target import Target
from .._inputs.task import MAX_WHOLE
from .._stats.moments import export_task
from .._stats.stats import Stats
from ..errors import DataError
from ._accumulate import add_classes, add_rows, add_targets, send, zero_sums
from ._precision import full_precision

__all__ = ["DeviceMoments"]


#: Sums with a row for each class, in order of appearance.
_OF_CLASSES = ("class_sums", "class_squares")


class DeviceMoments:
    """Accumulate statistics of rows on their device; :meth:`to_stats` returns them as `Stats`.

    The scatter is a sum of products in `dtype`, float32 or float64.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._described: Target | None = None
        self._warnings: tuple[str, ...] = ()
        self._held: list[tuple[Tensor, Target]] | None = []  # rows while N ≤ D
        self._n = 0
        self._n_features = 0
        self._codes: dict[int | str, int] = {}  # row of each class in `class_sums`
        self._counts: Counter[int | str] = Counter()
        self._sums: dict[str, Any] = {}  # tensors on the device; of targets, arrays on the host

    def add(self, rows: Tensor, target: Target) -> None:
        """Add a block of rows, (n, D), with their labels or targets."""
        # Tensors made in inference mode cannot be changed in place outside of it.
        with torch.inference_mode(False), torch.no_grad():
            n, d = rows.shape
            if self._described is None:
                self._described = target.without_rows()
            elif self._n_features != d:
                raise DataError(f"features has {d} columns, expected {self._n_features}")
            else:
                target = self._fit(self._described, target)
            self._n_features = d
            self._warnings = tuple(dict.fromkeys((*self._warnings, *target.warnings)))
            self._n += n
            if self._held is None:
                self._accumulate(rows, target)
            else:
                self._held.append((rows, target))
                if self._n > d:
                    held, self._held = self._held, None
                    self._begin(*held[0])
                    while held:
                        self._accumulate(*held.pop(0))  # frees each block
            described = self._described
            if described.may_be_classes and described.kind == "f" and len(self._codes) > MAX_WHOLE:
                self._hold_targets(described, "regression, because the labels are real numbers")

    def _fit(self, described: Target, target: Target) -> Target:
        """Bring the sums so far and a block to one task, as ``Stats.push`` does."""
        if described.is_open and not target.is_open:
            if described.names is not None or not described.may_be_classes:
                raise DataError(
                    f"labels of a {target.task} task follow others; use one kind for all"
                )
            described = self._hold_targets(described, target.note)
        elif target.is_open and not described.is_open:
            target = target.settle(described.task, described.note)
        self._described = described.join(target)
        return target

    def _hold_targets(self, described: Target, note: str) -> Target:
        """Replace whole numbers as classes by the same numbers as targets.

        With class numbers y, their counts n, sums s and squares q: Σ x (y - p) = Σ s (y - p), as in
        the core, and the joint moments likewise.
        """
        if self._held is not None:
            held = [(rows, target.settle("regression", note)) for rows, target in self._held]
            self._held = held
        else:
            numbers = np.array([float(number) for number in self._codes])
            counts = np.array([self._counts[number] for number in self._codes], dtype=np.float64)
            mean = numbers[0] + (counts @ (numbers - numbers[0])) / counts.sum()
            shift = numbers[np.abs(numbers - mean).argmin()]
            y = numbers - shift  # exact where all numbers are one
            sums, squares = (self._sums.pop(name)[: len(y)] for name in _OF_CLASSES)
            t, n = (send(values, sums.device) for values in (y, counts))
            self._sums |= {
                "cross": sums.T @ t[:, None],
                "joint_quartic": (t * t) @ squares,
                "joint_features": (t * t) @ sums,
                "joint_targets": (t @ squares)[None],
                "target_products": (n @ (t * t))[None, None],
                "target_cubic": (n @ t**3)[None],
                "target_quartic": n @ t**4,
                "target_shift": np.array([shift]),
                "target_sum": np.array([counts @ y]),
                "target_square": np.array([counts @ (y * y)]),
            }
            self._codes.clear()
            self._counts.clear()
        self._described = described.settle("regression", note)
        return self._described

    def _begin(self, rows: Tensor, target: Target) -> None:
        """Choose the shift, and the scale of each column, from the first block."""
        n_targets = None if target.values is None else target.values.shape[1]
        sums = self._sums = dict(zero_sums(self._n_features, n_targets, rows.device))
        sums["largest"] = torch.zeros((), dtype=torch.float64, device=rows.device)
        base = rows[0].double()
        sums["shift"] = base + (rows.double() - base).mean(0)
        largest = (rows.double() - sums["shift"]).abs().amax(0)
        scale = torch.exp2(torch.floor(torch.log2(largest)))
        sums["scale"] = torch.where(largest > 0, scale, 1.0)
        if target.values is not None:
            first = target.values[0]
            sums["target_shift"] = first + (target.values - first).mean(0)
            sums["target_sum"], sums["target_square"] = np.zeros(n_targets), np.zeros(n_targets)

    def _accumulate(self, rows: Tensor, target: Target) -> None:
        sums = self._sums
        x = rows.double() - sums["shift"]
        with full_precision(x.device):
            if self._dtype is torch.float64:
                sums["scatter"].addmm_(x.T, x)
            else:
                narrow = (x / sums["scale"]).to(self._dtype)
                sums["scatter"].add_(narrow.T @ narrow)
            add_rows(sums, x)
            sums["largest"] = torch.maximum(sums["largest"], x.abs().amax())
            if target.ids is not None:
                self._add_classes(x, target.ids, target.names)
            elif target.values is not None:
                add_targets(sums, x, target.values - sums["target_shift"])

    def _add_classes(self, x: Tensor, labels: NDArray[Any], known: tuple[str, ...] | None) -> None:
        """Add the sum of each class; a new class gets the next row of the table."""
        ids, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
        names = ids.tolist() if known is None else [known[i] for i in ids]
        codes = np.array([self._codes.setdefault(name, len(self._codes)) for name in names])
        self._counts.update(dict(zip(names, counts.tolist(), strict=True)))
        members = (places.reshape(1, -1) == np.arange(len(ids))[:, None]).astype(np.float64)
        table = self._sums.get("class_sums", x.new_zeros(0, x.shape[1]))
        if len(table) < len(self._codes):
            room = max(len(self._codes), min(2 * len(table), len(table) + 1024))
            more = room - len(table)
            table = torch.cat([table, table.new_zeros(more, x.shape[1])])
            squares = self._sums.get("class_squares", x.new_zeros(0))
            self._sums["class_squares"] = torch.cat([squares, squares.new_zeros(more)])
        self._sums["class_sums"] = table
        add_classes(self._sums, send(members, x.device), x, send(codes, x.device))

    def to_stats(self, n_threads: int | None = None) -> Stats:
        """Return the statistics of all rows so far, on the host; more rows may follow."""
        described = self._described
        if described is None:
            return Stats(n_threads=n_threads)
        if self._held is not None:
            few = Stats(described.task, n_threads=n_threads)
            for rows, target in self._held:
                few.push(rows.cpu().numpy(), target)
            return few
        stats: Stats = Stats.from_moments(self.moments())
        return stats.replace(n_threads=n_threads, warnings=self._warnings)

    def moments(self) -> dict[str, Any]:
        """Return the moments as ``Stats.from_moments`` takes them; needs more rows than columns."""
        assert self._described is not None, "to_stats checks"
        host = {
            name: held.cpu().numpy().copy() if isinstance(held, Tensor) else held.copy()
            for name, held in self._sums.items()
        }
        scatter, scale = host.pop("scatter"), host.pop("scale")
        if self._dtype is not torch.float64:
            scatter = scatter * np.outer(scale, scale)
        of_classes = {name: host.pop(name) for name in _OF_CLASSES if name in host}
        found: dict[str, Any] = {
            **export_task(self._described),
            "precision": "double" if self._dtype is torch.float64 else "single",
            "n_samples": self._n,
            "scatter": (scatter + scatter.T) / 2,
            **{name: value if value.ndim else float(value) for name, value in host.items()},
        }
        if self._codes:
            order = sorted(self._codes)  # all int or all str
            found["classes"] = tuple(map(bool, order) if self._described.boolean else order)
            found["class_counts"] = np.array([self._counts[name] for name in order])
            places = [self._codes[name] for name in order]
            found |= {name: sums[places] for name, sums in of_classes.items()}
        elif "cross" in host:
            found["columns"] = self._described.columns
        return found

    @property
    def described(self) -> Target | None:
        """The labels of the rows so far, without the rows."""
        return self._described

    @property
    def nbytes(self) -> int:
        """The number of bytes held on the device."""
        held = [*self._sums.values(), *(rows for rows, _ in self._held or ())]
        return sum(t.numel() * t.element_size() for t in held if isinstance(t, Tensor))
