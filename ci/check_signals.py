"""Check that Ctrl-C is answered: the longest time in which no signal handler can run.

    python ci/check_signals.py [--order 2048] [--case TEXT] [--most 0.2]

A timer sends a signal every 10 ms while a function runs on one thread, and its handler notes the
processor time of that thread, which does not depend on what else the machine does. What is between
two notes is a piece that cannot be interrupted. Every function that computes for long is called on
inputs of this order. `make check-deep` runs it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import transferability as tx
from transferability._metric.registry import metric_specs

#: Seconds between signals.
EVERY = 0.01
#: Seconds after which a function is stopped: what was seen until then counts.
LONGEST = 60.0
#: Cases of single calls into LAPACK and scikit-learn; docs/embedding.md states their length.
STATED = (
    *("n_leep", "svd", "few rows: lidar", "few rows: alpha_req", "few rows: effective_rank"),
    *("few rows: participation_ratio", "few rows: health.check"),
)

#: A name, and what makes the call with its inputs at hand.
Case = tuple[str, Callable[[], Callable[[], Any]]]


def longest_gap(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of a call, and the longest time without a handler in it."""
    notes: list[float] = []
    stop_at = time.thread_time() + LONGEST

    def note(number: int, frame: object) -> None:
        nonlocal stop_at
        notes.append(time.thread_time())
        if notes[-1] > stop_at:
            stop_at = float("inf")  # once: the next signal may come outside of `try`
            raise TimeoutError

    signal.signal(signal.SIGALRM, note)
    start = time.thread_time()
    notes.append(start)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    try:
        call()
    except TimeoutError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    notes.append(time.thread_time())
    return notes[-1] - start, float(np.diff(notes).max())


def problem(n: int, d: int, n_classes: int, seed: int = 0) -> dict[str, Any]:
    """Make features with classes, and everything else that a metric may read."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, d)).astype(np.float32)
    features = rng.normal(size=(n, d)).astype(np.float32) + centres[labels]
    probs = rng.dirichlet(np.ones(50), size=n)
    embeddings = rng.normal(size=(n, 4, 64))
    return {
        "features": features,
        "labels": labels,
        "source_probs": probs,
        "source_labels": probs.argmax(axis=1),
        "label_embeddings": embeddings,
    }


def of_metrics(name: str, n: int, d: int, n_classes: int) -> Iterator[Case]:
    """One case a metric, and LogME by SVD."""
    for metric, spec in metric_specs().items():
        if "classification" in spec.tasks or "unlabelled" in spec.tasks:
            yield f"{name}: {metric}", partial(scoring, metric, n, d, n_classes)
    yield f"{name}: logme by svd", partial(scoring, "logme", n, d, n_classes, method="svd")


def scoring(metric: str, n: int, d: int, n_classes: int, **options: Any) -> Callable[[], Any]:
    """Return a call of one metric."""
    given = problem(n, d, n_classes)
    return lambda: tx.score(metrics=metric, n_threads=1, **given, **options)


def of_statistics(order: int) -> Iterator[Case]:
    """Statistics: updates, merges, files, covariances, coding rates."""

    def many() -> dict[str, Any]:
        return problem(3 * order, order, 20)

    def few() -> Any:
        return problem(order // 2, order, 20)["features"]

    def stats() -> tx.Stats:
        made, given = tx.Stats(n_threads=1), many()
        made.update(given["features"], given["labels"])
        return made

    def update() -> Callable[[], Any]:
        made, given = tx.Stats(n_threads=1), many()
        return lambda: made.update(given["features"], given["labels"])

    def merge() -> Callable[[], Any]:
        first, second = stats(), stats()
        return lambda: first.merge(second)

    yield "Stats.update", update
    yield "Stats.merge", merge
    yield "Stats.to_bytes", lambda: stats().to_bytes
    yield "Stats.from_bytes", lambda: partial(tx.Stats.from_bytes, stats().to_bytes())
    functions: dict[str, Callable[..., Any]] = {
        "ledoit_wolf": tx.covariance.ledoit_wolf,
        "coding_rate": tx.covariance.coding_rate,
        "health.check": tx.health.check,
    }

    def calling(function: Callable[..., Any], features: Callable[[], Any]) -> Callable[[], Any]:
        return partial(function, features(), n_threads=1)

    for name, function in functions.items():
        yield name, partial(calling, function, lambda: many()["features"])
        yield f"few rows: {name}", partial(calling, function, few)


def of_rankings() -> Iterator[Case]:
    """Rankings of small models, what is sampled from them, and many classes."""
    given = problem(2000, 64, 10)
    models = {
        f"m{k}": given["features"] + k * problem(2000, 64, 10, seed=k)["features"] for k in range(6)
    }

    def ranking() -> tx.Ranking:
        return tx.rank(models, given["labels"], n_threads=1)

    yield "rank", lambda: ranking
    yield "stability", lambda: partial(ranking().stability, seed=0)
    yield "shortlist", lambda: partial(ranking().shortlist, seed=0)
    for metric in ("lda", "sfda", "knn", "gbc"):
        yield f"20,000 classes: {metric}", partial(scoring, metric, 40_000, 512, 20_000)


def cases(order: int) -> Iterator[Case]:
    """All functions on inputs of an order."""
    yield from of_metrics("many rows", 3 * order, order, 100)
    yield from of_metrics("few rows", order, 2 * order, 20)
    yield from of_statistics(order)
    yield from of_rankings()


def measure(order: int, name: str, results: Any) -> None:
    """Run one case and put its times, in a process of its own."""
    warnings.simplefilter("ignore")
    (make,) = (make for found, make in cases(order) if found == name)
    try:
        tx.logme(*(problem(200, 16, 2)[key] for key in ("features", "labels")))  # warm up
        results.put(longest_gap(make()))
    except Exception as error:
        results.put(error)


def main() -> None:
    """Measure every case, and fail where a piece is longer than it may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--order", type=int, default=2048, help="columns; default: %(default)s")
    parser.add_argument("--case", default="", help="only cases with this text in their names")
    parser.add_argument("--most", type=float, default=0.2, help="seconds; default: %(default)s")
    options = parser.parse_args()
    late, failed = [], []
    for name in [name for name, _ in cases(options.order) if options.case in name]:
        results: Any = multiprocessing.get_context("fork").Queue()
        worker = multiprocessing.get_context("fork").Process(
            target=measure, args=(options.order, name, results)
        )
        worker.start()
        found = results.get(timeout=10 * LONGEST)
        worker.join()
        if isinstance(found, Exception):
            print(f"{name:32} {type(found).__name__}: {str(found)[:90]}", flush=True)
            failed.append(name)
            continue
        seconds, gap = found
        stated = any(text in name for text in STATED)
        is_late = gap > options.most and not stated
        remark = "LATE" if is_late else "stated" if gap > options.most else ""
        print(f"{name:32} {seconds:8.2f} s, longest piece {1e3 * gap:7.0f} ms {remark}", flush=True)
        late += [name] * is_late
    if late:
        raise SystemExit(f"no handler ran for more than {options.most} s in: {', '.join(late)}")
    if failed:
        raise SystemExit(f"an error ended: {', '.join(failed)}")


if __name__ == "__main__":
    main()
