"""Time of LogME beside other implementations and beside a lower limit of its linear algebra.

    LOGME_REPO=path/to/LogME python benches/python/bench_logme.py
    python benches/python/bench_logme.py --memory

See benches/README.md. All sides run interleaved in one process, because the load of the machine
changes from minute to minute while ratios within a run do not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers import Peer, load_peers


class Shape(NamedTuple):
    n_samples: int
    n_features: int
    n_classes: int
    bar: float | None = None  # times as fast as the fastest peer
    limit_bar: float | None = None  # times the limit
    single_bar: float | None = None  # times as fast as the fastest peer, precision="single"

    def __str__(self) -> str:
        return f"{self.n_samples}x{self.n_features}x{self.n_classes}"


SHAPES = [
    Shape(64, 16, 2, 3.5),
    Shape(256, 128, 10, 8.0, 1.8),
    Shape(1_000, 2_048, 10, 8.0, 1.1, 8.0),
    Shape(10_000, 768, 100, 8.0, 1.15, 11.0),
    Shape(50_000, 1_024, 10, 4.5, 1.1, 6.0),
    Shape(10_000, 2_048, 100, 6.0, 1.15, 8.0),
    Shape(10_000, 1_024, 1_000, 15.0, 1.25, 20.0),
]
SECONDS_A_SHAPE = 20.0
REPEATS = (3, 25)
IN_A_ROW = 20  # maximum number of calls timed together
MEGABYTE = 2**20


def problem(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Generate half-rectified float32 features with different class means, like a network's."""
    rng = np.random.default_rng(0)
    labels = rng.integers(shape.n_classes, size=shape.n_samples)
    means = rng.normal(scale=0.1, size=(shape.n_classes, shape.n_features)).astype(np.float32)
    features = np.empty((shape.n_samples, shape.n_features), dtype=np.float32)
    for start in range(0, shape.n_samples, 1_000):  # in blocks, for a low peak memory
        block = slice(start, start + 1_000)
        rng.standard_normal(out=features[block], dtype=np.float32)
        features[block] += means[labels[block]]
        np.maximum(features[block], -0.5, out=features[block])
    return features, labels


def limit(features: np.ndarray, threads: int) -> float:
    """Time one float64 Gram product of the smaller side and its tridiagonal form."""
    from scipy.linalg import blas, lapack
    from threadpoolctl import threadpool_limits

    columns = features.T  # Fortran order, as BLAS wants it
    with threadpool_limits(threads, user_api="blas"):
        start = time.perf_counter()
        gram = blas.dsyrk(1.0, columns, trans=int(len(features) <= len(columns)), lower=1)
        work, _ = lapack.dsytrd_lwork(len(gram), lower=1)
        lapack.dsytrd(gram, lower=1, lwork=int(work), overwrite_a=1)
        return time.perf_counter() - start


def check(peers: list[Peer], features: np.ndarray, labels: np.ndarray, threads: int) -> None:
    """Check our results against the thin SVD, compat against thuml/LogME, and peers against ours.

    The fixed points of the peers stop before they converge, so they agree loosely.
    """
    import transferability as tx

    ours = float(tx.logme(features, labels, n_threads=threads))
    compare("the default and method='svd'", ours, float(tx.logme(features, labels, method="svd")))
    single = float(tx.logme(features, labels, n_threads=threads, precision="single"))
    compare("single and double precision", single, ours, 1e-4)
    compat = tx.compat.thuml.LogME().fit(features, labels)
    n, d = features.shape
    for peer in peers:
        _, theirs = peer.run(features, labels, 1)
        same = compat if peer.full_determinant and n < d else ours
        compare(f"ours and {peer.name}", same, theirs, peer.tolerance)
        if peer.name == "thuml/LogME":
            compare("compat.thuml and thuml/LogME", compat, theirs)


def compare(what: str, ours: float, theirs: float, tolerance: float = 1e-9) -> None:
    """Stop unless two answers agree."""
    if not abs(ours - theirs) <= tolerance * max(1.0, abs(theirs)):
        raise SystemExit(f"{what} differ: {ours!r}, {theirs!r}")


