"""Sizes and names that the tests of Dask share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import transferability as tx

__all__ = ["METRICS", "MODELS", "N_FEATURES", "N_SHARDS", "ROWS", "bits_of", "saved"]

N_SHARDS, ROWS, N_FEATURES = 8, 60, 12
MODELS = ("first", "second", "third")
METRICS = ["logme", "h_score", "transrate", "cka"]


def bits_of(ranking: tx.Ranking) -> list[tuple[str, ...]]:
    assert not ranking.failed, [row.error for row in ranking.failed]
    return [(row.name, *(row.value(metric).hex() for metric in METRICS)) for row in ranking]


def saved(folder: Path, shards: list[NDArray[Any]]) -> list[Path]:
    paths = [folder / f"x_{i}.npy" for i in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        np.save(path, shard)
    return paths
