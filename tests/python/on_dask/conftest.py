"""A cluster for each file of tests, closed after it, and three models in eight shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dask_cluster import Cluster
from dask_data import METRICS, MODELS, N_FEATURES, N_SHARDS, ROWS, bits_of
from numpy.typing import NDArray

import transferability as tx

# Or --doctest-modules imports it as "conftest", as which python/conftest.py is known already.
collect_ignore = ["conftest.py"]


@pytest.fixture(scope="session")
def labels() -> NDArray[np.int64]:
    rng = np.random.default_rng(1)
    return np.sort(rng.integers(0, 4, N_SHARDS * ROWS))  # sorted: no shard has every class


@pytest.fixture(scope="session")
def arrays(labels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(4, N_FEATURES))
    noise = {name: scale for name, scale in zip(MODELS, (0.5, 1.0, 4.0), strict=True)}
    return {
        name: centres[labels] + scale * rng.normal(size=(len(labels), N_FEATURES)) + 1e6
        for name, scale in noise.items()
    }


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    arrays: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for name, array in arrays.items():
        (folder / name).mkdir()
        for i, shard in enumerate(np.split(array, N_SHARDS)):
            np.save(folder / name / f"x_{i}.npy", shard)
    for i, part in enumerate(np.array_split(labels, 5)):
        np.save(folder / f"y_{i}.npy", part)
    np.save(folder / "labels.npy", labels)
    return folder


@pytest.fixture(scope="session")
def models(folder: Path) -> dict[str, list[Path]]:
    return {name: [folder / name / f"x_{i}.npy" for i in range(N_SHARDS)] for name in MODELS}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def bits(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> list[tuple[str, ...]]:
    """Scores from the undisturbed cluster, as text that shows every bit."""
    return bits_of(tx.dask.rank(cluster.client, models, labels, METRICS, progress=False))
