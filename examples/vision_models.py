"""Rank image models of truly different quality, and compare with what fine-tuning makes of them.

The models: architectures of torchvision, pre-trained here on half of scikit-learn's digits (5 to 9)
for no time, a short time or longer, or on the same digits with their labels shuffled. The target
task: the other half (0 to 4). What a model is really worth is the accuracy on held-out digits after
fine-tuning all its weights on eight examples a class.

Needs ``pip install 'transferability[hub]' scikit-learn scipy``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torchvision
from scipy.stats import weightedtau
from sklearn.datasets import load_digits
from torch import nn

import transferability as tx

#: Architecture, epochs of pre-training, and whether its labels mean anything.
MODELS = {
    "resnet18, random": ("resnet18", 0, True),
    "resnet18, shuffled labels": ("resnet18", 4, False),
    "resnet18, 1 epoch": ("resnet18", 1, True),
    "resnet18, 6 epochs": ("resnet18", 6, True),
    "shufflenet, random": ("shufflenet_v2_x0_5", 0, True),
    "shufflenet, 12 epochs": ("shufflenet_v2_x0_5", 12, True),
    "squeezenet, random": ("squeezenet1_1", 0, True),
    "squeezenet, 12 epochs": ("squeezenet1_1", 12, True),
}
N_CLASSES, SHOTS, TUNING_STEPS = 5, 8, 30
Batch = tuple[torch.Tensor, torch.Tensor]


def digits() -> tuple[Batch, Batch]:
    """Give the digits 5 to 9 and 0 to 4, 32 by 32 pixels, labels from 0."""
    images, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 8 - 1
    x = nn.functional.interpolate(x, size=32, mode="bilinear").expand(-1, 3, -1, -1)
    y = torch.as_tensor(labels)
    return (x[y >= 5], y[y >= 5] - 5), (x[y < 5], y[y < 5])


def train(module: nn.Module, data: Batch, steps: int, rate: float, seed: int) -> None:
    """Fit all weights by Adam on batches of 40."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    module.train()
    for _ in range(steps):
        rows = torch.randperm(len(data[0]), generator=generator)[:40]
        loss = nn.functional.cross_entropy(module(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()


def pretrained(architecture: str, epochs: int, meant: bool, source: Batch) -> nn.Module:
    """Make a model and train it on the source task."""
    torch.manual_seed(0)
    module: nn.Module = torchvision.models.get_model(architecture, num_classes=N_CLASSES)
    labels = source[1] if meant else source[1][torch.randperm(len(source[1]))]
    train(module, (source[0], labels), epochs * len(labels) // 40, 1e-3, seed=0)
    return module.eval()


def tuned_accuracy(module: nn.Module, data: Batch, test: Batch) -> float:
    """Fine-tune copies on two small samples, and give the mean accuracy on the test digits."""
    found = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rows = [rng.choice(np.flatnonzero(data[1] == k), SHOTS, False) for k in range(N_CLASSES)]
        chosen = torch.as_tensor(np.concatenate(rows))
        student = copy.deepcopy(module)
        for name, part in student.named_modules():  # a new classifier
            if name in ("fc", "classifier.1"):
                part.reset_parameters()
        train(student, (data[0][chosen], data[1][chosen]), TUNING_STEPS, 5e-4, seed)
        with torch.no_grad():
            found.append(float((student(test[0]).argmax(dim=1) == test[1]).float().mean()))
    return float(np.mean(found))


def main() -> None:
    """Pre-train, rank, fine-tune, compare."""
    source, target = digits()
    data: Batch = (target[0][:500], target[1][:500])
    test: Batch = (target[0][500:], target[1][500:])
    modules: dict[str, Any] = {
        name: pretrained(*how, source=source) for name, how in MODELS.items()
    }
    ranking = tx.rank_models(
        modules, (list(data[0].numpy()), data[1].numpy()), isolate=False, cache=False
    )
    print(ranking)

    accuracy = {name: tuned_accuracy(module, data, test) for name, module in modules.items()}
    print("\nmodel                       LogME  accuracy after fine-tuning")
    for row in ranking:
        print(f"{row.name:26} {row.logme:7.3f}  {accuracy[row.name]:.3f}")
    scores, truth = [row.logme for row in ranking], [accuracy[row.name] for row in ranking]
    print(
        f"\nWeighted Kendall tau of LogME with the truth: "
        f"{weightedtau(scores, truth).statistic:.3f}. First by LogME: {ranking.best.name}; truly "
        f"best: {max(accuracy, key=accuracy.__getitem__)}."
    )


if __name__ == "__main__":
    main()
