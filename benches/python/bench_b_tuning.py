"""Time of B-Tuning with cached teachers, against plain fine-tuning.

    .venv-torch/bin/python benches/python/bench_b_tuning.py [--steps 20] [--repeats 7] [--json]

A step is SGD on a batch of 48. Three teachers are cached, once as features and once as their mixed
predictive. The students are the small network of examples/b_tuning, where any overhead is
relatively large, and a ResNet-18 with random weights. Results are checked before timing. See
benches/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import transferability as tx
from transferability.torch import BTuning

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "b_tuning"))

from networks import Network

BATCH, CLASSES, ROWS = 48, 24, 480
WIDTHS = {"first": 768, "second": 384, "third": 2048}
#: Wall time of a step with the regulariser over that of a plain one, at most.
BAR = 1.10


def resnet() -> nn.Module:
    import torchvision

    network = torchvision.models.resnet18(weights=None)
    network.fc = nn.Identity()
    return network


#: By name: what gives the features, its pictures' shape and its number of features.
STUDENTS: dict[str, tuple[Callable[[], Any], tuple[int, ...], int]] = {
    "small, 24 px": (lambda: Network(CLASSES), (1, 24, 24), 64),
    "ResNet-18, 64 px": (resnet, (3, 64, 64), 512),
}


class Student:
    """Network with its head, its optimiser and a training step."""

    def __init__(self, make: Callable[[], Any], width: int) -> None:
        torch.manual_seed(0)
        self.network = make()
        self.features = getattr(self.network, "features", self.network)
        self.head = nn.Linear(width, CLASSES)
        parameters = [*self.network.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, nesterov=True)

    def step(
        self, pictures: Tensor, labels: Tensor, penalty: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        features = self.features(pictures)
        loss = nn.functional.cross_entropy(self.head(features), labels)
        if penalty is not None:
            loss = loss + penalty(features)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def teachers(width: int) -> tuple[Any, dict[str, Any]]:
    """Rank the teachers and the student on features that predict the labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    signal = np.eye(CLASSES)[labels]
    features = {
        name: signal @ rng.normal(size=(CLASSES, d)) + noise * rng.normal(size=(ROWS, d))
        for noise, (name, d) in enumerate(WIDTHS.items(), start=1)
    }
    student = signal @ rng.normal(size=(CLASSES, width)) + 9 * rng.normal(size=(ROWS, width))
    ranking = tx.rank({**features, "student": student}, labels, keep_coef=True)
    chosen = ranking.teachers(k=3)
    assert "student" not in chosen.names, chosen
    return chosen, features


def check(ensemble: Any, features: dict[str, Any], width: int) -> None:
    """Check the regulariser, from features and from the predictive, against NumPy."""
    student = np.random.default_rng(1).normal(size=(ROWS, width))
    mixed = sum(
        weight * (features[name] @ ensemble.heads[name].coef.T + ensemble.heads[name].offset)
        for name, weight in zip(ensemble.names, ensemble.weights, strict=True)
    )
    head = ensemble.heads["student"]
    expected = np.mean((student @ head.coef.T + head.offset - mixed) ** 2)
    regulariser = BTuning(ensemble, "student", dtype=torch.float64)
    found = [
        regulariser(torch.tensor(student), features=features),
        regulariser(torch.tensor(student), predictive=ensemble.predictive(features)),
    ]
    for value in found:
        assert abs(value.item() - expected) < 1e-12 * expected, (value.item(), expected)


def measure(name: str, steps: int, repeats: int) -> dict[str, Any]:
    make, shape, width = STUDENTS[name]
    ensemble, features = teachers(width)
    check(ensemble, features, width)
    regulariser = BTuning(ensemble, "student")
    cached = {key: torch.tensor(rows, dtype=torch.float32) for key, rows in features.items()}
    predictive = regulariser.predictive(features=cached)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(ROWS, *shape, generator=generator)
    labels = torch.arange(ROWS) % CLASSES
    students = {way: Student(make, width) for way in ("plain", "features", "predictive")}

    def penalty(way: str, rows: Tensor) -> Callable[[Tensor], Tensor] | None:
        if way == "plain":
            return None
        if way == "features":
            given = {key: value[rows] for key, value in cached.items()}
            return lambda ours: regulariser.penalty(ours, features=given)
        return lambda ours: regulariser.penalty(ours, predictive=predictive[rows])

    ratios: dict[str, list[float]] = {"features": [], "predictive": []}
    seconds: dict[str, list[float]] = {way: [] for way in students}
    for repeat in range(repeats + 1):  # the first is a warm-up
        spent = dict.fromkeys(students, 0.0)
        for i in range(steps):
            rows = torch.randint(ROWS, (BATCH,), generator=generator)
            order = list(students)[i % 3 :] + list(students)[: i % 3]  # each is first equally often
            for way in order:
                start = time.perf_counter()
                students[way].step(pictures[rows], labels[rows], penalty(way, rows))
                spent[way] += time.perf_counter() - start
        for way, total in spent.items():
            if repeat:
                seconds[way].append(total / steps)
                if way != "plain":
                    ratios[way].append(total / spent["plain"])
    return {
        "student": name,
        "plain_ms": 1e3 * median(seconds["plain"]),
        "features_ratio": median(ratios["features"]),
        "predictive_ratio": median(ratios["predictive"]),
        "bar": BAR,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="steps per repeat")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [measure(name, options.steps, options.repeats) for name in STUDENTS]
    for row in rows:
        if options.json:
            print(json.dumps(row))
        else:
            print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else v for k, v in row.items()))
    worst = max(max(row["features_ratio"], row["predictive_ratio"]) for row in rows)
    sys.exit(f"above the bar of {BAR}: {worst:.3f}" if worst > BAR else 0)


if __name__ == "__main__":
    main()
