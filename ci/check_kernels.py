"""Check that scores agree across kernels of OpenBLAS, and bit for bit across numbers of threads.

    python ci/check_kernels.py

`OPENBLAS_CORETYPE` selects the kernels that OpenBLAS would choose on another processor. Every
metric is computed with each of them in a process of its own, and with the first of them by 1, 2, 3,
4 and 7 threads. `make check-deep` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import transferability as tx
from transferability._metric.registry import metric_specs

#: From SSE3 to AVX-512; a processor takes the kernels that it can execute, so some may be the same.
KERNELS = (
    *("Prescott", "Core2", "Nehalem", "Barcelona", "Sandybridge"),
    *("Haswell", "Zen", "SkylakeX", "Cooperlake"),
)
THREADS = (1, 2, 3, 4, 7)
#: The largest difference relative to max(1, |value|).
MOST = 1e-12
#: Rows and columns: more rows than columns, fewer, blocks for threads, two-stage reductions.
SHAPES = ((300, 40), (60, 150), (9000, 96), (1200, 1100))
#: Metrics with a wider one, and why. Expectation maximisation stops at a change of 1e-3 nats and
#: L-BFGS at one of 2e-9, so that kernels may differ by a step. LiDAR divides by eigenvalues of the
#: covariance within samples plus 1e-4: the largest here is 840, and 8.4e6 roundings are 1.9e-9.
WIDER = {"n_leep": 1e-6, "pactran": 1e-7, "lidar": 1.9e-9}


def problem(n: int, d: int, task: str) -> dict[str, Any]:
    """Make everything that a call can bring."""
    rng = np.random.default_rng(n + d)
    labels: Any = np.arange(n) % 5
    features = rng.normal(size=(n, d)) + rng.normal(size=(5, d))[labels]
    features *= np.exp(rng.normal(size=d))
    probs = rng.dirichlet(np.ones(12), size=n)
    if task == "regression":
        labels = features[:, :3] + rng.normal(size=(n, 3))
    if task == "multilabel":
        labels = np.stack([labels == 0, features[:, 0] > 0], axis=1).astype(int)
    return {
        "features": features,
        "labels": None if task == "unlabelled" else labels,
        "source_probs": probs,
        "source_labels": probs.argmax(axis=1),
        "label_embeddings": rng.normal(size=(n, 3, 8)),
    }


def results(threads: tuple[int, ...]) -> Iterator[tuple[str, list[float]]]:
    """Compute every metric on every shape; fail where bits depend on threads."""
    for name, spec in metric_specs().items():
        for task in spec.tasks:
            for n, d in SHAPES:
                if not spec.is_native and n * d > 50_000:
                    continue  # seconds each, and no threads of ours
                given = problem(n, d, task)
                asked = "auto" if task == "unlabelled" else task
                found = []
                for n_threads in threads if spec.is_native else (1,):
                    score: Any = tx.score(metrics=name, task=asked, n_threads=n_threads, **given)
                    parts = [v for v in score.details.values() if isinstance(v, float)]
                    own = score.per_target
                    found.append([float(score), *parts, *np.ravel([] if own is None else own)])
                case = f"{name}, {task}, {n} x {d}"
                if len({np.array(numbers).tobytes() for numbers in found}) > 1:
                    raise SystemExit(f"{case}: bits depend on the number of threads: {found}")
                yield case, [float(value) for value in found[0]]


def run(kernel: str, mode: str) -> dict[str, Any] | None:
    """Return the results with these kernels; None if this processor cannot execute them."""
    command = [sys.executable, __file__, mode]
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    if done.returncode == -signal.SIGILL:
        return None
    if done.returncode:
        raise SystemExit(f"{kernel}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def difference(values: list[float], others: list[float]) -> float:
    """Return the largest difference relative to max(1, |value|)."""
    one, two = np.array(values), np.array(others)
    if one.shape != two.shape or (np.isnan(one) != np.isnan(two)).any():
        return float("inf")
    with np.errstate(invalid="ignore"):
        apart = np.where(one == two, 0.0, np.abs(one - two) / np.maximum(1.0, np.abs(one)))
    return float(np.nanmax(apart, initial=0.0))


def main() -> None:
    """Compare the kernels, or compute with one."""
    if modes := sys.argv[1:]:
        warnings.simplefilter("ignore")
        scores = dict(results(THREADS if modes == ["--threads"] else (1,)))
        print(json.dumps({"core": tx.show_config()["blas_core"], "scores": scores}))
        return
    by_core: dict[str, dict[str, list[float]]] = {}
    for kernel in KERNELS:
        found = run(kernel, "--one" if by_core else "--threads")
        if found is None:
            print(f"{kernel}: not for this processor", flush=True)
            continue
        by_core.setdefault(found["core"], found["scores"])
        print(f"{kernel}: took {found['core']}", flush=True)
    first, *rest = by_core
    wrong = []
    for case, values in by_core[first].items():
        worst = max((difference(values, by_core[core][case]), core) for core in rest)
        most = WIDER.get(case.split(",")[0], MOST)
        if worst[0] > most:
            wrong.append(case)
        if worst[0] > 1e-13:
            print(f"{case}: {worst[0]:.1e} ({first}, {worst[1]}){' WRONG' * (worst[0] > most)}")
    print(f"{len(by_core)} kernels, {len(by_core[first])} cases")
    if wrong or len(by_core) < 6:
        raise SystemExit(f"beyond the tolerance: {wrong}; kernels: {list(by_core)}")


if __name__ == "__main__":
    main()
