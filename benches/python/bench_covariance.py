"""Time and memory of covariance estimates against scikit-learn and NumPy's float64 product.

    python benches/python/bench_covariance.py [NxD ...] [--threads 2] [--repeats 5] [--json]
    python benches/python/bench_covariance.py --memory [NxD ...]

Results are checked first, against scikit-learn to 1e-10. Times are medians of interleaved repeats
on the same values, float64 unless a row says float32. `product` is ``X.T @ X`` in NumPy, for which
float32 values are converted first. `bar` is the least ratio of scikit-learn's time to ours, or the
largest ratio of ours to the product. With `--memory` every call runs in a fresh process, and
`peak_mb` is the peak resident memory above that before the call and above the result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = ("10000x2048", "10000x768", "500x2048")
#: Seconds before each call: the BLAS threads of NumPy spin for some time after a product, and take
#: the cores from the next call.
PAUSE = 0.2
#: Least ratio of scikit-learn's time to that of ledoit_wolf, by shape.
BARS = {"10000x2048": 8.0, "10000x768": 3.3, "500x2048": 3.0}


def problem(shape: str) -> NDArray[np.float64]:
    """Generate features with correlated columns of different sizes and means."""
    n, d = map(int, shape.split("x"))
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n, d))
    features += rng.standard_normal((n, 3)) @ rng.standard_normal((3, d))
    return (features * np.exp(rng.standard_normal(d) / 2) + 1).astype(np.float32).astype(float)


def product(features: NDArray[Any]) -> NDArray[np.float64]:
    wide = features.astype(np.float64, copy=False)
    return wide.T @ wide


def calls(shape: str, threads: int) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    from sklearn import covariance as theirs

    from transferability import covariance as ours

    x = problem(shape)
    narrow = x.astype(np.float32)
    return {
        "ledoit_wolf": lambda: ours.ledoit_wolf(x, n_threads=threads),
        "sklearn": lambda: theirs.ledoit_wolf(x),
        "product": lambda: product(x),
        "empirical": lambda: ours.empirical_covariance(x, n_threads=threads),
        "empirical_f32": lambda: ours.empirical_covariance(narrow, n_threads=threads),
        "product_f32": lambda: product(narrow),
    }


def check(run: dict[str, Callable[[], Any]], shape: str) -> None:
    """Exit unless ours are scikit-learn's values."""
    from sklearn.covariance import empirical_covariance

    (matrix, amount), (expected, theirs) = run["ledoit_wolf"](), run["sklearn"]()
    plain = empirical_covariance(problem(shape))
    pairs = [(matrix, expected), (np.array(amount), np.array(theirs))]
    pairs += [(run["empirical"](), plain), (run["empirical_f32"](), plain)]
    for found, wanted in pairs:
        off = abs(found - wanted).max() / abs(wanted).max()
        if off > 1e-10:
            raise SystemExit(f"{shape}: ours differs from scikit-learn by {off:.1e}")


def measure(shape: str, threads: int, repeats: int) -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_limits

    run = calls(shape, threads)
    seconds: dict[str, list[float]] = {name: [] for name in run}
    with threadpool_limits(threads):
        check(run, shape)
        for _ in range(repeats):
            for name, call in run.items():
                time.sleep(PAUSE)
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}

    def ratio(first: str, second: str) -> float:
        """Return the median of the ratios within a repeat."""
        return statistics.median(
            a / b for a, b in zip(seconds[first], seconds[second], strict=True)
        )

    rows = [("ledoit_wolf, times faster", "sklearn", "ledoit_wolf", BARS.get(shape, 1.0))]
    rows += [("ledoit_wolf / product", "ledoit_wolf", "product", 1.25)]
    rows += [("empirical / product", "empirical", "product", 1.05)]
    rows += [("empirical_f32 / product_f32", "empirical_f32", "product_f32", 1.1)]
    return [
        {
            "shape": shape,
            "what": what,
            "ours_s": median[b if a == "sklearn" else a],
            "other_s": median[a if a == "sklearn" else b],
            "ratio": ratio(a, b),
            "bar": bar,
        }
        for what, a, b, bar in rows
    ]


def memory(shape: str, threads: int) -> dict[str, Any]:
    """Run one call in a fresh process, and return its peak above the input and the result."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bench_covariance as b; "
        "b.print_peak(sys.argv[2], int(sys.argv[3]))"
    )
    folder = __file__.rpartition("/")[0] or "."
    command = [sys.executable, "-c", code, folder, shape, str(threads)]
    peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    d = int(shape.split("x")[1])
    bar = ((threads + 1) * d * d * 8 + (32 << 20)) / 1e6
    return {"shape": shape, "what": "peak_mb", "ratio": peak, "bar": bar}


def print_peak(shape: str, threads: int) -> None:

    from transferability import covariance as ours

    x = problem(shape)
    ours.ledoit_wolf(x[:300, :64], n_threads=threads)  # imports, and starts the threads

    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the memory in use
    with open("/proc/self/status") as file:
        before = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
    matrix, _ = ours.ledoit_wolf(x, n_threads=threads)
    with open("/proc/self/status") as file:
        after = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    print((after - before - matrix.nbytes) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=SHAPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for shape in given.shapes:
        if given.memory:
            rows = [memory(shape, given.threads)]
        else:
            rows = measure(shape, given.threads, given.repeats)
        for row in rows:
            if given.json:
                print(json.dumps(row))
            else:
                seconds = (
                    f"{row['ours_s']:8.3f} s {row['other_s']:8.3f} s" if "ours_s" in row else ""
                )
                print(
                    f"{shape:>12} {row['what']:28} {seconds} {row['ratio']:7.2f} bar "
                    f"{row['bar']:.2f}"
                )


if __name__ == "__main__":
    main()
