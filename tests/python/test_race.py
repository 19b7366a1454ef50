"""Races: order of the rows, decisions and their bounds, ``rank(race=)``, the command line."""

from __future__ import annotations

import copy
import json
import math
import pickle
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from simulated_race import score_halves_of_means, simulate_race

import transferability as tx
from transferability._inputs.target import read_target
from transferability._racing import rounds as running
from transferability._racing.decide import (
    Allowance,
    choose_drops,
    compute_odds,
    estimate_noise,
    forecast_scores,
    share_savings,
)
from transferability._racing.order import count_rounds, draw_halves, order_rows, stratify
from transferability.cli import main
from transferability.errors import DataError, DtypeError

Features = dict[str, NDArray[np.float64]]
N = 900


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return np.random.default_rng(3).integers(0, 3, N)


@pytest.fixture(scope="module")
def models(labels: NDArray[np.int64]) -> Features:
    """Ten models whose features hold less and less of the labels."""
    rng = np.random.default_rng(4)
    signal = np.eye(3, 8)[labels]
    return {f"m{k}": signal + (0.4 + 0.25 * k) * rng.normal(size=(N, 8)) for k in range(10)}


def raced(models: Any, labels: Any, *args: Any, **options: Any) -> tx.Ranking:
    return tx.rank(models, labels, *args, **{"race": True, "progress": False, **options})


