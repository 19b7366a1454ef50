"""Costs of a model, measured while a sweep runs it.

They are stored with the statistics, so that a row from the cache has the costs of the run that made
it. Rows per second and memory depend on the machine, the batch size and what else runs there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._util.memory import peak_memory_with_device

__all__ = ["COSTS", "add_up_costs", "measure_costs", "read_costs_of"]

#: Key of the costs in the facts of a cache entry.
COSTS = "costs"
_RATE = "rows_per_second"


@contextmanager
def measure_costs(model: Any, n_rows: int) -> Iterator[dict[str, float]]:
    """Measure the enclosed run of a model over `n_rows` rows; the costs are there at its end.

    They are "rows_per_second", "memory" (the peak of the process or of its GPU, in bytes) and, for
    torch modules, "parameters".
    """
    costs: dict[str, float] = {}
    module: Any = getattr(model, "module", None)
    if hasattr(module, "parameters"):
        costs["parameters"] = float(sum(weights.numel() for weights in module.parameters()))
    start = time.perf_counter()
    yield costs
    seconds = max(time.perf_counter() - start, 1e-9)
    costs[_RATE] = n_rows / seconds
    costs["memory"] = float(peak_memory_with_device())


def read_costs_of(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the costs among the facts of a cache entry; entries of earlier versions have none."""
    found: dict[str, float] = dict(facts.get(COSTS) or {})
    return found


def add_up_costs(parts: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """Return the costs of several runs of a model, from their rows and costs: one rate of all."""
    found: dict[str, float] = {}
    n_rows, seconds = 0, 0.0
    for n_added, costs in parts:
        for name, value in costs.items():
            found[name] = max(value, found.get(name, 0.0))
        if costs.get(_RATE):
            n_rows, seconds = n_rows + n_added, seconds + n_added / costs[_RATE]
    return found | ({_RATE: n_rows / seconds} if seconds else {})
