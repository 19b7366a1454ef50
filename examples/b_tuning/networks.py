"""Small convolutional networks, their pre-training and their fine-tuning."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator

import torch
from glyphs import Glyphs
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

Penalty = Callable[[Tensor, Tensor, Tensor], Tensor]


class Network(nn.Module):
    """Network of three convolutions, pooled to `width` features, and a linear ``head``."""

    def __init__(self, n_classes: int, width: int = 64, wide: float = 1.0) -> None:
        super().__init__()
        sizes = [1, int(16 * wide), int(32 * wide), width]
        layers: list[nn.Module] = []
        for first, second in itertools.pairwise(sizes):
            stride = 2 if first == 1 else 1
            layers += [
                nn.Conv2d(first, second, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(second),
                nn.ReLU(),
                nn.MaxPool2d(2) if stride == 1 else nn.Identity(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, n_classes)

    def features(self, pictures: Tensor) -> Tensor:
        """Return features, (n, width)."""
        pooled: Tensor = self.body(pictures).mean(dim=(2, 3))
        return pooled

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits, (n, n_classes)."""
        logits: Tensor = self.head(self.features(pictures))
        return logits


def pretrain(
    task: str, width: int, wide: float, steps: int, seed: int, device: str = "cpu"
) -> Network:
    """Train a network from random weights on an alphabet; with 0 steps return it untrained."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    glyphs = Glyphs(task)
    network = Network(glyphs.n_classes, width, wide)
    network.to(device)
    if steps:
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, steps)
        for _ in range(steps):
            pictures, classes = glyphs.batch(64, generator)
            loss = cross_entropy(network(pictures.to(device)), classes.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    network.cpu()  # it is pickled for other processes
    return network


def fine_tune(
    network: Network,
    batches: Iterator[tuple[Tensor, Tensor]],
    n_classes: int,
    steps: int,
    seed: int,
    penalty: Penalty | None = None,
) -> Network:
    """Train a copy with a new head; add `penalty` of features, logits and images to the loss."""
    torch.manual_seed(seed)
    student = copy.deepcopy(network)
    device = student.head.weight.device
    student.head = nn.Linear(student.head.in_features, n_classes).to(device)
    groups = [
        {"params": student.body.parameters(), "lr": 0.01},
        {"params": student.head.parameters(), "lr": 0.1},
    ]
    optimiser = torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 2 * steps // 3, 0.1)
    student.train()
    for _ in range(steps):
        pictures, classes = next(batches)
        features = student.features(pictures)
        logits = student.head(features)
        loss = cross_entropy(logits, classes)
        if penalty is not None:
            loss = loss + penalty(features, logits, pictures)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    student.eval()
    return student


def distillation(teacher: Network, temperature: float = 2.0, weight: float = 0.25) -> Penalty:
    """Return the penalty of knowledge distillation (Hinton et al., 2015) from a fine-tuned network.

    With the default weight its gradients are as large as those of the labels.
    """

    def penalty(features: Tensor, logits: Tensor, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = softmax(teacher(pictures) / temperature, dim=1)
        ours = log_softmax(logits / temperature, dim=1)
        return weight * temperature**2 * kl_div(ours, wanted, reduction="batchmean")

    return penalty


def accuracy(network: Network, pictures: Tensor, classes: Tensor) -> float:
    """Return the share of images that are classified correctly."""
    with torch.no_grad():
        return float((network(pictures).argmax(dim=1) == classes).float().mean())
