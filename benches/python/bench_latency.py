"""Latency of ``transferability.Engine`` in one process: median, 99th and 99.9th percentile.

    LOGME_REPO=path/to/LogME python benches/python/bench_latency.py

See benches/README.md. Every side has one thread. The sides take turns, call by call: ours, a bare
NumPy product that takes as long as ours, and thuml/LogME until its time is used up. After thuml,
whose arrays are other ones and larger, ours and the product are called once without being timed:
else the calls that follow it, a few in a hundred, would be all that the 99th percentile shows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from bench_logme import Shape, compare, problem, table
from bench_metrics import check as check_metrics
from peers import load_thuml
from threadpoolctl import threadpool_limits

import transferability as tx
from transferability._metric.registry import metric_specs

#: Metrics by shape: LogME, and all that the core computes from statistics alone.
CASES = (
    (Shape(64, 16, 2), "logme"),
    (Shape(256, 128, 10), "logme"),
    (Shape(512, 384, 10), "logme"),
    (Shape(256, 128, 10), "Stats"),
)
CALLS = 10_000
SECONDS_OF_PEER = 20.0
#: The 99th percentile is at most this many times the median, or the ratio of percentile and median
#: at most this many times that of the bare product in the same run.
MOST, MOST_OF_BARE = 2.0, 1.2

Call = Callable[[], Any]


def metrics_of_the_core() -> list[str]:
    """Return the classification metrics that the core computes from statistics alone."""
    return [
        name
        for name, spec in metric_specs().items()
        if spec.is_native and spec.reads_statistics_only and "classification" in spec.tasks
    ]


def make_product(seconds: float) -> Call:
    """Return a bare NumPy product of two square matrices that takes about this long."""
    rng = np.random.default_rng(0)
    best: tuple[float, Call] | None = None
    for exponent in itertools.count(10):
        order = int(2 ** (exponent / 4))
        left, right = rng.normal(size=(2, order, order))

        def multiply(left: np.ndarray = left, right: np.ndarray = right) -> np.ndarray:
            return left @ right

        taken = statistics.median(timed(multiply) for _ in range(30))
        off = abs(np.log(taken / seconds))
        if best is None or off < best[0]:
            best = off, multiply
        if taken > 2 * seconds:
            return best[1]
    raise AssertionError("products take longer and longer")


def timed(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def summarize(name: str, seconds: list[float]) -> dict[str, float]:
    """Return the percentiles in µs."""
    median, p99, p999 = 1e6 * np.quantile(seconds, [0.5, 0.99, 0.999])
    return {f"{name}_us": median, f"{name}_p99": p99, f"{name}_p99.9": p999}


def check(shape: Shape, names: str | list[str], data: tuple[Any, Any], engine: tx.Engine) -> None:
    """Compare the engine with ``score``, LogME with the thin SVD, others with their references."""
    ours, plain = engine.score(*data), tx.score(*data, names)
    if ours != plain:
        raise SystemExit(f"{shape}: the engine and score differ: {ours!r}, {plain!r}")
    if names == "logme":
        exact = tx.logme(*data, method="svd")
        compare("the engine and method='svd'", float(ours), float(exact))
    else:
        check_metrics(names)


def measure(
    shape: Shape, metrics: str, peer: Callable[..., float] | None, n_calls: int
) -> Mapping[str, object]:
    names: str | list[str] = metrics_of_the_core() if metrics == "Stats" else metrics
    features, labels = problem(shape)
    engine = tx.Engine(names, n_threads=1)
    check(shape, names, (features, labels), engine)
    calls: dict[str, Call] = {"ours": lambda: engine.score(features, labels)}
    median = statistics.median(timed(calls["ours"]) for _ in range(30))
    calls["product"] = make_product(median)
    if peer is not None and metrics == "logme":
        compat = tx.compat.thuml.LogME().fit(features, labels)
        calls["thuml"] = lambda: float(peer(features, labels))
        compare("compat.thuml and thuml/LogME", compat, calls["thuml"]())
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    for _ in range(n_calls):
        for name in ("ours", "product"):
            seconds[name].append(timed(calls[name]))
        if "thuml" in calls and spent < SECONDS_OF_PEER:
            seconds["thuml"].append(timed(calls["thuml"]))
            spent += seconds["thuml"][-1]
            for name in ("ours", "product"):
                calls[name]()
    row: dict[str, object] = {"shape": str(shape), "metrics": metrics}
    found = {name: summarize(name, values) for name, values in seconds.items()}
    for values in found.values():
        row |= values
    ratio = found["ours"]["ours_p99"] / found["ours"]["ours_us"]
    bare = found["product"]["product_p99"] / found["product"]["product_us"]
    row |= {"p99/median": ratio, "of_product": ratio / bare}
    row["met"] = bool(ratio <= MOST or ratio / bare <= MOST_OF_BARE)
    if "thuml" in found:
        row["ratio"] = found["thuml"]["thuml_us"] / found["ours"]["ours_us"]
    return row | {"calls": len(seconds["ours"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS, help=f"of each side; default: {CALLS}")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    options = parser.parse_args()
    with threadpool_limits(1):
        peer = load_thuml()
        rows = [measure(shape, metrics, peer, options.calls) for shape, metrics in CASES]
    print(json.dumps(rows, indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
