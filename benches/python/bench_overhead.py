"""Overhead of LogME on small inputs: a call against the native kernel alone and thuml/LogME.

    LOGME_REPO=path/to/LogME python benches/python/bench_overhead.py

See benches/README.md. The calls run interleaved in one process, each after a warm-up call; the
overhead is the median of the paired differences.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from bench_logme import Shape, compare, problem, table
from peers import load_thuml

import transferability as tx
from transferability import _core

#: Shapes, and the largest overhead in µs, or None where it is not limited.
SHAPES = {Shape(64, 16, 2): 60.0, Shape(256, 128, 10): None}
ROUNDS = 2_000
SECONDS_A_SHAPE = 10.0
#: The kernel's options for classes without an intercept, as `logme` passes them.
OPTIONS = {"intercept": False, "keep_coef": False, "skip_constant": False}
REQUESTS = _core.Requests([("logme", OPTIONS)])


def run_kernel(features: np.ndarray, labels: np.ndarray) -> float:
    """Call the native module as `logme` does, on arrays that need no check."""
    stats = _core.Stats("double", None, False)
    stats.update_labels(features, labels, None, None, 1)
    (outcome,) = stats.compute(REQUESTS, 1)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.value


def measure(shape: Shape, peer: Callable[..., float] | None) -> dict[str, object]:
    features, labels = problem(shape)
    calls: dict[str, Callable[[], float]] = {
        "ours": lambda: tx.logme(features, labels, n_threads=1),
        "kernel": lambda: run_kernel(features, labels),
    }
    compare("tx.logme and the kernel alone", calls["ours"](), calls["kernel"]())
    if peer is not None:
        calls["thuml"] = lambda: float(peer(features, labels))
        compat = tx.compat.thuml.LogME().fit(features, labels)
        compare("compat.thuml and thuml/LogME", compat, calls["thuml"]())
    times: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()  # warm up: the CPU caches hold the data of the other calls
            start = time.perf_counter()
            call()
            times[name].append(1e6 * (time.perf_counter() - start))
        if time.perf_counter() - begin > SECONDS_A_SHAPE:
            break
    row: dict[str, object] = {"shape": str(shape)}
    row |= {f"{name}_us": statistics.median(values) for name, values in times.items()}
    pairs = zip(times["ours"], times["kernel"], strict=True)
    row |= {"overhead_us": statistics.median(a - b for a, b in pairs), "bar": SHAPES[shape]}
    return row | {"rounds": len(times["ours"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    options = parser.parse_args()
    peer = load_thuml()
    rows = [measure(shape, peer) for shape in SHAPES]
    print(json.dumps(rows, indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
