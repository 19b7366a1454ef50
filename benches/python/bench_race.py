"""Races: what they keep, what they save, and whether the bounds on wrong drops hold.

    python benches/python/bench_race.py --data FOLDER [FOLDER …] [--seeds 10] [--simulate 2000]

A task is an .npz file with one (N, D) array per model and ``labels`` or ``labels_NAME``. The truth
is the ranking by all rows. Every task is raced with all its models and with random subsets of
eight; then with 2,000 and 10,000 rows drawn from the class means and covariances of the task, the
same draws for all models. Plain halving, from 100 rows by the scores alone, is the baseline.
``--simulate`` races models whose scores are means over rows: the bounds on wrong drops.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import transferability as tx
from transferability._inputs.target import read_target
from transferability._racing.order import order_rows, stratify

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))
from simulated_race import simulate_race

Features = Mapping[str, np.ndarray]
TOP = 3


def read_tasks(folders: list[Path]) -> Iterator[tuple[str, Features, np.ndarray]]:
    """Iterate over tasks; files NAME_a.npz and NAME_b.npz are one task."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.npz")):
        with np.load(path) as arrays:
            own = {name: arrays[name] for name in arrays.files}
        stem = path.stem.removesuffix("_a").removesuffix("_b")
        found.setdefault(stem, {}).update(own)
    for task, arrays in found.items():
        features = {
            name: x for name, x in arrays.items() if x.ndim == 2 and not name.startswith("labels")
        }
        for name, labels in arrays.items():
            if name.startswith("labels") and labels.ndim == 1:
                yield f"{task} {name}", features, labels


