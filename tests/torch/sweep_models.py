"""Models that do what models do wrong, as entry points ``sweep_models:name``.

Every forward pass of :class:`Counted` writes a line to the file that COUNT_FILE names.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
from torch import Tensor, nn


def count(model: nn.Module, rows: int) -> None:
    if path := os.environ.get("COUNT_FILE"):
        with open(path, "a") as file:
            file.write(f"{type(model).__name__} {getattr(model, 'tag', '')} {rows}\n")


class Counted(nn.Module):
    """Two blocks and a head of three classes."""

    def __init__(self, tag: str = "", width: int = 8, seed: int = 0) -> None:
        super().__init__()
        self.tag = tag
        generator = torch.Generator().manual_seed(seed)
        self.stem = nn.Linear(12, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(width, width)) for _ in range(2))
        self.head = nn.Linear(width, 3)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        count(self, len(x))
        self.before(x)
        x = self.stem(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.after(self.head(x))

    def before(self, x: Tensor) -> None:
        """Go wrong here, or not."""

    def after(self, x: Tensor) -> Tensor:
        return x


class Raises(Counted):
    def before(self, x: Tensor) -> None:
        raise ValueError("this model is broken\nin two lines")


class Killed(Counted):
    def before(self, x: Tensor) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Counted):
    def before(self, x: Tensor) -> None:
        print("the last words", flush=True)
        os._exit(7)


class Crashes(Counted):
    def before(self, x: Tensor) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hungry(Counted):
    """Has memory for four rows, as torch says it on the CPU."""

    def before(self, x: Tensor) -> None:
        if len(x) > 4:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")


class Starving(Counted):
    def before(self, x: Tensor) -> None:
        raise MemoryError("for one row even")


class Slow(Counted):
    def before(self, x: Tensor) -> None:
        time.sleep(0.2)


class NanBlock(Counted):
    def before(self, x: Tensor) -> None:
        with torch.no_grad():
            self.blocks[1][0].weight.fill_(float("nan"))


class Dead(Counted):
    def __init__(self, tag: str = "", width: int = 8, seed: int = 0) -> None:
        super().__init__(tag, width, seed)
        with torch.no_grad():
            self.blocks[1][0].weight.zero_()


def good(**options: Any) -> nn.Module:
    return Counted(**_read(options))


def raises() -> nn.Module:
    return Raises()


def killed() -> nn.Module:
    return Killed()


def exits() -> nn.Module:
    return Exits()


def crashes() -> nn.Module:
    return Crashes()


def hungry() -> nn.Module:
    return Hungry()


def starving() -> nn.Module:
    return Starving()


def slow(**options: Any) -> nn.Module:
    return Slow(**_read(options))


def nan() -> nn.Module:
    return NanBlock()


def dead() -> nn.Module:
    return Dead()


def broken() -> nn.Module:
    raise OSError("the weights are not there")


def parent() -> nn.Module:
    """Say which process this one comes from, and how many threads there are."""
    n_threads = len(os.listdir("/proc/self/task"))
    raise OSError(f"{os.getppid()} has forked me, {n_threads} threads")


def plain() -> Any:
    """Not a torch module: a function from items to features."""
    return lambda items: torch.stack([torch.as_tensor(item) for item in items]).numpy()[:, :5]


def _read(options: dict[str, str]) -> dict[str, Any]:
    return {key: value if key == "tag" else int(value) for key, value in options.items()}
