"""Time of many metrics from one pass, against LogME alone and against four of tllib in sequence.

    TLLIB_REPO=path/to/Transfer-Learning-Library python benches/python/bench_metrics.py

See benches/README.md. Results are checked first; sides alternate within one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_logme import Shape, compare, problem, table
from peers import TLLIB, load_tllib

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "python"))

from reference import NAIVE, health

#: Shape, bar of all metrics of statistics in times LogME, bar in times as fast as tllib.
SHAPES = [
    (Shape(1_000, 2_048, 10), 1.2, 100.0),
    (Shape(10_000, 768, 100), 1.2, 20.0),
    (Shape(50_000, 1_024, 10), 1.2, 20.0),
    (Shape(10_000, 2_048, 100), 1.2, 20.0),
]

#: Naive references by metric. LogME's takes seconds a class, and is compared with LogME alone.
REFERENCES: dict[str, Callable[[Any, Any], float]] = {
    **{name: naive for name, naive in NAIVE.items() if name != "logme"},
    "alpha_req": lambda x, y: health.naive_alpha(x, x.shape[1]),
    "effective_rank": lambda x, y: health.naive_effective_rank(x, "rankme"),
    "lidar": health.naive_lidar,
    "participation_ratio": lambda x, y: health.naive_participation_ratio(x),
}


def of_statistics() -> list[str]:
    """Return the names of the classification metrics that need only statistics."""
    from transferability._metric.registry import metric_specs

    return [
        name
        for name, spec in metric_specs().items()
        if spec.needs == ("stats",) and "classification" in spec.tasks
    ]


def check(names: Sequence[str]) -> None:
    """Compare metrics with their naive references on a small problem."""
    import transferability as tx

    features, labels = problem(Shape(90, 40, 4))
    found = tx.score(features, labels, names)
    for name in names:
        if name != "logme":
            naive = REFERENCES[name](features.astype(np.float64), labels)
            compare(f"{name} and its reference", float(found[name]), naive)


def compare_four(
    four: Any, peers: dict[str, Any], features: np.ndarray, labels: np.ndarray
) -> float:
    """Compare four metrics with those of tllib; return the seconds that these take."""
    # Their LogME stops after 11 iterations; their pseudo-inverse inverts rounding where N <= D.
    wide = features.shape[0] <= features.shape[1]
    loose = {"logme": 0.05, "h_score": 1e-3 if wide else 1e-6}
    double, total = features.astype(np.float64), 0.0
    for name, peer in peers.items():
        start = time.perf_counter()
        theirs = float(peer(double, labels))
        total += time.perf_counter() - start
        compare(f"{name} and that of tllib", float(four[name]), theirs, loose.get(name, 1e-6))
    return total


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
    theirs = compare_four(calls["four"](), peers, features, labels)
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
        row |= {"tllib_s": theirs, "ratio": theirs / seconds["four"], "times_bar": bars[1]}
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
        check(of_statistics())
        peers = load_tllib()
        rows = [
            measure(shape, (bar, times), peers, options.threads, options.repeats)
            for shape, bar, times in SHAPES
        ]
    print(json.dumps(rows, indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
