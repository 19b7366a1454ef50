"""What the tests of all metrics share: quiet calls, errors, and the laws of every metric."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import TransferabilityWarning
from transferability._metric.registry import spec_of
from transferability._metric.spec import MetricSpec

#: Columns of the features of metrics that need more than 6.
WIDTHS = {"alpha_req": 40}
TOLERANCE = 1e-9  # relative to max(1, |value|): what the package promises


def quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function with the package's own warnings ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferabilityWarning)
        return function(*arguments, **options)


def error(actual: float, expected: float) -> float:
    """Return the error relative to max(1, |expected|)."""
    if actual == expected:  # infinities too
        return 0.0
    return abs(actual - expected) / max(1.0, abs(expected))


def close(actual: float, expected: float, tolerance: float = TOLERANCE) -> bool:
    """Compare to a tolerance relative to max(1, |expected|)."""
    return error(actual, expected) <= tolerance


@dataclass(frozen=True)
class MetricTester:
    """One metric under test, with the laws that every metric keeps."""

    metric: str

    @property
    def spec(self) -> MetricSpec:
        return spec_of(self.metric)

    def inputs(self, task: str, seed: int = 0) -> dict[str, Any]:
        """Make 60 rows of everything that a call can bring; features are exact in float16."""
        rng = np.random.default_rng(seed)
        labels: Any = np.arange(60) % 3
        width = WIDTHS.get(self.metric, 6)
        features = rng.normal(size=(60, width)) + np.eye(3, width)[labels]
        features = features.astype(np.float16).astype(np.float64)
        probs = rng.dirichlet(np.ones(5), size=60)
        if task == "regression":
            labels = features[:, :2] + rng.normal(size=(60, 2))
        if task == "multilabel":
            labels = np.stack([labels == 0, features[:, 0] > 0], axis=1).astype(int)
        return {
            "features": features,
            "labels": None if task == "unlabelled" else labels,
            "source_probs": probs,
            "source_labels": probs.argmax(axis=1),
            "label_embeddings": rng.normal(size=(60, 4, 3)),
        }

    def score(self, given: dict[str, Any], task: str, **options: Any) -> tx.Score:
        """Score inputs as :meth:`inputs` makes them."""
        asked = "auto" if task == "unlabelled" else task
        found = quietly(tx.score, metrics=self.metric, task=asked, **given, **options)
        assert isinstance(found, tx.Score)
        return found

    def numbers(self, given: dict[str, Any], task: str, **options: Any) -> tuple[float, ...]:
        """Return the value, or the parts of a metric that has no value by itself."""
        found = self.score(given, task, **options)
        parts = [v for v in found.details.values() if isinstance(v, float)]
        return (float(found),) if not np.isnan(found) else tuple(parts)

    def check_rows_in_any_order(self, task: str) -> None:
        given = self.inputs(task)
        order = np.random.default_rng(2).permutation(60)
        moved = {k: None if array is None else array[order] for k, array in given.items()}
        # Sums in another order; a fixed point or a search may stop a step apart.
        expected = pytest.approx(self.numbers(given, task), rel=1e-7, abs=1e-9)
        assert self.numbers(moved, task) == expected

    def check_layouts_and_dtypes(self, task: str) -> None:
        """The memory layout and the float type of equal numbers change nothing."""
        given = self.inputs(task)
        features = given["features"]
        padded = np.full((120, 2 * features.shape[1] + 1), np.nan)
        padded[::2, 1::2] = features
        frozen = features.copy()
        frozen.setflags(write=False)
        before = self.numbers(given, task)
        for name, other in {
            "Fortran order": np.asfortranarray(features),
            "strides": padded[::2, 1::2],
            "reversed": features[::-1].copy()[::-1],
            "read-only": frozen,
            "float32": features.astype(np.float32),
            "float16": features.astype(np.float16),
        }.items():
            found = self.numbers(given | {"features": other}, task)
            assert found == pytest.approx(before, rel=1e-12, abs=1e-12), name

    def check_threads(self, task: str) -> None:
        given = self.inputs(task)
        found = [self.numbers(given, task, n_threads=n) for n in (1, 2, 3)]
        assert found[0] == found[1] == found[2]

    def check_names_of_classes(self) -> None:
        """Classes are names: their values, order kept, change nothing."""
        given = self.inputs("classification")
        before = self.numbers(given, "classification")
        for names in (np.array([-7, 2, 90]), np.array(["ant", "bee", "cat"])):
            named = given | {"labels": names[given["labels"]]}
            assert self.numbers(named, "classification") == before