# --- the order of the rows ----------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(0.6, 0.3, 0.1), (0.9, 0.08, 0.02), (1.0,)])
def test_every_prefix_has_each_class_in_its_share(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    strata = rng.choice(len(shares), size=700, p=shares)
    order = order_rows(strata, 5)
    assert sorted(order) == [*range(700)]
    share = np.bincount(strata) / 700
    for n_rows in (1, 10, 101, 350, 699):
        found = np.bincount(strata[order[:n_rows]], minlength=len(share))
        # Each stratum is within one row of its share of a place that is itself within a row or so.
        assert np.abs(found - share * n_rows).max() <= 2
    assert np.array_equal(order, order_rows(strata, 5))
    assert not np.array_equal(order, order_rows(strata, 6))


def test_rows_of_other_targets_are_spread_by_their_values() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    strata = stratify(read_target(values))
    assert np.bincount(strata).tolist() == [100] * 10
    assert all(values[strata == a].max() <= values[strata == a + 1].min() for a in range(9))
    spread = values[order_rows(strata, 0)[:100]]
    assert abs(spread.mean() - values.mean()) < 0.06  # a tenth of the rows would differ by 0.1
    sets = (rng.random((300, 4)) < 0.3).astype(float)
    assert np.bincount(stratify(read_target(sets, "multilabel"))).tolist() == [30] * 10


@pytest.mark.parametrize("n_rows", [100, 101, 7])
def test_halves_are_complementary_and_stratified(n_rows: int) -> None:
    strata = np.random.default_rng(1).integers(0, 3, n_rows)
    pairs = draw_halves(strata, 0)
    for one, other in pairs:
        assert sorted([*one, *other]) == [*range(n_rows)]
        assert abs(len(one) - len(other)) <= 1
        counts = [np.bincount(strata[half], minlength=3) for half in (one, other)]
        assert np.abs(counts[0] - counts[1]).max() <= 2
        assert np.array_equal(one, np.sort(one))
    assert len({tuple(one) for one, _ in pairs}) > len(pairs) / 2


def test_the_sizes_of_rounds() -> None:
    target = read_target(np.arange(2000) % 4)
    sizes = count_rounds(target, None, 1.5, None)
    assert sizes[0] == 100
    assert sizes[-1] == 2000
    # What is left open falls by a factor of 1.5, and in the last step to nothing.
    left = [1 / n - 1 / 2000 for n in sizes]
    assert all(a / b == pytest.approx(1.5, rel=0.02) for a, b in pairwise(left[:-1]))
    assert 1 < sizes[-1] / sizes[-2] < 1.5
    assert sizes[1] / sizes[0] == pytest.approx(1.5, rel=0.03)  # few rows grow by that factor
    assert count_rounds(target, 500, 2.0, 700) == [500, 700]
    assert count_rounds(target, 5000, 2.0, None) == [2000]
    assert count_rounds(read_target(np.arange(2000) % 40), None, 1.5, None)[0] == 160
    assert count_rounds(target, 10, 1.06, 12) == [10, 11, 12]


# --- decisions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.0, 0.3, 1.0, 5.0])
def test_the_bounds_on_wrong_drops_hold(gap: float) -> None:
    """benches/python/bench_race.py repeats this with 2,000 races of 3 to 100 models."""
    race = tx.Race()
    found = [simulate_race(seed, m, gap, race) for seed in range(12) for m in (4, 8, 20, 40)]
    assert max(one.risk for one in found) <= 1 - race.confidence
    assert max(one.losses for one in found) <= race.level
    best, _, top, _, passes = np.mean(found, axis=0)
    # Of 48 races, at 2 % more than 4 would lose the best with a probability of 0.3 %.
    assert best <= 4 / 48
    # The mean share of lost places has a standard error of at most 0.15 / sqrt(48) = 0.022.
    assert top <= race.level + 2 * 0.022
    assert passes < (0.3 if gap == 5 else 0.7)


def contrasts_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variances of contrasts of models with these rows, as a race estimates them."""
    halves = score_halves_of_means(rows, 0)
    noise = estimate_noise((halves[:, :, 0] - halves[:, :, 1]) / 2)
    deviations = np.exp(noise.log_variances / 2)
    return np.linalg.eigvalsh(noise.correlations * np.outer(deviations, deviations))


def test_chance_correlations_are_not_believed() -> None:
    """Independent models have contrasts of one variance, to within that of 16 estimates."""
    rows = np.random.default_rng(0).normal(size=(2000, 60))
    values = contrasts_of(rows)
    assert values.max() < 3 * values.min()
    halves = score_halves_of_means(rows, 0)
    difference = (halves[:, :, 0] - halves[:, :, 1]) / 2
    assert np.linalg.eigvalsh(difference @ difference.T).min() < 1e-12  # 16 pairs, 60 models
    values = contrasts_of(np.repeat(rows[:, :2], 30, axis=1) + 0.1 * rows)
    assert values.max() > 20 * values.min()  # correlations that are there are kept


def test_variances_are_drawn_from_what_pairs_tell_of_them() -> None:
    """Sixteen pairs leave a standard deviation of sqrt(2 / 16) of the logarithm of a variance."""
    rng = np.random.default_rng(0)
    scale = np.repeat([1.0, 10.0], 20)  # far apart, so hardly shrunk: 5.3 in terms of logarithms
    noise = estimate_noise(scale[:, None] * rng.normal(size=(40, 16)))
    assert noise.own_error == pytest.approx((2 / 16) ** 0.5, rel=0.05)
    drawn = np.stack([np.diag(noise.draw_covariance(rng)) for _ in range(2000)])
    spread = np.log(drawn).std(axis=0)
    # The spread of 2,000 draws has a relative standard error of 1 / sqrt(4000) = 0.016.
    expected = math.hypot(noise.own_error, noise.common_error)
    assert np.abs(spread / expected - 1).max() < 5 * 0.016
    # Models of one noise are told apart by nothing, and their mean is known better.
    alike = estimate_noise(rng.normal(size=(40, 16)))
    assert math.hypot(alike.own_error, alike.common_error) < 0.5 * noise.own_error
    # Models without noise stay without.
    still = estimate_noise(np.zeros((3, 16)))
    assert not still.draw_covariance(rng).any()


def forecast_spread(change: NDArray[np.float64], jitter: float = 0.0) -> float:
    """Return the mean standard deviation of forecasts from halves that lag behind by `change`."""
    rng = np.random.default_rng(0)
    scores = np.linspace(0.0, 1.0, 12)
    halves = np.repeat((scores - change)[:, None, None], 16, axis=1).repeat(2, axis=2)
    halves = halves + jitter * rng.normal(size=(12, 16, 1))
    halves = halves + 1e-6 * rng.normal(size=(12, 16, 1)) * np.array([1, -1])
    draws = forecast_scores(scores, halves, 100, 400, 3, 0)
    assert draws is not None
    return float(draws.std(axis=0).mean())


def test_only_a_drift_that_may_change_the_order_widens_the_forecast() -> None:
    scores = np.linspace(0.0, 1.0, 12)
    own = 0.1 * np.random.default_rng(1).normal(size=12)
    own -= np.polyval(np.polyfit(scores, own, 1), scores)
    # Two doublings, of curves like n^-a: the mean square over a from 0 to 1 of 2^-a + 4^-a. Two
    # parameters of the changes are the stretch; 4,000 draws know a standard deviation to 1.1 %.
    square = (3 / 8 + 7 / 12 + 15 / 64) / math.log(2)
    expected = math.sqrt(square * (own @ own) / 10)
    assert forecast_spread(own) == pytest.approx(expected, rel=0.05)
    assert forecast_spread(np.full(12, 0.3)) < 1e-4  # all models alike
    assert forecast_spread(0.3 * scores) < 1e-4  # in proportion to the scores
    # Means of pairs that differ are noise: of 400 rows three quarters are left. 180 degrees of
    # freedom know a standard deviation to 5 %.
    assert forecast_spread(np.zeros(12), jitter=0.1) == pytest.approx(0.1 * 0.75**0.5, rel=0.15)


def test_equal_models_are_not_dropped_by_bad_luck() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 30))
    draws = forecast_scores(rows.mean(axis=0), score_halves_of_means(rows, 0), 100, 10_000, 3, 0)
    assert draws is not None
    odds = compute_odds(draws, 3)
    assert odds.top.sum() == pytest.approx(3)
    assert odds.best.sum() == pytest.approx(1)
    # A tenth for each, if nothing were known.
    assert np.quantile(odds.top, 0.25) > 0.004
    assert odds.top.max() < 0.8


def test_copies_share_their_places() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    rows = np.concatenate([rows[:, :1]] * 4 + [rows[:, 1:] - 3], axis=1)
    draws = forecast_scores(rows.mean(axis=0), score_halves_of_means(rows, 0), 100, 1000, 3, 0)
    assert draws is not None
    odds = compute_odds(draws, 3)
    assert np.isfinite(draws).all()
    assert odds.top[:4].sum() == pytest.approx(3, abs=0.01)
    assert odds.top[4] < 0.01
    assert choose_drops(odds, Allowance(0.02, 0.45), 0.5, 3) == [4]


def test_a_round_spends_no_more_than_its_share() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(4000, 50)) + np.linspace(0, 2, 50)
    odds = compute_odds(draws, 3)
    early, late = Allowance(0.04, 0.3), Allowance(0.04, 0.3)
    few, many = choose_drops(odds, early, 0.05, 3), choose_drops(odds, late, 0.9, 3)
    assert 0 < len(few) < len(many) < 47
    assert set(few) < set(many)
    assert 0 < early.spent_top < 0.3 * 0.05 < late.spent_top < 0.3
    assert early.spent_best == pytest.approx(2 * odds.best[few].sum())  # with a caution of two
    assert len(choose_drops(odds, Allowance(2.0, 3.0), 1.0, 3)) == 47


def test_spending_is_in_proportion_to_the_passes_that_a_drop_saves() -> None:
    sizes = [100, 200, 400, 500]
    shares = [share_savings(sizes, number) for number in (1, 2, 3, 4)]
    assert shares == pytest.approx([4 / 8, 7 / 8, 1, 1])
    assert share_savings([500], 1) == 1


def test_what_is_undefined_decides_nothing() -> None:
    halves = np.full((3, 16, 2), np.nan)
    assert forecast_scores(np.zeros(3), halves, 100, 200, 3, 0) is None


# --- rank(race=) --------------------------------------------------------------------------------


@pytest.mark.parametrize("metrics", ["logme", "recommended", ["knn", "h_score"], ["ncti"]])
def test_a_race_finds_the_best(models: Features, labels: Any, metrics: Any) -> None:
    ranking = raced(models, labels, metrics)
    report = ranking.race
    assert report is not None
    full = tx.rank(models, labels, metrics, progress=False)
    assert full.names[0] in report.finalists
    assert len({*full.names[:3]} & {*report.finalists}) >= 2
    assert ranking.metrics == full.metrics
    assert ranking.names[: len(report.finalists)] == tuple(row.name for row in ranking.finalists)
    assert {*ranking.names} == {*models}
    assert 0 < report.passes < report.passes_without == 10 * N
    assert report.passes_saved == report.passes_without - report.passes
    expected, before = 0, 0
    for one in report.rounds:
        expected += len(one.models) * (one.n_samples - before)
        before = one.n_samples
    assert report.passes == expected


def test_dropped_models_keep_their_round(models: Features, labels: Any) -> None:
    ranking = raced(models, labels)
    assert ranking.race is not None
    rounds = ranking.race.rounds
    sizes = {i: one.n_samples for i, one in enumerate(rounds, start=1)}
    rows = order_rows(stratify(read_target(labels)), 0)
    for row in ranking:
        assert row.n_samples == sizes[row.round]
        kept = np.sort(rows[: row.n_samples])
        assert float(row.logme) == float(tx.logme(models[row.name][kept], labels[kept]))
        if row.dropped is not None:
            assert row.name in rounds[row.round - 1].dropped
            assert f"round {row.round} on {row.n_samples:,} rows" in row.dropped
            assert row.dropped == row.notes[0]
    states = [(row.dropped is not None, -row.round) for row in ranking]
    assert states == sorted(states)
    for upper, lower in pairwise(ranking):
        if (upper.round, upper.dropped is None) == (lower.round, lower.dropped is None):
            assert float(upper.logme) >= float(lower.logme)
    assert sum(len(one.dropped) for one in rounds) == len(models) - len(ranking.race.finalists)
    assert "dropped in round" in repr(ranking)
    assert ranking.race.summary in ranking.warnings


@pytest.mark.parametrize("metrics", ["logme", "recommended", "knn", ["gbc", "lda"]])
def test_all_rows_give_the_scores_of_no_race(
    models: Features, labels: Any, metrics: Any, tmp_path: Path
) -> None:
    full = tx.rank(models, labels, metrics, progress=False)
    for options in (tx.Race(top=10), tx.Race(first=N)):
        ranking = raced(models, labels, metrics, race=options)
        assert ranking.names == full.names
        for row in ranking:
            assert row.n_samples == N
            for metric in full.metrics:
                assert row.value(metric) == full[row.name].value(metric)
        assert ranking.race is not None
        assert ranking.race.passes_saved == 0
        assert ranking.race.stopped == "all rows read"
        assert ranking.race.summary.startswith("race of 1 round, all rows read")
        assert ranking.digest == full.digest


def test_the_same_seed_is_the_same_race(models: Features, labels: Any) -> None:
    one, again = raced(models, labels, n_threads=1), raced(models, labels, n_threads=3)
    assert one.race == again.race
    assert [row.value("logme") for row in one] == [row.value("logme") for row in again]
    other = raced(models, labels, race=tx.Race(seed=1))
    assert other.race is not None
    assert other[0].value("logme") != one[0].value("logme")


def test_fewer_models_race_in_the_same_way(models: Features, labels: Any) -> None:
    """The rows of a round do not depend on the models."""
    some = {name: models[name] for name in ("m0", "m1", "m2", "m8")}
    budget = tx.Race(max_samples=100)
    ours, theirs = raced(some, labels, race=budget), raced(models, labels, race=budget)
    for row in ours:
        assert float(row.logme) == float(theirs[row.name].logme)


def test_max_samples_ends_a_race(models: Features, labels: Any) -> None:
    close = {name: models["m0"] + 1e-3 * x for name, x in models.items()}
    ranking = raced(close, labels, race=tx.Race(max_samples=200))
    assert ranking.race is not None
    assert ranking.race.stopped == "max_samples read"
    assert ranking.race.rounds[-1].n_samples == 200
    assert ranking.race.passes_without == 10 * 200
    assert len(ranking.race.finalists) > 3
    assert set(ranking.race.first) == set(ranking.race.finalists)
    assert sum(ranking.race.first.values()) == pytest.approx(1)


def test_a_time_budget_ends_a_race(
    models: Features, labels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr(running, "time", clock)
    close = {name: models["m0"] + 1e-3 * x for name, x in models.items()}
    ranking = raced(close, labels, race=tx.Race(seconds=2.5))
    assert ranking.race is not None
    assert ranking.race.stopped == "out of time"
    assert len(ranking.race.rounds) == 2  # the third would end after 2.86 s


def test_a_failing_model_leaves_the_race(models: Features, labels: Any) -> None:
    broken = models["m1"].copy()
    broken[:, 0] = np.nan
    ranking = raced({**models, "broken": broken, "short": broken[:5, 1:]}, labels)
    assert {row.name for row in ranking.failed} == {"broken", "short"}
    assert ranking.names[-2:] == ("broken", "short")
    assert ranking["broken"].round == 1
    assert ranking.race is not None
    assert not {"broken", "short"} & {*ranking.race.finalists}
    nothing = raced({"a": broken, "b": broken, "c": broken, "d": broken}, labels)
    assert len(nothing.failed) == 4
    assert nothing.race is not None
    assert nothing.race.stopped == "no model is left"


def test_a_metric_that_needs_more_rows_waits_for_them(models: Features, labels: Any) -> None:
    rare = labels.copy()
    rare[:2] = 7
    ranking = raced(models, rare, "gbc")
    full = tx.rank(models, rare, "gbc", progress=False)
    assert [row.error is None for row in ranking] == [row.error is None for row in full]


def test_infinite_scores_decide_nothing(models: Features, labels: Any) -> None:
    exact = np.eye(3)[labels]
    few = {"exact": exact, **models}
    ranking = raced(few, labels)
    assert ranking.names[0] == "exact"
    infinite = [row for row in ranking if math.isinf(row.value("logme"))]
    assert all(row.dropped is None for row in infinite)


@pytest.mark.parametrize("kind", ["regression", "targets", "multilabel", "strings", "unlabelled"])
def test_every_task_races(models: Features, labels: Any, kind: str) -> None:
    rng = np.random.default_rng(0)
    noisy = labels + 0.1 * rng.normal(size=N)
    targets: dict[str, Any] = {
        "regression": noisy,
        "targets": np.stack([noisy, -(noisy**2)], axis=1),
        "multilabel": np.stack([labels == 0, labels >= 1, rng.random(N) < 0.004], axis=1) * 1,
        "strings": np.array(["a", "b", "c"])[labels],
        "unlabelled": None,
    }
    metric = "effective_rank" if kind == "unlabelled" else "logme"
    ranking = raced(models, targets[kind], metric)
    full = tx.rank(models, targets[kind], metric, progress=False)
    assert not ranking.failed
    assert ranking.task == full.task
    assert ranking.race is not None
    assert full.names[0] in ranking.race.finalists


def test_files_race_as_arrays(models: Features, labels: Any, tmp_path: Path) -> None:
    expected = raced(models, labels)
    paths: dict[str, Any] = {}
    for name, x in models.items():
        (tmp_path / name).mkdir()
        for i, part in enumerate(np.split(x, [250, 600])):
            np.save(tmp_path / name / f"x_{i}.npy", part)
        paths[name] = tmp_path / name
    np.save(tmp_path / "whole.npy", models["m0"])
    ranking = raced({**paths, "m0": tmp_path / "whole.npy"}, labels)
    assert ranking.race == expected.race
    assert ranking.names == expected.names
    for row in ranking:
        assert float(row.logme) == float(expected[row.name].logme)


def test_source_outputs_and_priors_race_along(models: Features, labels: Any) -> None:
    rng = np.random.default_rng(0)
    probs = {
        name: np.exp(x[:, :3] * 2) / np.exp(x[:, :3] * 2).sum(axis=1, keepdims=True)
        for name, x in models.items()
    }
    prior = {name: float(rng.normal()) for name in models}
    ranking = raced(models, labels, ["leep", "logme"], source_probs=probs, prior=prior)
    full = tx.rank(models, labels, ["leep"], source_probs=probs, progress=False)
    assert ranking.race is not None
    assert full.names[0] in ranking.race.finalists
    assert ranking[0].value("prior") == prior[ranking[0].name]


def test_analyses_of_a_race_are_those_of_its_finalists(models: Features, labels: Any) -> None:
    close = {**models, "n0": models["m0"][:, ::-1] + 0.02 * models["m9"]}
    ranking = raced(close, labels)
    assert ranking.race is not None
    finalists = {*ranking.race.finalists}
    assert {*ranking.stability(20).names} == finalists
    truth = {name: -float(name[1]) for name in close}
    with pytest.warns(tx.TransferabilityWarning, match="left out"):
        evaluation = ranking.evaluate(truth)
    assert {*evaluation.models} == finalists
    both = ranking.consensus(["logme"])
    assert {row.name for row in both.finalists} == finalists
    assert [row.name for row in both if row.dropped is not None] != []


def test_nothing_compares_scores_of_different_rows(models: Features, labels: Any) -> None:
    """The fewest rows give the highest score here, so a model that was dropped would be ahead."""
    costs = {"parameters": {name: 100.0 - i for i, name in enumerate(models)}}
    ranking = raced(models, labels, keep_coef=True, costs=costs)
    assert ranking.race is not None
    finalists = {*ranking.race.finalists}
    dropped = ranking.names[-1]
    ahead = [
        row
        if row.name != dropped
        else row.replace(scores={"logme": row.scores["logme"].replace(value=9.0)})
        for row in ranking
    ]
    ranking = ranking.replace(rows=ahead)
    assert ranking[dropped].round == 1
    assert ranking.names[: len(finalists)] == tuple(row.name for row in ranking.finalists)
    assert {row.name for row in ranking.compared} == finalists
    numbers = {name: float(i) for i, name in enumerate(models)}
    for front in (ranking.pareto(), ranking.pareto(numbers)):
        assert {*front.scores} == finalists
        assert {*front.left_out} == {*models} - finalists
        assert dropped not in repr(front).split("Left out")[0]
    assert {*ranking.teachers(3).names} == finalists
    with pytest.raises(DataError, match="could score 3"):
        ranking.teachers(4)
    assert {*ranking.shortlist().models} == finalists
    with pytest.raises(DataError, match="ensembles do not race"):
        tx.rank_ensembles(models, labels, race=True)
    lines = ranking.to_csv().splitlines()
    place = lines[0].split(",").index("round")
    assert lines[0].split(",")[place + 1] == "dropped"
    found = [int(line.split(",")[place]) for line in lines[1:]]
    assert found == [row.round for row in ranking]
    assert "round" not in tx.rank(models, labels, progress=False).to_csv().splitlines()[0]
    page = tx.report.html(ranking)
    order, rest = page.split("<h2>Race</h2>")
    assert "m0" in order
    assert dropped not in order.split("<h2>Order</h2>")[1]
    assert "Dropped in the race" in rest
    assert f"{ranking[dropped].n_samples:,}" in rest


def test_plots_mark_models_that_a_race_dropped(models: Features, labels: Any) -> None:
    pytest.importorskip("matplotlib")
    ranking = raced(models, labels)
    last = ranking.names[-1]
    score = ranking[last].scores["logme"].replace(value=9.0)
    rows = [r if r.name != last else r.replace(scores={"logme": score}) for r in ranking]
    ranking = ranking.replace(rows=rows)
    ax = tx.plot.ranking(ranking, ranking.stability(20))
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:3] == [row.name for row in ranking.finalists]
    assert names[3:] == [f"{row.name}, {row.n_samples:,} rows" for row in ranking.rows[3:]]
    full, hollow = ax.lines[-2:]
    assert len(full.get_xdata()) == 3
    assert hollow.get_markerfacecolor() == "none"
    assert 9.0 in hollow.get_xdata()
    truth = {name: -float(i) for i, name in enumerate(models)}
    assert len(tx.plot.scatter(ranking, truth).lines[0].get_xdata()) == 3
    lines = tx.plot.cost(ranking, {name: float(i + 1) for i, name in enumerate(models)}).lines
    assert sum(len(line.get_xdata()) for line in lines) == 3


def test_races_are_pickled_and_written(models: Features, labels: Any) -> None:
    ranking = raced(models, labels)
    again = pickle.loads(pickle.dumps(ranking))
    assert again.race == ranking.race
    assert again.names == ranking.names
    assert copy.deepcopy(ranking.race) == ranking.race
    facts = json.loads(ranking.to_json())
    assert facts["race"]["passes"] == ranking.race.passes  # type: ignore[union-attr]
    assert facts["race"]["rounds"][0]["n_samples"] == 100
    assert facts["rows"][-1]["round"] == 1
    assert "round 1: 100 rows, 10 models; dropped: " in repr(ranking.race)
    plain = tx.rank(models, labels, progress=False)
    assert plain.race is None
    assert "race" not in plain.to_dict()
    assert "round" not in plain.to_dict()["rows"][0]


def test_errors_name_the_remedy(models: Features, labels: Any) -> None:
    for options, kind, match in (
        ({"top": 0}, DataError, "top of a race is 0; give at least 1"),
        ({"top": 1.5}, DtypeError, "top of a race must be a whole number"),
        ({"top": True}, DtypeError, "whole number"),
        ({"confidence": 1.0}, DataError, "confidence of a race is 1.0"),
        ({"level": "a"}, DtypeError, "level of a race must be a number"),
        ({"growth": 1.0}, DataError, "growth"),
        ({"growth": math.nan}, DataError, "growth"),
        ({"first": 0}, DataError, "first"),
        ({"max_samples": -5}, DataError, "max_samples"),
        ({"seconds": 0}, DataError, "seconds"),
        ({"seed": -1}, DataError, "seed"),
    ):
        with pytest.raises(kind, match=match):
            tx.Race(**options)  # type: ignore[arg-type]
    plain = tx.Race(top=np.int64(2), growth=np.float32(2), seconds=5)  # type: ignore[arg-type]
    expected = {**tx.Race(top=2, growth=2.0).__dict__, "seconds": 5}
    assert json.loads(json.dumps(plain.__dict__)) == expected
    with pytest.raises(DtypeError, match=r"race is .yes.; give True, or"):
        raced(models, labels, race="yes")
    with pytest.raises(DataError, match="leave out groups or race"):
        raced(models, labels, groups=labels)
    states = {name: tx.Stats().update(x, labels) for name, x in models.items()}
    with pytest.raises(DataError, match="leave out race"):
        raced(states, None)
    with pytest.raises(DataError, match="race all models together"):
        raced(models, labels) + tx.rank({"other": models["m0"]}, labels)
    with pytest.raises(DtypeError, match="unknown option 'raze'"):
        tx.rank(models, labels, raze=True)


# --- the command line ---------------------------------------------------------------------------


def test_the_command_line_races(models: Features, labels: Any, tmp_path: Path) -> None:
    path = tmp_path / "all.npz"
    np.savez(path, labels=labels, **models)
    ran = CliRunner().invoke(main, ["rank", str(path), "--race", "--json", "-q"])
    assert ran.exit_code == 0, ran.output
    facts = json.loads(ran.stdout)
    expected = raced(models, labels)
    assert [row["name"] for row in facts["rows"]] == [*expected.names]
    assert expected.race is not None
    assert facts["race"]["passes"] == expected.race.passes
    options = ["--race-option", "top=2", "--race-option", "seed=3"]
    ran = CliRunner().invoke(main, ["rank", str(path), "--race", *options])
    assert ran.exit_code == 0, ran.output
    assert "forward passes" in ran.output
    for wrong, message in (
        (["--race-option", "top=2"], "--race-option goes with --race"),
        (["--race", "--race-option", "tops=2"], "tops"),
        (["--race", "--race-option", "top=0"], "give at least 1"),
    ):
        ran = CliRunner().invoke(main, ["rank", str(path), *wrong])
        assert ran.exit_code == 2
        assert message in ran.output


# --- real features ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["deb_impl", "glyph_greek"])
def test_races_of_real_encoders(task: str) -> None:
    """benches/python/bench_race.py has more seeds, tasks and metrics."""
    folder = Path(__file__).parents[2] / "examples" / "data"
    with np.load(folder / f"{task}.npz") as arrays:
        named = {name: arrays[name] for name in arrays.files}
    features = {k: v for k, v in named.items() if v.ndim == 2 and not k.startswith("labels")}
    full = tx.rank(features, named["labels"], progress=False)
    kept, shares = [], []
    for seed in range(3):
        ranking = raced(features, named["labels"], race=tx.Race(seed=seed))
        assert ranking.race is not None
        assert full.names[0] in ranking.race.finalists
        kept.append(np.isin(full.names[:3], ranking.race.finalists).mean())
        shares.append(ranking.race.passes / ranking.race.passes_without)
    assert np.mean(kept) >= 0.75  # of nine places; of many races 0.95
    assert np.mean(shares) <= 0.4
