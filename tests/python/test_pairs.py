"""Comparisons in pairs that take long are announced before they start."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import TransferabilityWarning
from transferability._metric import cost
from transferability._metric.cost import warn_of_pairs
from transferability._metric.prepared import PreparedRequests
from transferability._metric.registry import metric_specs
from transferability._metric.spec import Size

OPTIONS: dict[str, dict[str, Any]] = {
    "knn": {},
    "parc": {"max_samples": 500.0},
    "gbc": {"covariance": "spherical", "n_components": 64.0},
}


def warned(name: str, options: dict[str, Any], size: Size, n_threads: int = 2) -> list[str]:
    """Return the warnings before a metric starts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_pairs(PreparedRequests({name: options}), lambda: size, n_threads)
    assert all(one.category is TransferabilityWarning for one in caught)
    return [str(one.message) for one in caught]


def test_metrics_that_compare_pairs_are_known() -> None:
    assert {name for name, spec in metric_specs().items() if spec.pairs} == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_ordinary_sizes_are_not_announced(name: str) -> None:
    for size in (Size(10_000, 768, 100), Size(40_000, 384, 20_000)):
        assert warned(name, OPTIONS[name], size) == []


def test_long_comparisons_are_announced_with_their_time() -> None:
    (text,) = warned("knn", {}, Size(2_000_000, 1024, 100))
    assert text.startswith(
        "knn compares 2,000,000 rows in pairs, which may take about 6 hours on 2"
    )
    (text,) = warned("knn", {}, Size(150_000, 1024, 100), n_threads=1)
    assert "150,000 rows in pairs, which may take about 4 minutes on 1 thread;" in text
    full = {"covariance": "full", "n_components": 64.0}
    (text,) = warned("gbc", full, Size(40_000, 384, 20_000))
    assert "gbc compares 20,000 classes in pairs, which may take about 115 minutes" in text
    assert warned("gbc", full, Size(40_000, 384, 500)) == []
    assert "classes" in warned("gbc", {"covariance": "diagonal"}, Size(9**6, 768, 20_000))[0]


def test_they_are_announced_before_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """As errors, so that nothing is computed."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    stats = tx.Stats(class_scatters=True).update(features, labels)
    monkeypatch.setattr(cost, "LONG", 0.0)
    for score in (
        lambda: tx.knn(features, labels),
        lambda: tx.parc(features, labels),
        lambda: tx.gbc(features, labels, covariance="full"),
        lambda: stats.score("gbc"),
    ):
        with pytest.raises(TransferabilityWarning, match="in pairs, which may take about a minute"):
            score()
    tx.logme(features, labels)


def test_lengths_of_time_are_in_words() -> None:
    words = [cost._duration(seconds) for seconds in (60, 100, 3600, 7300, 2e5)]
    assert words == ["a minute", "2 minutes", "60 minutes", "2 hours", "2 days"]
