"""Statistics of rows where they are, on a GPU say: only O(D²) numbers ever come back.

What is held is what the native statistics hold (src/stats/mod.rs says what and why), in float64
on the rows' own device: rows while N ≤ D, afterwards moments about a shift s, the mean of the
first block and exactly the value of a column that is constant there. The scatter of a block is
one product, in float32 or float64; it is added up in float64. In float32, columns are first
divided by powers of two near their largest value, so that nothing over- or underflows, and an
entry S_ij is off by at most about 1e-7·√(S_ii S_jj), as with ``Stats(precision="single")``. LogME
and what shrinks the covariance are then off by 1e-6 or less; the plain H-score, which divides by
every variance, by 1e-5 where they differ by 1e6 and by more where they differ by more.

Memory: in float32, 8·D² bytes for the scatter and 4·D² for a product; in float64, which is added
to the scatter in place, 8·D².
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.target import Target
from .._stats.stats import Stats
from ..errors import DataError

__all__ = ["DeviceMoments", "exact_products"]

_FLAGS = threading.Lock()


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Let float32 products be float32 products: no TF32, no bfloat16, no autocast.

    torch has no such argument of a product, only flags of the whole process; they are set for
    these products alone, by one thread at a time, and are afterwards what they were.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type not in ("cuda", "cpu"):
            yield
            return
        with _FLAGS, contextlib.ExitStack() as stack:
            backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
            flags: Any = getattr(backend, "matmul", None)
            if hasattr(flags, "fp32_precision"):
                if (before := flags.fp32_precision) not in ("ieee", "none"):
                    flags.fp32_precision = "none"
                    if flags.fp32_precision == before:  # it follows a wider flag, and shall again
                        before = "none"
                    stack.callback(setattr, flags, "fp32_precision", before)
                    flags.fp32_precision = "ieee"
            elif torch.get_float32_matmul_precision() != "highest":  # before torch 2.9
                before = torch.get_float32_matmul_precision()
                stack.callback(torch.set_float32_matmul_precision, before)
                torch.set_float32_matmul_precision("highest")
            yield


class DeviceMoments:
    """Statistics of rows on their device; :meth:`to_stats` gives them as :class:`Stats`.

    Parameters
    ----------
    dtype : torch.dtype
        Of the products that make the scatter: float32 or float64.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._described: Target | None = None
        self._warnings: tuple[str, ...] = ()
        self._held: list[tuple[Tensor, Target]] | None = []  # rows while N ≤ D
        self._n = 0
        self._n_features = 0
        self._codes: dict[int | str, int] = {}
        self._counts: list[int] = []
        self._sums: dict[str, Tensor] = {}

    def add(self, rows: Tensor, target: Target) -> None:
        """Add a block of rows, (n, D), with their labels or targets."""
        # What a loop in inference mode makes could not be added to outside of it.
        with torch.inference_mode(False), torch.no_grad():
            self._add(rows, target)

    def _add(self, rows: Tensor, target: Target) -> None:
        n, d = rows.shape
        if self._described is None:
            self._described = target.without_rows()
        elif self._n_features != d:
            raise DataError(f"features has {d} columns, expected {self._n_features}")
        self._n_features = d
        self._warnings = tuple(dict.fromkeys((*self._warnings, *target.warnings)))
        self._n += n
        if self._held is not None:
            self._held.append((rows, target))
            if self._n <= d:
                return
            self._begin(self._held[0][0], self._held[0][1])
            held, self._held = self._held, None
            while held:
                self._accumulate(*held.pop(0))
        else:
            self._accumulate(rows, target)

    def _begin(self, rows: Tensor, target: Target) -> None:
        d = self._n_features
        base = rows[0].double()
        zeros = {"sum": (d,), "scatter": (d, d), "cubic": (d,), "quartic": (), "largest": ()}
        for name, shape in zeros.items():
            self._sums[name] = torch.zeros(shape, dtype=torch.float64, device=rows.device)
        self._sums["shift"] = base + (rows.double() - base).mean(0)
        largest = (rows.double() - self._sums["shift"]).abs().amax(0)
        scale = torch.exp2(torch.floor(torch.log2(largest)))
        self._sums["scale"] = torch.where(largest > 0, scale, 1.0)
        if target.values is not None:
            first = target.values[0]
            k = len(first)
            self._target_shift = first + (target.values - first).mean(0)
            self._target_sum, self._target_square = np.zeros(k), np.zeros(k)
            self._sums["cross"] = self._sums["sum"].new_zeros(d, k)

    def _accumulate(self, rows: Tensor, target: Target) -> None:
        held = self._sums
        x = rows.double() - held["shift"]
        with exact_products(x.device):
            if self._dtype is torch.float64:
                held["scatter"].addmm_(x.T, x)
            else:
                narrow = (x / held["scale"]).to(self._dtype)
                held["scatter"].add_(narrow.T @ narrow)
            square = (x * x).sum(1)
            held["sum"] += x.sum(0)
            held["cubic"] += square @ x
            held["quartic"] += square @ square
            held["largest"] = torch.maximum(held["largest"], x.abs().amax())
            if target.ids is not None:
                self._add_classes(x, target)
            elif target.values is not None:
                y = target.values - self._target_shift
                self._target_sum += y.sum(0)
                self._target_square += (y * y).sum(0)
                held["cross"] += x.T @ _sent(y, x.device)

    def _add_classes(self, x: Tensor, target: Target) -> None:
        """Add up the rows of each class: by a product, whose order of summation is fixed."""
        assert target.ids is not None, "callers look"
        ids, places, counts = np.unique(target.ids, return_inverse=True, return_counts=True)
        names = ids.tolist() if target.names is None else [target.names[i] for i in ids]
        for name in names:
            if name not in self._codes:
                self._codes[name] = len(self._codes)
                self._counts.append(0)
        codes = np.array([self._codes[name] for name in names])
        for code, count in zip(codes, counts, strict=True):
            self._counts[code] += int(count)
        member = places.reshape(1, -1) == np.arange(len(ids))[:, None]
        sums = _sent(member.astype(np.float64), x.device) @ x
        old = self._sums.get("class_sums", x.new_zeros(0, x.shape[1]))
        if len(old) < len(self._codes):
            room = max(len(self._codes), min(2 * len(old), len(old) + 1024))
            old = torch.cat([old, old.new_zeros(room - len(old), x.shape[1])])
        self._sums["class_sums"] = old.index_add_(0, _sent(codes, x.device), sums)

    def to_stats(self, n_threads: int | None = None) -> Stats:
        """Give the statistics of all rows so far, on the host; goes on afterwards."""
        described = self._described
        if described is None:
            return Stats(n_threads=n_threads)
        if self._held is not None:
            few = Stats(described.task, n_threads=n_threads)
            for rows, target in self._held:
                few.push(rows.cpu().numpy(), target)
            return few
        stats: Stats = Stats.from_moments(self.moments())
        stats._n_threads = n_threads
        stats._note(self._warnings)
        return stats

    def moments(self) -> dict[str, Any]:
        """Give what ``Stats.from_moments`` takes, once there are more rows than columns."""
        assert self._described is not None, "to_stats looks"
        host = {name: tensor.cpu().numpy().copy() for name, tensor in self._sums.items()}
        scatter, scale = host.pop("scatter"), host.pop("scale")
        if self._dtype is not torch.float64:
            scatter = scatter * np.outer(scale, scale)
        sums: NDArray[np.float64] = host.pop("class_sums", np.empty((0, 0)))
        found: dict[str, Any] = {
            "task": self._described.task,
            "note": self._described.note,
            "precision": "double" if self._dtype is torch.float64 else "single",
            "n_samples": self._n,
            "scatter": (scatter + scatter.T) / 2,
            **{name: value if value.ndim else float(value) for name, value in host.items()},
        }
        if self._codes:
            order = sorted(self._codes)  # all int or all str
            codes = [self._codes[name] for name in order]
            found["classes"] = tuple(map(bool, order) if self._described.boolean else order)
            found["class_counts"] = np.array(self._counts)[codes]
            found["class_sums"] = sums[codes]
        elif "cross" in host:
            found["target_shift"] = self._target_shift
            found["target_sum"] = self._target_sum
            found["target_square"] = self._target_square
            found["columns"] = self._described.columns
        return found

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        held = [rows for rows, _ in self._held or ()]
        return sum(t.numel() * t.element_size() for t in (*self._sums.values(), *held))


def _sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """Send a small array; from pinned memory, so that the host need not wait for the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
