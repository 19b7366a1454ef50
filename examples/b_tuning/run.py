"""Compare B-Tuning with K = 1, 2, 3 teachers, distillation and plain fine-tuning on Greek letters.

Small networks are pre-trained on other alphabets, on digits, on recognising rotations, or not at
all. LogME ranks them on a few labelled Greek letters. One of them, the student, is then fine-tuned
in five ways: plainly, by knowledge distillation from the best network (fine-tuned first), and by
B-Tuning with the K = 1, 2, 3 best as teachers. The test letters have fonts that no network saw.

    python examples/b_tuning/run.py             # full run, about 10 minutes on two cores
    python examples/b_tuning/run.py --quick     # smoke test, less than a minute
    python examples/b_tuning/run.py --write     # write table and plot to docs/
    python examples/b_tuning/run.py --device cuda --scale 4   # wider networks, longer training

It needs torch, matplotlib and pillow.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from glyphs import SEEN, UNSEEN, Glyphs
from networks import Network, Penalty, accuracy, distillation, fine_tune, pretrain
from torch import Tensor

import transferability as tx
from transferability.torch import BTuning

TASKS = ("latin", "small", "cyrillic", "digits", "turns", "none")
#: Number of features, and width factor of the convolutions, of the network of each task.
SHAPES = {
    "latin": (96, 1.5),
    "small": (64, 1.0),
    "cyrillic": (128, 1.5),
    "digits": (48, 1.0),
    "turns": (80, 1.0),
    "none": (64, 1.0),
}
TRADEOFF = 100.0
METHODS = ("plain", "distillation", "B-Tuning K=1", "B-Tuning K=2", "B-Tuning K=3")
DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- begin: written by examples/b_tuning/run.py -->", "<!-- end -->"


def zoos(pool: Executor, steps: int, scale: int, device: str) -> dict[str, dict[str, Network]]:
    """Pre-train one network per task, with one shape ("same") and with SHAPES ("mixed")."""
    same = dict.fromkeys(TASKS, (64, 1.0))
    jobs = {
        kind: {
            task: pool.submit(
                pretrain,
                "latin" if task == "none" else task,
                scale * shapes[task][0],
                scale * shapes[task][1],
                0 if task == "none" else scale * steps,
                seed,
                device,
            )
            for seed, task in enumerate(TASKS)
        }
        for kind, shapes in (("same", same), ("mixed", SHAPES))
    }
    report([job for of in jobs.values() for job in of.values()], "networks")
    return {kind: {task: job.result() for task, job in of.items()} for kind, of in jobs.items()}


def report(jobs: Collection[Future[Any]], what: str) -> None:
    """Wait for the jobs, and say on standard error how many are done, after each."""
    start = time.perf_counter()
    for n_done, _ in enumerate(as_completed(jobs), start=1):
        spent = time.perf_counter() - start
        print(f"{n_done} of {len(jobs)} {what} after {spent:.0f} s", file=sys.stderr, flush=True)


class Target:
    """Greek letters: `shots` labelled images per class, randomly shifted in every batch."""

    def __init__(self, shots: int, seed: int, device: str = "cpu") -> None:
        self.device = device
        self.generator = torch.Generator().manual_seed(1000 + seed)
        glyphs = Glyphs("greek", SEEN)
        self.n_classes = glyphs.n_classes
        self.classes = torch.arange(self.n_classes).repeat_interleave(shots)
        faces = torch.randint(len(SEEN), (len(self.classes),), generator=self.generator)
        self.pictures = glyphs.draw(self.classes, faces, self.generator)

    def batches(self, size: int = 48) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over batches drawn with replacement, each shifted by up to two pixels."""
        while True:
            rows = torch.randint(len(self.classes), (size,), generator=self.generator)
            dx, dy = torch.randint(-2, 3, (2,), generator=self.generator).tolist()
            moved = torch.roll(self.pictures[rows], (dx, dy), dims=(2, 3))
            yield moved.to(self.device), self.classes[rows].to(self.device)


def rank(networks: dict[str, Network], target: Target) -> tx.Ranking:
    """Rank the networks by LogME on the labelled images."""
    with torch.no_grad():
        pictures = target.pictures.to(target.device)
        features = {name: network.features(pictures).cpu() for name, network in networks.items()}
    return tx.rank(features, target.classes, keep_coef=True)


def b_tuning(ranking: tx.Ranking, networks: dict[str, Network], student: str, k: int) -> Penalty:
    """Return the regulariser with the k best networks, frozen, as teachers."""
    teachers = ranking.teachers(k=k)
    models = {name: networks[name].features for name in teachers.names}
    regulariser = BTuning(teachers, student, models, tradeoff=TRADEOFF)
    regulariser.to(next(networks[student].parameters()).device)
    return lambda features, logits, pictures: regulariser.penalty(features, pictures)


