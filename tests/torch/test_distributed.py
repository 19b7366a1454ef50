"""Two processes over gloo: torchmetrics' own synchronisation, and the recipe of the docs."""

from __future__ import annotations

import pickle
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import transferability as tx
from transferability.errors import DataError
from transferability.torch import TransferabilityMetric

DOCS = Path(__file__).parents[2] / "docs" / "distributed.md"
D, C = 6, 3
ROWS = (130, 71)  # of the two processes: uneven


def data(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rank)
    features = torch.randn(ROWS[rank], D, generator=generator, dtype=torch.float64) + 50
    noise = torch.randn(ROWS[rank], C, generator=generator)
    return features, (features[:, :C] + noise).argmax(dim=1)


def whole() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    parts = [data(rank) for rank in range(2)]
    x, y = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return x.numpy(), y.numpy()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Give what the jobs below return in each of two spawned processes."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_process, args=(port, str(folder)), nprocs=2, join=True)
    return [pickle.loads((folder / f"{rank}.pkl").read_bytes()) for rank in range(2)]


def _process(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    where = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    try:
        jobs = (with_metric, with_model, with_recipe)
        results = {job.__name__: job(rank) for job in jobs}
        Path(folder, f"{rank}.pkl").write_bytes(pickle.dumps(results))
    finally:
        dist.destroy_process_group()


def with_metric(rank: int) -> dict[str, Any]:
    x, y = data(rank)
    shift = TransferabilityMetric.shift_from(x)
    dist.broadcast(shift, src=0)
    metric = TransferabilityMetric(D, C, metrics=["logme", "h_score"], shift=shift)
    for a, b in zip(x.split(40), y.split(40), strict=True):
        metric.update(a, b)
        torch.nn.ModuleList([metric]).to(torch.bfloat16)  # which leaves the states as they are
    found = {name: float(value) for name, value in metric.compute().items()}
    alone = metric.stats.n_samples
    with metric.sync_context():
        found["together"] = metric.stats.n_samples
    own = TransferabilityMetric(D, C, shift=TransferabilityMetric.shift_from(x))
    own.update(x, y)
    try:
        own.compute()
    except DataError as error:
        found["refused"] = str(error)
    return {**found, "alone": alone}


def test_metric_under_two_processes(found: list[dict[str, Any]]) -> None:
    found = [results["with_metric"] for results in found]
    x, y = whole()
    for rank in range(2):
        for name in ("logme", "h_score"):
            expected = tx.score(x, y, name)
            assert abs(found[rank][name] - expected) <= 1e-10 * max(1, abs(expected))
            assert found[rank][name] == found[0][name]
        assert found[rank]["alone"] == ROWS[rank], "synchronising leaves each its own rows"
        assert found[rank]["together"] == sum(ROWS)
        assert "shift differs" in found[rank]["refused"]


def with_model(rank: int) -> float:
    """Train a data-parallel model a little, with the metric on its features."""
    x, y = data(rank)
    torch.manual_seed(0)
    trunk = torch.nn.Linear(D, 5).double()
    head = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(5, C).double())
    metric = TransferabilityMetric(5, C)
    for a, b in zip(x[:60].split(20), y[:60].split(20), strict=True):
        features = trunk(a)
        torch.nn.functional.cross_entropy(head(features), b).backward()
        metric.update(features, b)
    assert not metric.sum.requires_grad
    return float(metric.compute())


def test_metric_beside_a_data_parallel_model(found: list[dict[str, Any]]) -> None:
    values = [results["with_model"] for results in found]
    torch.manual_seed(0)
    trunk = torch.nn.Linear(D, 5).double()
    x, y = (torch.cat([data(rank)[i][:60] for rank in range(2)]) for i in range(2))
    expected = tx.logme(trunk(x), y)
    assert values[0] == values[1]
    assert abs(values[0] - expected) <= 1e-9 * max(1, abs(expected))


def recipe() -> dict[str, Any]:
    """Run the code of the docs, as a reader would copy it."""
    text = DOCS.read_text(encoding="utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "all_reduce" in b]
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), names)
    return names


def with_recipe(rank: int) -> float:
    x, y = data(rank)
    batches = list(zip(x.split(40), y.split(40), strict=True))
    return float(recipe()["all_reduced"](batches, C).score("logme"))


def test_the_recipe_of_the_docs(found: list[dict[str, Any]]) -> None:
    values = [results["with_recipe"] for results in found]
    expected = tx.logme(*whole())
    assert values[0] == values[1]
    assert abs(values[0] - expected) <= 1e-10 * max(1, abs(expected))
