"""Time and memory of one pass over a file of features larger than memory.

    python benches/python/bench_stream.py                       # 4,000,000 x 768 float16, 6 GB
    python benches/python/bench_stream.py --rows 200000 --folder /tmp

See benches/README.md. Results are checked first, on a slice. The bare matrix product, which limits
the speed, runs before and after every pass.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

METRICS = ["logme", "h_score"]
#: MB of anonymous memory above that before the pass, and speed in times the bare product.
MEMORY_BAR, SPEED_BAR = 150, 0.7
CLASSES = 10
#: Rows that are drawn; the file repeats them, each time shifted by a whole number of columns.
DRAWN = 65_536


def generate(path: Path, n_rows: int, n_features: int) -> None:
    """Write n_rows float16 rows, a few columns of which depend on the labels, and the labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, DRAWN)
    drawn = rng.standard_normal((DRAWN, n_features), dtype=np.float32)
    drawn += 0.3 * rng.standard_normal((CLASSES, n_features), dtype=np.float32)[labels]
    drawn = drawn.astype(np.float16)
    file = np.lib.format.open_memmap(path, "w+", np.float16, (n_rows, n_features))
    answers = np.lib.format.open_memmap(beside(path), "w+", np.int64, (n_rows,))
    for i, start in enumerate(range(0, n_rows, DRAWN)):
        stop = min(n_rows, start + DRAWN)
        file[start:stop] = np.roll(drawn[: stop - start], i, axis=1)
        answers[start:stop] = labels[: stop - start]
    file.flush()
    answers.flush()


def beside(path: Path) -> Path:
    """Return the path of the labels of a file of features."""
    return path.with_name(f"y_{path.name}")


def anonymous() -> int:
    """Return the anonymous memory of this process in bytes, which excludes mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not tell anonymous memory")


class Peak:
    """Context manager that measures peak anonymous memory above that at its start, every few ms."""

    def __init__(self, seconds: float = 0.005) -> None:
        self._seconds = seconds

    def __enter__(self) -> Peak:
        self.extra, self._before, self._end = 0, anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._end.wait(self._seconds):
            self.extra = max(self.extra, anonymous() - self._before)

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()


def product(n_features: int, threads: int) -> Any:
    """Return a function that measures the bare product of blocks in memory, in rows per second."""
    from scipy.linalg.blas import dsyrk
    from threadpoolctl import threadpool_limits

    block = np.random.default_rng(1).standard_normal((16_384, n_features))
    total = np.zeros((n_features, n_features), order="F")

    def run(seconds: float) -> float:
        rows, start = 0, time.perf_counter()
        with threadpool_limits(threads):
            while (taken := time.perf_counter() - start) < seconds or not rows:
                dsyrk(1.0, block.T, beta=1.0, c=total, overwrite_c=1)
                rows += len(block)
        return rows / taken

    return run


def check(path: Path, n_rows: int, threads: int) -> None:
    """Check the score of a slice from its file against that in memory."""
    import transferability as tx

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / "slice.npy"
        features = np.load(path, mmap_mode="r")[:n_rows]
        labels = np.load(beside(path), mmap_mode="r")[:n_rows]
        np.save(part, features)
        streamed = tx.io.stats_of(part, labels, n_threads=threads).score(METRICS)
        whole = tx.score(np.asarray(features, np.float64), labels, METRICS, n_threads=threads)
    for name in METRICS:
        ours, theirs = float(streamed[name]), float(whole[name])
        if not abs(ours - theirs) <= 1e-10 * max(1.0, abs(theirs)):
            raise SystemExit(f"{name} differs: {ours!r} from the file, {theirs!r} in memory")


def measure(path: Path, threads: int) -> dict[str, Any]:
    """Score the file in one pass, and measure time and memory."""
    import transferability as tx

    few = np.random.default_rng(0).normal(size=(20, 2))
    tx.score(few, few[:, 0] > 0, METRICS, n_threads=threads)  # import everything
    with Peak() as peak:
        start, worked = time.perf_counter(), time.process_time()
        stats = tx.io.stats_of(path, beside(path), n_threads=threads)
        passed = time.perf_counter() - start
        scores = stats.score(METRICS)
        seconds = time.perf_counter() - start
    return {
        "rows": stats.n_samples,
        "features": stats.n_features,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - worked,
        "rows_a_second": stats.n_samples / passed,
        "extra_mb": peak.extra / 2**20,
        **{name: float(score) for name, score in scores.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="Default: 4,000,000, or half of the free disk.")
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="Where the file is written; removed after.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stream-", dir=arguments.folder))
    try:
        fits = shutil.disk_usage(folder).free // 2 // (2 * arguments.features)
        rows = min(arguments.rows or 4_000_000, fits)
        results = run(folder / "x.npy", rows, arguments.features, arguments.threads)
    finally:
        shutil.rmtree(folder)
    if arguments.json:
        print(json.dumps(results))
    else:
        report(results)


def run(path: Path, rows: int, n_features: int, threads: int) -> dict[str, Any]:
    """Measure an eighth, a quarter, a half and all of the rows; fit the slope."""
    limit = product(n_features, threads)
    measured: list[dict[str, Any]] = []
    sizes = [rows // part for part in (8, 4, 2, 1)]
    for n_rows in sizes:
        generate(path, n_rows, n_features)
        if n_rows == sizes[0]:
            check(path, min(n_rows, 50_000), threads)
        os.sync()
        before = limit(2.0)
        with multiprocessing.get_context("spawn").Pool(1) as fresh:  # no memory of earlier passes
            found = fresh.apply(measure, (path, threads))
        speed = (before + limit(2.0)) / 2
        measured.append(found | {"of_product": found["rows_a_second"] / speed})
        path.unlink()
    logs = np.log([[m["rows"], m["seconds"], m["cpu_seconds"]] for m in measured])
    slopes = np.polyfit(logs[:, 0], logs[:, 1:], 1)[0].tolist()
    return {"slope": slopes[0], "cpu_slope": slopes[1], "threads": threads, "sizes": measured}


def report(results: dict[str, Any]) -> None:
    """Print a line per size, the bars and the slope."""
    for size in results["sizes"]:
        print(
            f"{size['rows']:>9,} x {size['features']}  {size['seconds']:7.2f} s  "
            f"{size['rows_a_second']:>9,.0f} rows/s  {size['of_product']:4.2f} of dsyrk  "
            f"{size['extra_mb']:4.0f} MB  logme {size['logme']:.6f}"
        )
    largest = results["sizes"][-1]
    print(
        f"seconds grow as rows to the {results['slope']:.2f}, seconds of the processor as rows to "
        f"the {results['cpu_slope']:.2f}; {results['threads']} threads"
    )
    failed = []
    if largest["extra_mb"] > MEMORY_BAR:
        failed.append(f"{largest['extra_mb']:.0f} MB of memory, the bar is {MEMORY_BAR}")
    if largest["of_product"] < SPEED_BAR:
        failed.append(f"{largest['of_product']:.2f} of dsyrk's speed, the bar is {SPEED_BAR}")
    print("; ".join(failed) or "both bars are met")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
