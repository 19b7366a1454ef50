"""The Gibbs sampler: every move leaves the posterior as it is, and chains arrive in their time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from transferability._uncertainty import gibbs
from transferability._uncertainty.gibbs import sample_mixture
from transferability._uncertainty.outlook import cover_best

Matrix = NDArray[np.float64]


def draw_noise(n_models: int, n: int = 400) -> Matrix:
    return np.random.default_rng(9).normal(size=(n, n_models))


def summarise(draws: Matrix) -> Matrix:
    """Return statistics of draws: sizes of gaps, spread, chances of the best."""
    ordered = np.sort(draws, axis=1)
    best = draws == draws.max(axis=1, keepdims=True)
    gaps = np.log(np.maximum(np.diff(ordered, axis=1), 1e-6))
    parts = [
        gaps,
        draws.std(axis=1, keepdims=True),
        draws - draws.mean(axis=1, keepdims=True),
        best,
    ]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("left_out", ["_move_groups", "_draw_spread_given_shape"])
@pytest.mark.parametrize("free", [4, 1000])
def test_moves_leave_the_posterior_as_it_is(
    monkeypatch: pytest.MonkeyPatch, left_out: str, free: int
) -> None:
    """Interweaving only speeds chains up: without one of its moves long chains agree."""
    scores = np.array([1.5, 1.2, 1.1, -0.4, -2.0])
    request = (scores, draw_noise(5), np.eye(5), free, 30_000, 0)
    monkeypatch.setattr(gibbs, "_BURN_IN", 150)
    found = summarise(sample_mixture(*request).draws).reshape(150, 200, -1)
    monkeypatch.setattr(gibbs._Chains, left_out, lambda self: None)
    without = summarise(sample_mixture(*request).draws).reshape(150, 200, -1)
    # 200 independent chains tell the error of each mean
    errors = [np.std(part.mean(axis=0), axis=0) / math.sqrt(200) for part in (found, without)]
    off = found.mean(axis=(0, 1)) - without.mean(axis=(0, 1))
    z = off / np.maximum(np.hypot(*errors), 1e-12)
    assert np.abs(z).max() < 4.5, z


def test_chains_of_a_narrow_group_arrive_in_the_burn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many models in two narrow groups: a chain that is not there yet leaves them too wide."""
    rng = np.random.default_rng(5)
    sizes, widths = [], []
    for seed in range(2):
        truth = 3.0 * rng.choice([-1.0, 1.0], size=60)
        scores = truth + rng.normal(size=60)
        request: Any = (scores, draw_noise(60), np.eye(60), 10**6, 4000, seed)
        for burn_in in (gibbs._BURN_IN_OF_MANY, 150):
            monkeypatch.setattr(gibbs, "_BURN_IN_OF_MANY", burn_in)
            found = sample_mixture(*request)
            sizes.append(len(cover_best(found.draws, 0.9)[0]))
            widths.append(np.log(found.widths).mean())
        monkeypatch.undo()
    short, long = np.reshape(sizes, (2, 2)).mean(axis=0)
    assert abs(short - long) < 0.15 * long, sizes
    short, long = np.reshape(widths, (2, 2)).mean(axis=0)
    assert abs(short - long) < 0.25, widths
