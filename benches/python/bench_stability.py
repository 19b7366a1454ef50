"""Time of the stability of a ranking, 200 resamples, against the ranking itself.

    python benches/python/bench_stability.py
    python benches/python/bench_stability.py --models 3 --samples 600 --features 64

See benches/README.md. The result is checked first: first-order against exact resamples of the same
rows, on a smaller task. Both are timed in one process, interleaved.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings

import numpy as np

import transferability as tx

BAR = 3.0  # maximum ratio to the time of the ranking
N_BOOT = 200


def task(models: int, samples: int, features: int, classes: int) -> tuple[dict, np.ndarray]:
    """Generate correlated float32 features of models whose class means differ by model."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=samples)
    found = {}
    for i in range(models):
        mixing = rng.normal(size=(features, features)) / np.sqrt(features)
        means = (0.1 + 0.02 * i) * rng.normal(size=(classes, features))
        found[f"model {i}"] = (
            rng.normal(size=(samples, features)) @ mixing + means[labels]
        ).astype(np.float32)
    return found, labels


def check() -> float:
    """Return the smallest correlation of first-order with exact resampled scores."""
    models, labels = task(3, 5000, 8, 5)
    ranking = tx.rank(models, labels)
    first, exact = ranking.stability(40), ranking.stability(40, method="exact")
    pairs = zip(first.replicates.T, exact.replicates.T, strict=True)
    least = min(float(np.corrcoef(a, b)[0, 1]) for a, b in pairs)
    if least < 0.98:
        raise SystemExit(f"first-order and exact resamples correlate at {least:.3f} only")
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tx.set_num_threads(options.threads)
    least = check()
    models, labels = task(options.models, options.samples, options.features, options.classes)
    times: dict[str, list[float]] = {"rank": [], "stability": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tx.rank(models, labels).stability(N_BOOT)
        for _ in range(options.repeats):
            start = time.perf_counter()
            ranking = tx.rank(models, labels)
            middle = time.perf_counter()
            ranking.stability(N_BOOT)
            times["rank"].append(middle - start)
            times["stability"].append(time.perf_counter() - middle)
    ratio = statistics.median(
        after / before for before, after in zip(times["rank"], times["stability"], strict=True)
    )
    row = {
        "shape": f"{options.models} x {options.samples}x{options.features}x{options.classes}",
        "rank_s": statistics.median(times["rank"]),
        "stability_s": statistics.median(times["stability"]),
        "ratio": ratio,
        "bar": BAR,
        "agreement": least,
    }
    if options.json:
        print(json.dumps(row))
        return
    print(
        f"{row['shape']}: ranking {row['rank_s']:.2f} s, {N_BOOT} resamples of it "
        f"{row['stability_s']:.2f} s: {ratio:.2f} times, bar {BAR} "
        f"(resamples correlate with exact ones at {least:.4f})"
    )


if __name__ == "__main__":
    main()