def measure(shape: Shape, peers: list[Peer], threads: int) -> dict[str, Any]:
    features, labels = problem(shape)
    check(peers, features, labels, threads)
    double = features.astype(np.float64)
    sides: dict[str, Callable[[int], float]] = {
        "ours": ours_in_a_row(features, labels, threads, "double"),
        "single": ours_in_a_row(features, labels, threads, "single"),
        "limit, 1 thread": lambda number: repeated(lambda: limit(double, 1), number),
        "limit, all": lambda number: repeated(lambda: limit(double, threads), number),
    }
    for peer in peers:
        sides[peer.name] = lambda number, run=peer.run: run(features, labels, number)[0]
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    begin = time.perf_counter()
    for repeat in range(REPEATS[1]):
        if repeat >= REPEATS[0] and time.perf_counter() - begin > SECONDS_A_SHAPE:
            break
        for name, run in sides.items():
            time.sleep(0.05)  # threads of other libraries keep spinning after their work
            first = run(1)  # warm-up: caches hold other data; a ranking is many calls in a row
            if first < 1.0:
                first = run(min(IN_A_ROW, 1 + int(0.05 / first)))
            seconds[name].append(first)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    least = min(median["limit, 1 thread"], median["limit, all"])
    n, d, _ = shape[:3]
    row: dict[str, Any] = {
        "shape": str(shape),
        "ours_s": median["ours"],
        "limit_s": least,
        "of_limit": median["ours"] / least,
        "limit_bar": shape.limit_bar,
        "gflops": (n * d * min(n, d) + 4 / 3 * min(n, d) ** 3) / median["ours"] / 1e9,
        "repeats": len(seconds["ours"]),
    }
    by_peer = {peer.name: median[peer.name] for peer in peers}
    if by_peer:
        fastest = min(by_peer.values())
        row |= {f"{name}_s": taken for name, taken in by_peer.items()}
        row |= {"ratio": fastest / median["ours"], "bar": shape.bar}
        row |= {"single_ratio": fastest / median["single"], "single_bar": shape.single_bar}
    return row


def ours_in_a_row(
    features: np.ndarray, labels: np.ndarray, threads: int, precision: str
) -> Callable[[int], float]:
    import transferability as tx

    def call() -> float:
        start = time.perf_counter()
        tx.logme(features, labels, n_threads=threads, precision=precision)
        return time.perf_counter() - start

    return lambda number: repeated(call, number)


def repeated(call: Callable[[], float], number: int) -> float:
    """Return the mean seconds of calls in a row."""
    return statistics.fmean(call() for _ in range(number))


def measure_peak_gflops(threads: int) -> float:
    """Measure the speed of a square float64 product, in 1e9 operations a second."""
    from threadpoolctl import threadpool_limits

    order = 2_048
    a = np.random.default_rng(0).normal(size=(order, order))
    with threadpool_limits(threads, user_api="blas"):
        a @ a
        taken = []
        for _ in range(5):
            start = time.perf_counter()
            a @ a
            taken.append(time.perf_counter() - start)
    return 2 * order**3 / min(taken) / 1e9


def measure_memory(shape: Shape, threads: int) -> dict[str, Any]:
    """Measure one call in a fresh process, so that no earlier peak hides its peak."""
    command = [sys.executable, __file__, "--one", str(shape), "--threads", str(threads)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    smaller = min(shape.n_samples, shape.n_features)
    bar = 4 * smaller * shape.n_features * 8 + 32 * MEGABYTE
    peak = int(result.stdout)
    return {"shape": str(shape), "peak_mb": peak / MEGABYTE, "bar_mb": bar / MEGABYTE}


def print_peak(shape: Shape, threads: int) -> None:
    """Print the peak memory of one call above the memory before it, in bytes."""
    import transferability as tx

    features, labels = problem(shape)
    features.sum()  # touch every page
    before = status("VmRSS")
    tx.logme(features, labels, n_threads=threads)
    print(status("VmHWM") - before)


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def table(rows: list[dict[str, Any]]) -> str:
    """Format rows as an aligned table, with three digits per number."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[shown(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = (
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in [names, *cells]
    )
    return "\n".join(lines)


def shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:#.3g}" if isinstance(value, float) else str(value)


def parse_shape(text: str) -> Shape:
    known = {str(shape): shape for shape in SHAPES}
    return known[text] if text in known else Shape(*map(int, text.split("x")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shapes = " ".join(map(str, SHAPES))
    parser.add_argument("shapes", nargs="*", type=parse_shape, help=f"NxDxC; default: {shapes}")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=parse_shape, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print_peak(options.one, options.threads)
        return
    shapes = options.shapes or SHAPES
    if options.memory:
        rows = [measure_memory(shape, options.threads) for shape in shapes]
    else:
        from threadpoolctl import threadpool_limits

        peers = load_peers(options.threads)
        with threadpool_limits(options.threads):
            rows = [measure(shape, peers, options.threads) for shape in shapes]
            peak = measure_peak_gflops(options.threads)
        rows = [row | {"of_peak": row["gflops"] / peak} for row in rows]
    print(json.dumps(rows, indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
