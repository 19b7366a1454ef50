"""Readers of the published tables in tests/data/tables."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[2] / "data" / "tables"
Columns = dict[tuple[str, ...], dict[str, float]]


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@functools.cache
def columns(name: str, keys: tuple[str, ...], entry: str, value: str) -> Columns:
    """Give the values by `keys`, each a mapping by `entry`; what is missing is left out."""
    found: Columns = {}
    for row in rows(name):
        if row[value]:
            found.setdefault(tuple(row[k] for k in keys), {})[row[entry]] = float(row[value])
    return found


def curves(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Give sizes, 0 first, and losses of each language model."""
    found = {}
    for row in rows(f"rectified_scaling_law_{name}"):
        sizes = [key for key in row if key.isdigit()]
        values = np.array([float(row[size]) for size in sizes])
        found[row["config name"]] = np.array(sizes, dtype=float), values
    return found
