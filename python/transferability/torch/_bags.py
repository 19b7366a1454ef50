"""Pool rows to bags on their way into statistics, in one level or several.

Levels are pooled from the inside out: the windows of a text to the text, then the texts of a
document to the document. Running values are on the host, one or two rows an open bag.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._data.bags import BAG_POOLS, BagPooler, PooledBags, read_bag_ids
from ..errors import DataError
from ._held import Held, HeldRows
from ._rows import BLOCK, LayerRows

__all__ = ["BagChain", "BagRows", "Levels", "OutputRows", "read_levels"]

#: For each level, the id of each row's bag.
Levels = Sequence[Sequence[Hashable]]


def read_levels(bags: object, n_levels: int, n_rows: int) -> Levels:
    """Validate the argument `bags` of a batch: ids of rows, or a tuple of them for several levels.

    An id of an outer level belongs to all rows of the inner bag.
    """
    levels = (bags,) if n_levels == 1 else bags
    if not isinstance(levels, tuple) or len(levels) != n_levels:
        raise DataError(
            f"bag_pool has {n_levels} levels; give bags as a tuple of {n_levels}, the inner first"
        )
    return [read_bag_ids(own, n_rows, "bags") for own in levels]


class BagChain:
    """Pool rows to the bags of one level or of several."""

    def __init__(self, pools: Sequence[str], adjacent: bool) -> None:
        self._poolers = [BagPooler(pool, adjacent) for pool in pools]
        self._above: list[dict[Hashable, Hashable]] = [{} for _ in pools]  # the next level's bag
        self.width = int(np.prod([BAG_POOLS[pool] for pool in pools]))  # columns a feature

    def check(self, levels: Levels, labels: NDArray[Any] | None) -> None:
        """Raise DataError if a bag takes no more rows, or has rows of several labels or bags."""
        for pooler, ids in zip(self._poolers, levels, strict=True):
            pooler.check(ids, labels)
        for above, ids, outer in zip(self._above, levels, levels[1:], strict=False):
            known = dict(above)
            for bag, own in zip(ids, outer, strict=True):
                if known.setdefault(bag, own) != own:
                    raise DataError(f"bag {bag!r} is in the bags {known[bag]!r} and {own!r}")

    def add(
        self, levels: Levels, rows: NDArray[Any], labels: NDArray[Any] | None
    ) -> PooledBags | None:
        """Add rows that passed :meth:`check`; return complete bags of the outermost level."""
        for above, ids, outer in zip(self._above, levels, levels[1:], strict=False):
            above.update(zip(ids, outer, strict=True))
        return self._add(0, levels[0], rows, labels)

    def _add(
        self, level: int, ids: Sequence[Hashable], rows: NDArray[Any], labels: NDArray[Any] | None
    ) -> PooledBags | None:
        self._poolers[level].add(ids, rows, labels)
        return self._raise(level, self._poolers[level].take())

    def _raise(self, level: int, done: PooledBags) -> PooledBags | None:
        """Add complete bags to the next level; return those of the last."""
        if not done.ids:
            return None
        if level + 1 == len(self._poolers):
            return done
        outer = [self._above[level].pop(bag) for bag in done.ids]
        return self._add(level + 1, outer, done.features, done.labels)

    def close(self) -> list[PooledBags]:
        """Close all bags, and return those not returned before."""
        found = [self._raise(level, pooler.close()) for level, pooler in enumerate(self._poolers)]
        return [done for done in found if done is not None]


class BagRows:
    """The rows of one layer, pooled to bags; otherwise as :class:`LayerRows`.

    To read statistics, features or labels closes all bags.
    """

    def __init__(self, rows: LayerRows, pools: Sequence[str], adjacent: bool) -> None:
        self.layer = rows.layer
        self.groups: list[NDArray[Any]] = []
        self.n_rows = 0  # before pooling
        self._rows, self._chain = rows, BagChain(pools, adjacent)
        self._device: torch.device | None = None
        self._held = HeldRows()

    def check(self, rows: Tensor, labels: NDArray[Any] | None, levels: Levels) -> None:
        """Raise DataError unless rows fit their labels, their bags and earlier batches."""
        wide = rows  # as wide as the rows of bags, and a view
        if rows.ndim == 2 and rows.shape[1]:
            wide = rows[:, :1].expand(-1, rows.shape[1] * self._chain.width)
        self._rows.check(wide, labels)
        self._chain.check(levels, labels)

    def add(self, rows: Tensor, labels: NDArray[Any] | None, levels: Levels) -> None:
        """Add rows that passed :meth:`check`."""
        if not len(rows):
            return
        self.n_rows += len(rows)
        self._device = rows.device
        self._pass_on(self._chain.add(levels, rows.cpu().numpy(), labels))

    def hold(
        self,
        rows: Tensor,
        labels: NDArray[Any] | None,
        levels: Levels,
        order: NDArray[np.int64],
    ) -> None:
        """Hold rows that passed :meth:`check`; `order` has the position of each in the data."""
        self._held.hold(Held(rows, labels, tuple(levels)), order)

    def add_held(self) -> None:
        """Add the rows that are held, in the order of their positions."""
        for part in self._held.take(BLOCK):
            self.add(part.rows, part.labels, part.beside)

    def close(self) -> LayerRows:
        """Pool the bags that are open, and return the rows of all bags."""
        for done in self._chain.close():
            self._pass_on(done)
        return self._rows

    def _pass_on(self, done: PooledBags | None) -> None:
        if done is None:
            return
        rows = torch.from_numpy(done.features)
        if self._device is not None and self._device.type not in ("cpu", "mps"):  # no float64
            rows = rows.to(self._device)
        self._rows.add(rows, done.labels, None)

    def detach(self) -> None:
        """Copy statistics on the host, so that further rows do not change those returned before."""
        self._rows.detach()


class OutputRows:
    """The outputs of a model; those of a bag are the mean of its rows, whatever pools features.

    The mean of logits is that of a linear head at the mean of its inputs.
    """

    def __init__(self, pools: Sequence[str], adjacent: bool) -> None:
        self._chain = BagChain(["mean"] * len(pools), adjacent) if pools else None
        self._kept: list[NDArray[Any]] = []
        self._held = HeldRows()

    def add(
        self, outputs: NDArray[Any], levels: Levels | None, order: NDArray[np.int64] | None
    ) -> None:
        """Add outputs; with an `order`, hold them until :meth:`add_held`."""
        if order is not None:
            self._held.hold(Held(outputs, None, tuple(levels or ())), order)
        elif self._chain is None or levels is None:
            self._kept.append(outputs)
        elif (done := self._chain.add(levels, outputs, None)) is not None:
            self._kept.append(done.features)

    def add_held(self) -> None:
        """Add the outputs that are held, in the order of their positions in the data."""
        for part in self._held.take(BLOCK):
            self.add(part.rows, part.beside or None, None)

    def array(self) -> NDArray[Any] | None:
        """Return all outputs, with all bags pooled; None without any."""
        self.add_held()
        if self._chain is not None:
            self._kept += [done.features for done in self._chain.close()]
        return np.concatenate(self._kept) if self._kept else None
