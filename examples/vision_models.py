"""Rank image models of different quality, and compare with their accuracy after fine-tuning.

The models have architectures of torchvision. They are pre-trained here on rendered letters and
digits, for different numbers of steps, or with shuffled labels. The target task is scikit-learn's
handwritten digits. The true accuracy of a model is that on held-out digits, after fine-tuning all
weights on ten examples per class.

Needs ``pip install 'transferability[hub]' scikit-learn scipy``.
"""

from __future__ import annotations

import copy
import string
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import weightedtau
from sklearn.datasets import load_digits
from torch import nn

import transferability as tx

#: Architecture, number of pre-training steps, and whether the labels are the true ones.
MODELS = {
    "resnet18, random": ("resnet18", 0, True),
    "resnet18, 25 steps": ("resnet18", 25, True),
    "resnet18, 120 steps": ("resnet18", 120, True),
    "shufflenet, random": ("shufflenet_v2_x0_5", 0, True),
    "shufflenet, shuffled labels": ("shufflenet_v2_x0_5", 250, False),
    "shufflenet, 60 steps": ("shufflenet_v2_x0_5", 60, True),
    "shufflenet, 250 steps": ("shufflenet_v2_x0_5", 250, True),
}
GLYPHS = string.digits + string.ascii_letters
SHOTS, TUNING_STEPS = 10, 30
Batch = tuple[torch.Tensor, torch.Tensor]


def glyphs() -> Batch:
    """Draw every glyph 40 times, rotated and shifted a little, at the resolution of the digits."""
    rng, font = np.random.default_rng(0), ImageFont.load_default(size=26)
    images, labels = [], []
    for label, glyph in enumerate(GLYPHS):
        for _ in range(40):
            image = Image.new("L", (32, 32))
            place = tuple(16 + rng.uniform(-3, 3, 2))
            ImageDraw.Draw(image).text(place, glyph, fill=255, font=font, anchor="mm")
            image = image.rotate(rng.uniform(-15, 15), resample=Image.Resampling.BILINEAR)
            images.append(np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=np.float32))
            labels.append(label)
    return enlarge(np.stack(images) / 255), torch.as_tensor(labels)


def digits() -> Batch:
    """Return the handwritten digits."""
    images, labels = load_digits(return_X_y=True)
    return enlarge(images.reshape(-1, 8, 8) / 16), torch.as_tensor(labels)


def enlarge(images: Any) -> torch.Tensor:
    """Enlarge (n, 8, 8) images with values in [0, 1] to the models' input, (n, 3, 32, 32)."""
    x = torch.as_tensor(images, dtype=torch.float32)[:, None] * 2 - 1
    return nn.functional.interpolate(x, size=32, mode="bilinear").expand(-1, 3, -1, -1)


def train(module: nn.Module, data: Batch, steps: int, rate: float, seed: int) -> None:
    """Train all weights with Adam on batches of 50."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    module.train()
    for _ in range(steps):
        rows = torch.randperm(len(data[0]), generator=generator)[:50]
        loss = nn.functional.cross_entropy(module(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()


def pretrain(architecture: str, steps: int, true_labels: bool, source: Batch) -> nn.Module:
    """Return a model trained on the glyphs, with shuffled labels unless `true_labels`."""
    torch.manual_seed(0)
    module: nn.Module = torchvision.models.get_model(architecture, num_classes=len(GLYPHS))
    labels = source[1] if true_labels else source[1][torch.randperm(len(source[1]))]
    train(module, (source[0], labels), steps, 1e-3, seed=0)
    return module.eval()


def tuned_accuracy(module: nn.Module, data: Batch, test: Batch) -> float:
    """Fine-tune a copy on a few digits of each class; return its accuracy on the test digits."""
    rng = np.random.default_rng(0)
    rows = [rng.choice(np.flatnonzero(data[1] == k), SHOTS, False) for k in range(10)]
    chosen = torch.as_tensor(np.concatenate(rows))
    student = copy.deepcopy(module)
    name, head = [p for p in student.named_modules() if isinstance(p[1], nn.Linear)][-1]
    parent, _, field = name.rpartition(".")
    torch.manual_seed(0)
    setattr(student.get_submodule(parent), field, nn.Linear(head.in_features, 10))
    train(student, (data[0][chosen], data[1][chosen]), TUNING_STEPS, 3e-4, seed=0)
    with torch.no_grad():
        return float((student(test[0]).argmax(dim=1) == test[1]).float().mean())


def main() -> None:
    """Pre-train, rank and fine-tune the models, and compare scores with accuracies."""
    source, (images, labels) = glyphs(), digits()
    data, test = (images[:700], labels[:700]), (images[700:], labels[700:])
    modules: dict[str, Any] = {name: pretrain(*how, source=source) for name, how in MODELS.items()}
    ranking = tx.rank_models(
        modules, (list(data[0].numpy()), data[1].numpy()), isolate=False, cache=False
    )
    print(ranking)

    accuracy = {name: tuned_accuracy(module, data, test) for name, module in modules.items()}
    print("\nmodel                         LogME  accuracy after fine-tuning")
    for row in ranking:
        print(f"{row.name:28} {row.logme:7.3f}  {accuracy[row.name]:.3f}")
    scores, truth = [row.logme for row in ranking], [accuracy[row.name] for row in ranking]
    print(
        f"\nWeighted Kendall tau of LogME with the truth: "
        f"{weightedtau(scores, truth).statistic:.3f}. First by LogME: {ranking.best.name}; truly "
        f"best: {max(accuracy, key=accuracy.__getitem__)}."
    )


if __name__ == "__main__":
    main()
