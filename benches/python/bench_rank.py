"""Throughput of `rank` over many feature files, beside independent processes of one thread.

    python benches/python/bench_rank.py             # 100 files of 5,000 x 768 float32, 1.5 GB
    python benches/python/bench_rank.py --models 20 --cold

See benches/README.md. Scores are compared first; sides alternate, each in processes that have
imported everything.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from bench_stream import Peak

#: Throughput of the ranking in times that of the independent processes.
BAR = 0.95
CLASSES = 10


def generate(folder: Path, n_models: int, n_rows: int, n_features: int) -> None:
    """Write a float32 file of each model, with class means of its own strength, and the labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, n_rows)
    np.save(folder / "labels.npy", labels)
    for i in range(n_models):
        features = rng.standard_normal((n_rows, n_features), dtype=np.float32)
        means = rng.standard_normal((CLASSES, n_features), dtype=np.float32)
        features += np.float32(0.3 * (i + 1) / n_models) * means[labels]
        np.save(folder / f"model_{i:03d}.npy", features)


def model_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model_*.npy"))


def serve(pipe: Connection, folder: Path, threads: int) -> None:
    """Rank the files whose places arrive, until None does; send the scores and the costs."""
    import transferability as tx

    files, labels = model_files(folder), np.load(folder / "labels.npy")
    few = np.random.default_rng(0).normal(size=(20, 2))
    tx.rank({"a": few}, few[:, 0] > 0, n_threads=threads)  # import everything
    pipe.send("ready")
    while (places := pipe.recv()) is not None:
        models = {files[i].stem: files[i] for i in places}
        with Peak(0.05) as peak:
            worked = time.process_time()
            ranking = tx.rank(models, labels, n_threads=threads, progress=False)
            worked = time.process_time() - worked
        scores = {row.name: float(row.logme) for row in ranking}
        pipe.send((scores, worked, peak.extra / 2**20))


class Server:
    """A process that ranks files with a number of threads."""

    def __init__(self, folder: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, folder, threads))
        self._process.start()
        self._pipe.recv()

    def ask(self, places: list[int]) -> None:
        self._pipe.send(places)

    def answer(self) -> tuple[dict[str, float], float, float]:
        found: tuple[dict[str, float], float, float] = self._pipe.recv()
        return found

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join()


def run(servers: list[Server], shares: list[list[int]], files: list[Path] | None) -> dict[str, Any]:
    """Rank shares of the files at once; first drop `files` from the cache of the system."""
    for path in files or ():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    start = time.perf_counter()
    for server, share in zip(servers, shares, strict=True):
        server.ask(share)
    found = [server.answer() for server in servers]
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": sum(worked for _, worked, _ in found),
        "extra_mb": sum(extra for _, _, extra in found),
        "scores": {name: score for scores, _, _ in found for name, score in scores.items()},
    }


def check(ours: dict[str, float], theirs: dict[str, float], folder: Path) -> None:
    """Check that both sides have the same bits, and the first file the score of its array."""
    import transferability as tx

    if ours != theirs:
        raise SystemExit("the scores of the ranking and of the independent processes differ")
    first = model_files(folder)[0]
    alone = float(tx.logme(np.load(first), np.load(folder / "labels.npy")))
    if ours[first.stem] != alone:
        raise SystemExit(f"{first.stem} differs: {ours[first.stem]!r}, alone {alone!r}")


def measure(folder: Path, threads: int, repeats: int, cold: bool) -> dict[str, Any]:
    files = model_files(folder)
    places = list(range(len(files)))
    together, apart = [Server(folder, threads)], [Server(folder, 1) for _ in range(threads)]
    dropped = files if cold else None
    sides = {
        "rank": lambda: run(together, [places], dropped),
        "processes": lambda: run(apart, [places[i::threads] for i in range(threads)], dropped),
    }
    try:
        first = {name: side() for name, side in sides.items()}  # also a warm-up
        check(first["rank"]["scores"], first["processes"]["scores"], folder)
        found = [{name: side() for name, side in sides.items()} for _ in range(repeats)]
    finally:
        for server in together + apart:
            server.close()
    row: dict[str, Any] = {"models": len(files), "threads": threads, "cold": cold}
    for name in sides:
        for key in ("seconds", "cpu_seconds", "extra_mb"):
            row[f"{name}_{key}"] = statistics.median(pair[name][key] for pair in found)
    ratios = [pair["processes"]["seconds"] / pair["rank"]["seconds"] for pair in found]
    return row | {"throughput": statistics.median(ratios), "bar": BAR}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="Read from the disk, not its cache.")
    parser.add_argument("--folder", type=Path, help="Where the files are written; removed after.")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rank-", dir=arguments.folder))
    try:
        generate(folder, arguments.models, arguments.rows, arguments.features)
        os.sync()
        row = measure(folder, arguments.threads, arguments.repeats, arguments.cold)
    finally:
        shutil.rmtree(folder)
    if arguments.json:
        print(json.dumps([row]))
    else:
        for name in ("rank", "processes"):
            print(
                f"{name:<10} {row[f'{name}_seconds']:7.2f} s  "
                f"{row[f'{name}_cpu_seconds']:7.2f} s of the processor  "
                f"{row[f'{name}_extra_mb']:5.0f} MB"
            )
        print(f"throughput of rank: {row['throughput']:.3f}, the bar is {BAR}")
        sys.exit(row["throughput"] < BAR)


if __name__ == "__main__":
    main()
