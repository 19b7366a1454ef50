"""Hold the rows of batches that come in another order than the data, and put them in order.

Texts of similar length are batched together. Their rows wait here until the end of a window, and
are then given back in blocks, in the order of the data, so that statistics, kept features and bags
do not depend on the batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ._accumulate import send

__all__ = ["Held", "HeldRows"]


class Held(NamedTuple):
    """Rows with what is beside them: a tensor or array, labels, and columns such as groups."""

    rows: Any
    labels: NDArray[Any] | None = None
    beside: tuple[Sequence[Any], ...] = ()


class HeldRows:
    """Rows of several batches, with the position in the data of each."""

    def __init__(self) -> None:
        self._parts: list[Held] = []
        self._orders: list[NDArray[np.int64]] = []

    def hold(self, part: Held, order: NDArray[np.int64]) -> None:
        """Hold rows; `order` has the position of each in the data."""
        if len(order):
            self._parts.append(part)
            self._orders.append(order)

    def take(self, most: int) -> Iterator[Held]:
        """Iterate over all rows in the order of their positions, at most so many at once.

        Rows with the same position keep the order in which they came.
        """
        if not self._parts:
            return
        order = np.argsort(np.concatenate(self._orders), kind="stable")
        whole = _join(self._parts)
        self._parts, self._orders = [], []
        for start in range(0, len(order), most):
            here = order[start : start + most]
            labels = None if whole.labels is None else whole.labels[here]
            beside = tuple(_select(column, here) for column in whole.beside)
            yield Held(_select(whole.rows, here), labels, beside)


def _join(parts: Sequence[Held]) -> Held:
    """Return the rows of several batches one after the other."""
    first = parts[0]
    labels = None if first.labels is None else _concatenate([part.labels for part in parts])
    columns = zip(*(part.beside for part in parts), strict=True)
    rows = _concatenate([part.rows for part in parts])
    return Held(rows, labels, tuple(map(_concatenate, columns)))


def _concatenate(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat([*parts])
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [value for part in parts for value in part]


def _select(column: Any, places: NDArray[np.int64]) -> Any:
    if isinstance(column, Tensor):
        return column[send(places, column.device)]
    return column[places] if isinstance(column, np.ndarray) else [column[i] for i in places]
