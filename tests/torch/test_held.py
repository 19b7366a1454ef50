"""Rows that are held come back in the order of the data, with what is beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transferability.torch._held import Held, HeldRows


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 9), st.booleans())
def test_rows_come_in_the_order_of_their_positions(
    sizes: list[int], most: int, is_tensor: bool
) -> None:
    n = sum(sizes)
    order = np.random.default_rng(n).permutation(n)
    held, start = HeldRows(), 0
    for size in sizes:
        here = order[start : start + size]
        rows: Any = here[:, None].astype(float)
        rows = torch.from_numpy(rows) if is_tensor else rows
        beside = ([f"bag {i}" for i in here], here * 10)
        held.hold(Held(rows, here + 100, beside), here)
        start += size
    parts = [*held.take(most)]
    assert all(len(part.rows) <= most for part in parts)
    assert [int(row[0]) for part in parts for row in part.rows] == list(range(n))
    assert [int(label) for part in parts for label in part.labels] == [*range(100, 100 + n)]  # type: ignore[union-attr]
    assert [bag for part in parts for bag in part.beside[0]] == [f"bag {i}" for i in range(n)]
    assert [int(own) for part in parts for own in part.beside[1]] == [10 * i for i in range(n)]
    assert [*held.take(most)] == []


@pytest.mark.parametrize("labels", [None, np.array([1, 2, 3])])
def test_rows_of_one_position_keep_their_order(labels: Any) -> None:
    """The windows of an item, or the words of a text."""
    held = HeldRows()
    held.hold(Held(np.array([[5.0], [6.0], [7.0]]), labels), np.array([1, 0, 1]))
    (part,) = held.take(10)
    assert part.rows.ravel().tolist() == [6, 5, 7]
    assert (part.labels is None) == (labels is None)
    assert part.beside == ()