def accuracies(
    networks: dict[str, Network],
    student: str | None,
    shots: int,
    steps: int,
    seed: int,
    device: str,
) -> dict[str, float]:
    """Return the test accuracy of every method with one draw of the labelled images.

    The student is the given network; None takes the best one.
    """
    networks = {name: network.to(device) for name, network in networks.items()}
    ranking = rank(networks, Target(shots, seed, device))
    best = ranking.best.name
    own = student or best
    pictures, classes = Glyphs("greek", UNSEEN).batch(2000, torch.Generator().manual_seed(7))
    test = pictures.to(device), classes.to(device)
    found = {}
    for method in METHODS:
        target = Target(shots, seed, device)  # the same rows and batches for every method
        penalty: Penalty | None = None
        if method == "distillation":
            batches = Target(shots, seed, device).batches()
            teacher = fine_tune(networks[best], batches, target.n_classes, steps, seed)
            penalty = distillation(teacher)
        elif method != "plain":
            penalty = b_tuning(ranking, networks, own, int(method[-1]))
        tuned = fine_tune(networks[own], target.batches(), target.n_classes, steps, seed, penalty)
        found[method] = accuracy(tuned, *test)
    return found


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Format accuracies and gains over plain fine-tuning, with standard errors, as Markdown."""
    lines = ["| setting | method | accuracy | gain over plain |", "|---|---|--:|--:|"]
    for setting, found in results.items():
        plain = np.array(found["plain"])
        for method, values in found.items():
            gains = np.array(values) - plain
            errors = [np.std(x, ddof=1) / math.sqrt(len(x)) for x in (values, gains)]
            gain = "" if method == "plain" else f"{gains.mean():+.4f} ± {errors[1]:.4f}"
            lines.append(
                f"| {setting} | {method} | {np.mean(values):.4f} ± {errors[0]:.4f} | {gain} |"
            )
    return "\n".join(lines)


def plot(results: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Plot the gains over plain fine-tuning with standard errors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for i, method in enumerate(METHODS[1:]):
        gains = [np.array(found[method]) - np.array(found["plain"]) for found in results.values()]
        errors = [np.std(g, ddof=1) / math.sqrt(len(g)) for g in gains]
        places = np.arange(len(results)) + 0.16 * (i - 1.5)
        axes.errorbar(
            places,
            [100 * g.mean() for g in gains],
            [100 * e for e in errors],
            fmt="o",
            capsize=3,
            label=method,
        )
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(results)), [setting.replace(", ", "\n") for setting in results])
    axes.set_ylabel("gain over plain fine-tuning\n(points of accuracy)")
    axes.legend(frameon=False, ncols=2, fontsize=9)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Pre-train, rank and fine-tune the networks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train briefly, with two seeds")
    parser.add_argument("--plot", type=Path, help="file for the plot")
    parser.add_argument(
        "--workers", type=int, default=2, help="number of processes, of one thread each"
    )
    parser.add_argument("--write", action="store_true", help="write table and plot to docs/")
    parser.add_argument("--device", default="cpu", help="device of the networks, for example cuda")
    parser.add_argument(
        "--scale", type=int, default=1, help="factor of widths and pre-training steps"
    )
    options = parser.parse_args()
    device = options.device
    pre, steps, seeds, shots = (15, 6, 2, (5,)) if options.quick else (800, 200, 5, (3, 10, 40))
    start = time.perf_counter()
    jobs: dict[str, list[Future[dict[str, float]]]] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, spawn, torch.set_num_threads, (1,)) as pool:
        networks = zoos(pool, pre, options.scale, device)
        print(rank(networks["mixed"], Target(shots[-1], 0)), flush=True)
        for count in shots:
            for kind, student in (("same", None), ("mixed", "digits")):
                of_seed = [
                    pool.submit(accuracies, networks[kind], student, count, steps, seed, device)
                    for seed in range(seeds)
                ]
                jobs[f"{kind}, {count} a class"] = of_seed
        report([job for of_seed in jobs.values() for job in of_seed], "draws of five methods")
        results: dict[str, dict[str, list[float]]] = {}
        for setting, of_seed in jobs.items():
            found = [job.result() for job in of_seed]
            results[setting] = {method: [one[method] for one in found] for method in METHODS}
    print()
    print(table(results))
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    if options.plot:
        plot(results, options.plot)
    if options.write:
        plot(results, DOCS / "b_tuning.png")
        page = (DOCS / "b_tuning.md").read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        shown = f"{table(results)}\n\n![Gains over plain fine-tuning](b_tuning.png)"
        written = f"{before}{BEGIN}\n\n{shown}\n\n{END}{rest.split(END)[1]}"
        (DOCS / "b_tuning.md").write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
