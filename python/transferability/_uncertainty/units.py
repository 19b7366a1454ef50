"""Resampling units: single rows, groups of rows, or blocks of rows.

A resample is a number of repetitions for each unit. All models share it, so that their common
noise cancels in comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._inputs.target import Target

__all__ = ["ResamplingUnits", "make_blocks"]

Rows = NDArray[np.float64]
#: Blocks of rows for the jackknife of metrics without influence functions.
_N_BLOCKS = 50


@dataclass(frozen=True, eq=False)
class ResamplingUnits:
    """Partition of the rows into units; `codes` (n_samples,) is the unit of each row."""

    codes: NDArray[np.intp]
    n_units: int
    kind: str  # "rows", "groups" or "blocks"

    def draw_counts(
        self, n_boot: int, seed: int, halves: bool = False
    ) -> Iterator[NDArray[np.int64]]:
        """Iterate over bootstrap resamples as repetitions of each unit, (n_units,), 1 on average.

        With `halves` every resample takes a random half of the units twice, instead of drawing
        with replacement. The variance is the same, and metrics of nearest neighbours, which would
        find duplicate rows, can take the half once.
        """
        rng, n = np.random.default_rng(seed), self.n_units
        for _ in range(n_boot):
            if halves:
                count = np.zeros(n, dtype=np.int64)
                count[rng.permutation(n)[: n // 2]] = 1
                yield 2 * count
            else:
                yield np.bincount(rng.integers(n, size=n), minlength=n)

    def sum_rows(self, values: Rows) -> Rows:
        """Return the sums over each unit, (n_units,), of values of the rows, (n_samples,)."""
        sums = np.bincount(self.codes, weights=values, minlength=self.n_units).astype(np.float64)
        return sums


def make_blocks(target: Target, seed: int) -> ResamplingUnits:
    """Assign the rows at random to blocks, stratified by class."""
    n_samples = target.n_samples
    n_units = min(_N_BLOCKS, n_samples)
    shuffled = np.random.default_rng(seed).permutation(n_samples)
    if target.ids is not None:
        shuffled = shuffled[np.argsort(target.ids[shuffled], kind="stable")]
    codes = np.empty(n_samples, dtype=np.intp)
    codes[shuffled] = np.arange(n_samples) % n_units
    return ResamplingUnits(codes, n_units, "blocks")
