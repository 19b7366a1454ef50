"""Time of k-NN against scikit-learn's brute force.

    python benches/python/bench_knn.py [NxD ...] [--threads 2] [--json]

Results are checked first: the votes must be those of scikit-learn's neighbours, except ties. Times
are medians of interleaved repeats, as in bench_logme.py, on float32 features.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

K = 5
REPEATS = 3
SHAPES = ["2000x768", "20000x768"]


def problem(n_samples: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Generate half-rectified float32 features with different class means, like a network's."""
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=n_samples)
    means = rng.normal(scale=0.1, size=(10, n_features)).astype(np.float32)
    features = rng.standard_normal((n_samples, n_features), dtype=np.float32) + means[labels]
    return np.maximum(features, np.float32(-0.5), out=features), labels


def peer(features: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(features)
    found: np.ndarray = model.kneighbors(return_distance=False)  # of other rows
    return found


def voted(features: np.ndarray, labels: np.ndarray, neighbours: np.ndarray) -> float:
    """Return the share of rows whose neighbours vote for their class, by the documented rule."""
    far = np.array(
        [
            np.linalg.norm(features[i].astype(float) - features[n], axis=1)
            for i, n in enumerate(neighbours)
        ]
    )
    right = 0
    for label, row, distance in zip(labels, labels[neighbours], far, strict=True):
        votes = [(-(row == c).sum(), sum(distance[row == c]), c) for c in np.unique(row)]
        right += min(votes)[2] == label
    return right / len(labels)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(shape: str, threads: int) -> dict[str, Any]:
    from threadpoolctl import threadpool_limits

    import transferability as tx

    features, labels = problem(*map(int, shape.split("x")))
    with threadpool_limits(threads):
        expected = voted(features, labels, peer(features))
        ours = float(tx.knn(features, labels, k=K, n_threads=threads))
        if abs(ours - expected) > 1e-12:
            raise SystemExit(
                f"{shape}: ours is {ours!r}, scikit-learn's neighbours vote {expected!r}"
            )
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(REPEATS):
            seconds["ours"].append(timed(lambda: tx.knn(features, labels, k=K, n_threads=threads)))
            seconds["peer"].append(timed(lambda: peer(features)))
    ours_s, peer_s = (statistics.median(seconds[name]) for name in ("ours", "peer"))
    return {
        "shape": shape,
        "ours_s": ours_s,
        "peer_s": peer_s,
        "ratio": peer_s / ours_s,
        "bar": 1.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", help=f"NxD; default: {' '.join(SHAPES)}")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = [measure(shape, options.threads) for shape in options.shapes or SHAPES]
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
