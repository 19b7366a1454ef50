"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import COLUMNS, ROWS
from hypothesis import settings
from numpy.typing import NDArray

from transferability._metric import registry

# Or --doctest-modules imports it as "conftest", as which python/conftest.py is known already.
collect_ignore = ["conftest.py"]


# The same examples in every run, so that a change alone decides whether it passes; to look for new
# ones: HYPOTHESIS_PROFILE=default.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the metrics that a test registers."""
    registry.metric_specs()
    monkeypatch.setattr(registry, "_specs", dict(registry._specs))


@pytest.fixture(scope="session")
def features() -> NDArray[np.float64]:
    """Features of which the first three columns carry the labels."""
    return np.random.default_rng(7).normal(size=(90, 6))


@pytest.fixture(scope="session")
def labels(features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Three classes with gaps, one of them negative."""
    return np.array([-3, 4, 70])[features[:, :3].argmax(axis=1)]


@pytest.fixture
def feature_folder(
    tmp_path: Path, features: NDArray[np.float64], labels: NDArray[np.int64]
) -> Path:
    """A folder as users have it: models, labels and things that are no models."""
    folder = tmp_path / "feats"
    folder.mkdir()
    np.save(folder / "good.npy", features)
    np.save(folder / "poor.npy", features[::-1].astype(np.float32))
    np.save(folder / "labels.npy", labels)
    np.save(folder / "ids.npy", np.arange(90))
    np.savez(
        tmp_path / "all.npz",
        good=features,
        poor=features[::-1],
        labels=labels,
        images_u8=np.zeros((90, 4), np.uint8),
        cube=np.zeros((90, 2, 2)),
    )
    return folder


@pytest.fixture(scope="session")
def x() -> Any:
    """What is written to files in many formats."""
    return np.random.default_rng(3).normal(size=(ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture(scope="session")
def y(x: Any) -> Any:
    """Its labels."""
    return (x[:, 0] + x[:, 1] > 0).astype(np.int64)
