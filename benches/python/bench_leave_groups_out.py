"""Time of leaving out whole groups against leaving out rows: ridge probe and k-NN.

    python benches/python/bench_leave_groups_out.py [NxD:GROUPS ...] [--threads 2] [--json]

GROUPS is their number, of equal sizes, or "huge" for one of 95 % of the rows and ten others.
Results are checked first, against a refit without the largest group. Times are medians of
interleaved repeats on float32 features and ten classes. The bar is a ratio of 3 for 50 groups of
10,000 x 768.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

RIDGE = 0.1
REPEATS = 5
SHAPES = [f"10000x768:{groups}" for groups in (5, 13, 50, 500, 5000, "huge")]


def problem(shape: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate float32 features and ten classes, in groups whose rows are alike."""
    size, _, how = shape.partition(":")
    n_samples, n_features = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    groups = np.arange(n_samples) % (10 if how == "huge" else int(how))
    if how == "huge":
        groups[: 19 * n_samples // 20] = 10
    groups = rng.permutation(groups)
    labels = rng.integers(10, size=n_samples)
    means = rng.normal(scale=0.1, size=(10, n_features))[labels]
    shifts = rng.normal(scale=0.5, size=(groups.max() + 1, n_features))[groups]
    features = rng.standard_normal((n_samples, n_features)) + means + shifts
    return features.astype(np.float32), labels, groups


def refit(features: np.ndarray, labels: np.ndarray, own: np.ndarray) -> float:
    """Return the accuracy on some rows of the ridge regression fitted to the others."""
    x = features.astype(np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    hot = (labels[:, None] == np.arange(10)).astype(np.float64)
    mean, target = x[~own].mean(axis=0), hot[~own].mean(axis=0)
    rest = x[~own] - mean
    scatter = rest.T @ rest + len(x) * RIDGE * np.eye(x.shape[1])
    w = np.linalg.solve(scatter, rest.T @ (hot[~own] - target))
    return float((((x[own] - mean) @ w + target).argmax(axis=1) == labels[own]).mean())


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(shape: str, threads: int) -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_limits

    import transferability as tx

    features, labels, groups = problem(shape)
    largest = int(np.bincount(groups).argmax())
    with threadpool_limits(threads):
        found = tx.ridge_probe(features, labels, groups=groups, ridges=[RIDGE], n_threads=threads)
        expected = refit(features, labels, groups == largest)
        if abs(float(found.per_group[largest]) - expected) > 1e-12:
            raise SystemExit(f"{shape}: {found.per_group[largest]!r}, a refit gets {expected!r}")
    rows = []
    for metric in ("ridge_probe", "knn"):
        alone = partial(getattr(tx, metric), features, labels, n_threads=threads)
        together = partial(alone, groups=groups)
        seconds: dict[str, list[float]] = {"rows": [], "groups": []}
        for _ in range(REPEATS):
            seconds["rows"].append(timed(alone))
            seconds["groups"].append(timed(together))
        rows_s, groups_s = (statistics.median(seconds[name]) for name in ("rows", "groups"))
        rows.append(
            {
                "metric": metric,
                "shape": shape,
                "rows_s": rows_s,
                "groups_s": groups_s,
                "ratio": groups_s / rows_s,
                "bar": 3.0,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", help=f"NxD:GROUPS; default: {' '.join(SHAPES)}")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = [row for shape in options.shapes or SHAPES for row in measure(shape, options.threads)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            "  ".join(
                f"{name} {v if isinstance(v, str) else f'{v:#.3g}'}" for name, v in row.items()
            )
        )


if __name__ == "__main__":
    main()