def simulate_rows(
    features: Features, labels: np.ndarray, n_rows: int, seed: int
) -> tuple[Features, np.ndarray]:
    """Draw rows with the class means and covariances of all models together."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(labels, size=n_rows)
    made = {name: np.empty((n_rows, x.shape[1]), np.float32) for name, x in features.items()}
    for label in np.unique(drawn):
        rows, own = drawn == label, labels == label
        weights = rng.normal(size=(rows.sum(), own.sum())) / np.sqrt(max(own.sum() - 1, 1))
        for name, x in features.items():
            part = x[own].astype(np.float64)
            made[name][rows] = part.mean(axis=0) + weights @ (part - part.mean(axis=0))
    return made, drawn


def race(features: Features, labels: np.ndarray, metrics: str, seed: int, full: Any) -> list[float]:
    """Return whether the best is kept, the share of the top kept, and the shares of passes."""
    ranking = tx.rank(features, labels, metrics, race=tx.Race(seed=seed), progress=False)
    report = ranking.race
    assert report is not None
    names = [name for name in full if name in features]
    kept = np.isin(names[:TOP], report.finalists)
    return [kept[0], kept.mean(), report.passes / report.passes_without, len(report.finalists)]


def halve(
    features: Features, labels: np.ndarray, metrics: str, seed: int, full: Any
) -> list[float]:
    """Return the same for plain halving."""
    order = order_rows(stratify(read_target(labels)), seed)
    alive, before, passes, n_rows = dict(features), 0, 0, 100
    while True:
        n_rows = min(n_rows, len(labels))
        passes += len(alive) * (n_rows - before)
        before = n_rows
        rows = np.sort(order[:n_rows])
        part = {name: np.asarray(x)[rows] for name, x in alive.items()}
        names = tx.rank(part, labels[rows], metrics, progress=False).names
        names = names[: max(TOP, (len(names) + 1) // 2)]
        alive = {name: features[name] for name in names}
        if len(alive) <= TOP or n_rows == len(labels):
            break
        n_rows *= 2
    expected = [name for name in full if name in features][:TOP]
    kept = np.isin(expected, list(alive))
    return [kept[0], kept.mean(), passes / len(features) / len(labels), len(alive)]


def print_line(name: str, found: list[list[float]]) -> None:
    """Print means, and the number of races."""
    best, top, passes, left = np.mean(found, axis=0)
    print(
        f"| {name} | {len(found)} | {best:.1%} | {top:.1%} | {passes:.3f} | {left:.1f} |",
        flush=True,
    )


def run_tasks(arguments: argparse.Namespace) -> None:
    """Race the tasks, and simulated ones."""
    print("| task | races | best kept | top kept | passes | finalists |\n|---|--:|--:|--:|--:|--:|")
    totals: dict[str, list[list[float]]] = {}
    for task, features, labels in read_tasks(arguments.data):
        if arguments.tasks and not any(task.startswith(start) for start in arguments.tasks):
            continue
        metrics, name = arguments.metrics, task
        full = tx.rank(features, labels, metrics, progress=False).names
        rng, sets = np.random.default_rng(0), []
        for seed in range(arguments.seeds):
            sets.append((seed, features))
            for _ in range(arguments.subsets):
                some = rng.choice([*features], 8, replace=False)
                sets.append((seed, {model: features[model] for model in sorted(some)}))
        for kind, run in (("race", race), ("halving", halve)):
            for what, size in (("all", len(features)), ("of 8", 8)):
                found = [
                    run(some, labels, metrics, seed, full)
                    for seed, some in sets
                    if len(some) == size
                ]
                if found:
                    print_line(f"{name}, {kind} {what}", found)
                totals.setdefault(f"{kind} {what}", []).extend(found)
        for n_rows in arguments.rows:
            found, other = [], []
            for seed in range(arguments.simulated_seeds if labels.dtype.kind != "f" else 0):
                made, drawn = simulate_rows(features, labels, n_rows, seed)
                order = tx.rank(made, drawn, metrics, progress=False).names
                found.append(race(made, drawn, metrics, seed, order))
                other.append(halve(made, drawn, metrics, seed, order))
            if found:
                for kind, lines in (("race", found), ("halving", other)):
                    print_line(f"{name}, {n_rows:,} rows, {kind}", lines)
                    totals.setdefault(f"{kind}, {n_rows:,} rows", []).extend(lines)
    for name, found in totals.items():
        if found:
            print_line(f"**{name}**", found)


def run_simulations(n_races: int) -> None:
    """Compare the bounds on wrong drops with what was lost."""
    options = tx.Race()
    sizes, gaps = (3, 5, 8, 15, 30, 60, 100), (0.0, 0.3, 1.0, 3.0, 10.0)
    combinations = [(m, gap) for m in sizes for gap in gaps]
    places = [i % len(combinations) for i in range(n_races)]
    found = np.array(
        [
            [*combinations[place], *simulate_race(i, *combinations[place], options)]
            for i, place in enumerate(places)
        ]
    )
    print(f"\nbounds: best {1 - options.confidence:.0%}, top {options.level:.0%}")
    print("| races | number | best lost | estimated | top lost | estimated | passes |")
    print("|---|--:|--:|--:|--:|--:|--:|")

    def line(name: str, own: np.ndarray) -> None:
        best, of_best, top, of_top, passes = own[:, 2:].mean(axis=0)
        print(
            f"| {name} | {len(own)} | {best:.2%} | {of_best:.2%} | {top:.2%} | {of_top:.2%} | "
            f"{passes:.3f} |"
        )

    line("all", found)
    for m in sizes:
        line(f"{m} models", found[found[:, 0] == m])
    for gap in gaps:
        line(f"gap {gap:g}", found[found[:, 1] == gap])


def main() -> None:
    """Parse the arguments, and run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", type=Path, default=[])
    parser.add_argument("--tasks", nargs="*", help="beginnings of names; default: all tasks")
    parser.add_argument("--metrics", default="logme")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--subsets", type=int, default=5, help="subsets of eight for each seed")
    parser.add_argument("--rows", nargs="*", type=int, default=[2000, 10_000])
    parser.add_argument("--simulated-seeds", type=int, default=2)
    parser.add_argument("--simulate", type=int, default=0, metavar="RACES")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", tx.TransferabilityWarning)
    if arguments.data:
        run_tasks(arguments)
    if arguments.simulate:
        run_simulations(arguments.simulate)


if __name__ == "__main__":
    main()
