"""Time of a ranking on Dask: two workers of one thread against one, in the same run.

    python benches/python/bench_dask.py --rows 400000 --features 768 --shards 16

The result is checked first: the same bits from both. Rounds alternate between one and two workers,
and the fastest round of each counts. The bar, 1.7 times as fast, is for two idle cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import transferability as tx

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))
from dask_cluster import Cluster

BAR = 1.7
METRICS = ["logme", "h_score"]


def write_shards(folder: Path, rows: int, features: int, shards: int) -> np.ndarray:
    """Write float16 shards of features, some of which depend on the labels; return the labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, rows)
    centres = rng.normal(size=(10, features)).astype(np.float32)
    for i, part in enumerate(np.array_split(labels, shards)):
        noise = rng.standard_normal((len(part), features), dtype=np.float32)
        np.save(folder / f"x_{i}.npy", (0.1 * centres[part] + noise).astype(np.float16))
    return labels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x").mkdir()
        labels = write_shards(folder / "x", asked.rows, asked.features, asked.shards)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        bits = set()
        clusters = {}
        for n_workers in seconds:
            (folder / str(n_workers)).mkdir()
            clusters[n_workers] = Cluster(folder / str(n_workers), n_workers)
        with clusters[1] as one, clusters[2] as two:
            for cluster in (one, two):  # import the package on all workers, and load the files
                tx.dask.rank(cluster.client, {"m": folder / "x"}, labels, METRICS, progress=False)
            for _ in range(asked.rounds):
                for n_workers, cluster in ((1, one), (2, two)):
                    start = time.perf_counter()
                    ranking = tx.dask.rank(
                        cluster.client, {"m": folder / "x"}, labels, METRICS, progress=False
                    )
                    seconds[n_workers].append(time.perf_counter() - start)
                    bits.add(tuple(ranking.best.value(metric).hex() for metric in METRICS))
        source = tx.io.open_features(folder / "x", labels)
        expected = tx.io.stats_of(source, progress=False).score(METRICS)
    assert len(bits) == 1, f"one and two workers differ: {bits}"
    for metric, text in zip(METRICS, bits.pop(), strict=True):
        value = float.fromhex(text)
        assert abs(value - expected[metric]) <= 1e-10 * max(1, abs(value)), (metric, value)
    best = {n_workers: min(times) for n_workers, times in seconds.items()}
    speedup = best[1] / best[2]
    if asked.json:
        print(json.dumps({**vars(asked), "seconds": seconds, "speedup": speedup, "bar": BAR}))
    else:
        shape = f"{asked.rows:,} x {asked.features} float16 in {asked.shards} shards"
        print(
            f"{shape}: one worker {best[1]:.2f} s, two {best[2]:.2f} s: {speedup:.2f} times as "
            f"fast (bar {BAR} on two free cores)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
