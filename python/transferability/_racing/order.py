"""The order of the rows of a race, and random halves of the rows of a round.

The order is random and stratified: every prefix has each class in about its share of all rows. The
rows of a round are such a prefix, so they are among those of the next round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._inputs.target import UNLABELLED, Target

__all__ = ["count_rounds", "draw_halves", "order_rows", "stratify"]

Rows = NDArray[np.intp]
#: Complementary pairs of halves in each round.
_N_PAIRS = 16
#: Rows of one stratum of targets that are not classes: about as many rows in the first round.
_N_STRATA = 10
_FIRST, _FIRST_BY_CLASS = 100, 4


def stratify(target: Target) -> Rows:
    """Return the stratum of each row: its class, or a tenth of the rows in order of the targets."""
    n_rows = target.n_samples
    if target.task == UNLABELLED:
        return np.zeros(n_rows, dtype=np.intp)
    if target.ids is not None:
        codes = np.unique(target.ids, return_inverse=True)[1]
        return codes.reshape(-1).astype(np.intp)
    assert target.values is not None, "a decided task has ids or values"
    ranks = np.empty(n_rows, dtype=np.intp)
    ranks[np.lexsort(target.values.T[::-1])] = np.arange(n_rows)
    return ranks * _N_STRATA // n_rows


def order_rows(strata: Rows, seed: int) -> Rows:
    """Return all rows in a random order with every stratum spread evenly over it.

    Row j of a stratum of m rows, in random order, is at (j + u)/m of the way, with u uniform in
    [0, 1): any prefix holds each stratum in its share, to within one row.
    """
    rng = np.random.default_rng(seed)
    n_rows = len(strata)
    shuffled = rng.permutation(n_rows)
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    sizes = np.bincount(strata)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = (np.arange(n_rows) - starts + rng.random(n_rows)) / np.repeat(sizes, sizes)
    return shuffled[np.argsort(places, kind="stable")]


def draw_halves(strata: Rows, seed: int) -> list[tuple[Rows, Rows]]:
    """Return random pairs of complementary halves of rows, as sorted positions.

    Neighbours within a stratum form a pair of rows, of which each half gets one at random. So the
    halves have each stratum in its share, to within one row.
    """
    rng = np.random.default_rng([seed, len(strata)])
    halves = []
    shuffled = rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    n_pairs = len(order) // 2
    left, right, rest = order[: 2 * n_pairs : 2], order[1 : 2 * n_pairs : 2], order[2 * n_pairs :]
    for i in range(_N_PAIRS):
        swap = rng.random(n_pairs) < 0.5
        one, other = np.where(swap, left, right), np.where(swap, right, left)
        if i % 2:
            one = np.append(one, rest)
        else:
            other = np.append(other, rest)
        halves.append((np.sort(one), np.sort(other)))
    return halves


def count_rounds(
    target: Target, first: int | None, growth: float, max_samples: int | None
) -> list[int]:
    """Return the number of rows of each round; the last is all rows, or `max_samples`.

    What n of N rows leave open has a variance in proportion to 1/n - 1/N. Each round divides it by
    `growth`: few rows grow by this factor, and where most are read a few more rows tell as much.
    """
    n_all = target.n_samples
    most = n_all if max_samples is None else min(max_samples, n_all)
    if first is None:
        n_classes = 0 if target.ids is None else len(np.unique(target.ids))
        first = max(_FIRST, _FIRST_BY_CLASS * n_classes)
    sizes = [min(first, most)]
    while sizes[-1] < most:
        left = (1 / sizes[-1] - 1 / n_all) / growth
        grown = max(round(1 / (left + 1 / n_all)), sizes[-1] + 1)
        sizes.append(most if grown > most / growth**0.5 else grown)
    return sizes
