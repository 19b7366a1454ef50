"""Races of models whose score is the mean of their rows, for tests and benches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import transferability as tx
from transferability._inputs.target import read_target
from transferability._racing.decide import (
    Allowance,
    choose_drops,
    compute_odds,
    forecast_scores,
    share_savings,
)
from transferability._racing.order import count_rounds

N_ROWS = 1000
_N_PAIRS = 16


class Outcome(NamedTuple):
    """What a simulated race lost, what it had spent of the bounds, and its share of the passes."""

    best_lost: float
    risk: float
    top_lost: float
    losses: float
    passes: float


def score_halves_of_means(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the means of complementary halves of rows, (M, n_pairs, 2)."""
    rng = np.random.default_rng(seed)
    n_pairs = len(rows) // 2
    signs = np.where(rng.random((_N_PAIRS, n_pairs)) < 0.5, 1, -1)
    left, right = rows[: 2 * n_pairs : 2], rows[1 : 2 * n_pairs : 2]
    middle = (left + right).mean(axis=0) / 2
    difference = signs @ (left - right) / (2 * n_pairs)
    return np.stack([middle + difference, middle - difference], axis=-1).transpose(1, 0, 2)


def simulate_race(seed: int, n_models: int, gap: float, race: tx.Race) -> Outcome:
    """Race models with true means that differ by `gap` standard errors of 100 rows.

    In a third of the races half of the models are poor. The models share some noise, and their own
    noise differs.
    """
    rng = np.random.default_rng([seed, n_models, int(10 * gap)])
    means = rng.normal(size=n_models) * gap / 10
    if seed % 3 == 0:
        means[: n_models // 2] -= 0.5 + gap / 2
    common = rng.uniform(0, 0.9)
    noise = rng.uniform(0.6, 1.6, n_models) * rng.normal(size=(N_ROWS, n_models))
    rows = common**0.5 * rng.normal(size=(N_ROWS, 1)) + (1 - common) ** 0.5 * noise + means
    order, alive = np.argsort(-rows.mean(axis=0)), np.arange(n_models)
    allowance = Allowance(1 - race.confidence, race.level * race.top)
    sizes = count_rounds(read_target(np.arange(N_ROWS) % 2), 100, race.growth, None)
    passes = before = 0
    for number, n_rows in enumerate(sizes, start=1):
        passes += len(alive) * (n_rows - before)
        before = n_rows
        if n_rows == N_ROWS or len(alive) <= race.top:
            break
        own = rows[:n_rows, alive]
        halves = score_halves_of_means(own, seed)
        draws = forecast_scores(own.mean(axis=0), halves, n_rows, N_ROWS, race.top, seed)
        assert draws is not None
        odds = compute_odds(draws, race.top)
        part = share_savings(sizes, number)
        alive = np.delete(alive, choose_drops(odds, allowance, part, race.top))
    kept = np.isin(order[: race.top], alive)
    return Outcome(
        best_lost=1.0 - kept[0],
        risk=allowance.spent_best,
        top_lost=1.0 - float(kept.mean()),
        losses=allowance.spent_top / race.top,
        passes=passes / N_ROWS / n_models,
    )
