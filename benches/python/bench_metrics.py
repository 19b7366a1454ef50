"""Time of many metrics from one pass, against LogME alone and against four of tllib in sequence.

    TLLIB_REPO=path/to/Transfer-Learning-Library python benches/python/bench_metrics.py

See benches/README.md. Results are checked first; sides alternate within one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bench_logme import Shape, compare, problem, table
from peers import TLLIB, load_tllib

#: Shape, bar of all metrics of statistics in times LogME, bar in times as fast as tllib.
SHAPES = [
    (Shape(1_000, 2_048, 10), 1.2, 100.0),
    (Shape(10_000, 768, 100), 1.2, 20.0),
    (Shape(50_000, 1_024, 10), 1.2, 20.0),
    (Shape(10_000, 2_048, 100), 1.2, 20.0),
]


def of_statistics() -> list[str]:
    """Return the names of the classification metrics that need only statistics."""
    from transferability._metric.registry import metric_specs

    return [
        name
        for name, spec in metric_specs().items()
        if spec.needs == ("stats",) and "classification" in spec.tasks
    ]


def measure(
    shape: Shape,
    bars: tuple[float | None, float],
    peers: dict[str, Any],
    threads: int,
    repeats: int,
) -> dict[str, Any]:
    import transferability as tx

    features, labels = problem(shape)
    names = of_statistics()
    calls: dict[str, Callable[[], Any]] = {
        "logme": lambda: tx.logme(features, labels, n_threads=threads),
        "all": lambda: tx.score(features, labels, names, n_threads=threads),
        "four": lambda: tx.score(features, labels, list(TLLIB), n_threads=threads),
    }
    found = calls["all"]()
    compare("one pass and LogME alone", float(found["logme"]), float(calls["logme"]()))
    seconds = {name: best_of(call, repeats) for name, call in calls.items()}
    row: dict[str, Any] = {
        "shape": str(shape),
        "logme_s": seconds["logme"],
        "all_s": seconds["all"],
        "of_logme": seconds["all"] / seconds["logme"],
        "bar": bars[0],
        "four_s": seconds["four"],
    }
    if peers:
        double = features.astype(np.float64)
        four, total = calls["four"](), 0.0
        for name, peer in peers.items():
            start = time.perf_counter()
            theirs = float(peer(double, labels))
            total += time.perf_counter() - start
            # Their LogME stops after 11 iterations; their pseudo-inverse inverts rounding, N < D.
            wide = shape.n_samples <= shape.n_features
            loose = {"logme": 0.05, "h_score": 1e-3 if wide else 1e-6}.get(name, 1e-6)
            if abs(float(four[name]) - theirs) > loose * max(1.0, abs(theirs)):
                raise SystemExit(f"{name} differs: {float(four[name])!r}, {theirs!r}")
        row |= {"tllib_s": total, "ratio": total / seconds["four"], "times_bar": bars[1]}
    return row


def best_of(call: Callable[[], object], repeats: int) -> float:
    call()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(options.threads):
        peers = load_tllib()
        rows = [
            measure(shape, (bar, times), peers, options.threads, options.repeats)
            for shape, bar, times in SHAPES
        ]
    print(json.dumps(rows, indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
