"""How times grow: exponents in samples, features and classes, and metrics at 20,000 classes.

    python benches/python/bench_growth.py [growth] [classes]

See benches/README.md. Results are compared with the naive references of the tests first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_logme import Shape, compare, problem, table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "python"))

from reference.gbc import gbc
from reference.hscore import h_score
from reference.logme import evidence
from reference.probe import lda, ridge_accuracy
from reference.samples import ncti

#: Shapes along one size, and the largest exponent.
GROWTH: dict[str, tuple[list[Shape], float]] = {
    "N": ([Shape(n, 256, 10) for n in (20_000, 40_000, 80_000, 160_000)], 1.02),
    "D": ([Shape(20_480, d, 10) for d in (256, 512, 1_024, 2_048)], 2.2),
    "C": ([Shape(10_000, 1_024, c) for c in (10, 30, 100, 300, 1_000)], 0.3),
}
MANY = Shape(40_000, 384, 20_000)
#: The largest time at MANY, in times LogME's.
MANY_BAR = 10.0
#: Metrics at MANY, and their naive references on a small problem.
REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "logme": lambda x, y: float(np.mean([evidence(x, y == c).value for c in np.unique(y)])),
    "h_score": h_score,
    "lda": lda,
    "ncti": lambda x, y: ncti(x, y)[0],
    "ridge_probe": lambda x, y: ridge_accuracy(x, y)[0],
    "gbc": lambda x, y: gbc(x, y),
}
#: From 1,024 classes on, products in float32 leave out most; references that are fast enough.
MORE, FAST = Shape(4_000, 6, 1_100), ("h_score", "lda", "ncti")


def check(threads: int) -> None:
    """Compare metrics with their references, those that are fast with many classes, too."""
    check_metrics(Shape(60, 8, 6), list(REFERENCES), threads)
    check_metrics(MORE, FAST, threads)


def check_metrics(shape: Shape, names: Sequence[str], threads: int) -> None:
    import transferability as tx

    features, labels = problem(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            score = tx.score(features, labels, name, task="classification", n_threads=threads)
            ours = score.spread if name == "ncti" else float(score)  # NCTI is of several models
            compare(f"{name} and its reference", ours, float(REFERENCES[name](features, labels)))


def measure_growth(threads: int, repeats: int) -> list[dict[str, Any]]:
    """Fit the slope of log time by log size; sizes are interleaved."""
    import transferability as tx

    rows = []
    for size, (shapes, bar) in GROWTH.items():
        taken: dict[Shape, list[float]] = {shape: [] for shape in shapes}
        problems = {shape: problem(shape) for shape in shapes}
        for _ in range(repeats):
            for shape, (features, labels) in problems.items():
                tx.logme(features, labels, n_threads=threads)
                start = time.perf_counter()
                tx.logme(features, labels, n_threads=threads)
                taken[shape].append(time.perf_counter() - start)
        seconds = [statistics.median(taken[shape]) for shape in shapes]
        sizes = [
            getattr(s, {"N": "n_samples", "D": "n_features", "C": "n_classes"}[size])
            for s in shapes
        ]
        slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        row: dict[str, Any] = {"size": size, "exponent": slope, "bar": bar}
        rows.append(row | {"sizes": sizes, "seconds": seconds})
    return rows


def measure_classes(threads: int) -> list[dict[str, Any]]:
    import transferability as tx

    features, labels = problem(MANY)
    seconds: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in REFERENCES:
            start = time.perf_counter()
            tx.score(features, labels, [name], n_threads=threads)
            seconds[name] = time.perf_counter() - start
    return [
        {"shape": str(MANY), "metric": name, "seconds": taken}
        | ({} if name == "logme" else {"of_logme": taken / seconds["logme"], "bar": MANY_BAR})
        for name, taken in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["growth", "classes"])
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    check(options.threads)
    found: dict[str, list[dict[str, Any]]] = {}
    if "growth" in options.parts:
        found["growth"] = measure_growth(options.threads, options.repeats)
    if "classes" in options.parts:
        found["classes"] = measure_classes(options.threads)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for rows in found.values():
        print(table([{k: v for k, v in row.items() if not isinstance(v, list)} for row in rows]))


if __name__ == "__main__":
    main()
