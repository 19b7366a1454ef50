"""How sure an order is: errors against simulations, calibration, agreement of the methods."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError
from transferability._uncertainty.bootstrap import GapCheck, resample_scores
from transferability._uncertainty.gibbs import sample_mixture
from transferability._uncertainty.influence import score_left_out_stats
from transferability._uncertainty.posterior import (
    compute_rank_intervals,
    count_wins,
    group_ties,
)
from transferability._uncertainty.units import ResamplingUnits, make_blocks

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


def task(
    sizes: Sequence[float], seed: int, n: int = 300, d: int = 8, n_classes: int = 3
) -> tuple[dict[str, Any], Any]:
    """Models whose classes are that far apart, with noise that they share in part."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    shared = rng.normal(size=(n, d))
    models = {
        f"m{i}": size * np.eye(n_classes, d)[labels] + 0.6 * shared + 0.8 * rng.normal(size=(n, d))
        for i, size in enumerate(sizes)
    }
    return models, labels


@pytest.mark.parametrize("metric", ["logme", "h_score", "knn", "ridge_probe"])
def test_errors_are_those_of_other_rows(metric: str) -> None:
    values, stated = [], []
    for seed in range(80):
        models, labels = task([1.4, 1.0], seed)
        ranking = tx.rank(models, labels, metric)
        values.append([ranking[name].value(metric) for name in ("m0", "m1")])
        if seed < 8:
            found = ranking.stability(metric=metric)
            assert (found.method, found.unit, found.n_units) == ("first-order", "rows", 300)
            order = [found.names.index(name) for name in ("m0", "m1")]
            gap = found.replicates[:, order[0]] - found.replicates[:, order[1]]
            stated.append([*found.standard_errors[order], gap.std()])
    spread = [*np.std(values, axis=0), np.diff(values, axis=1).std()]
    # 80 draws know a standard deviation to 8 %, at two of these 16 %; k-NN is up to 1.3 too wide.
    ratio = np.mean(stated, axis=0) / spread
    assert np.all((ratio > 0.78) & (ratio < (1.45 if metric == "knn" else 1.25))), ratio


@pytest.mark.parametrize("file", ["deb_impl", "glyph_greek"])
def test_first_order_agrees_with_exact_resamples_on_real_data(file: str) -> None:
    stored = np.load(EXAMPLES / f"{file}.npz")
    chosen = {
        "deb_impl": ["lsa32", "lsa128", "w2v100_deb", "charcnn_role_s", "style36", "tinytf_mlm"],
        "glyph_greek": ["hist16", "hog128", "lowres64", "pca24", "cnn_char_tiny", "pixrp100"],
    }[file]
    models = {name: stored[name] for name in chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranking = tx.rank(models, stored["labels"])
        first = ranking.stability(n_boot=60)
        exact = ranking.stability(n_boot=60, method="exact")
    assert (first.method, exact.method) == ("first-order", "exact")
    # The same resamples, so the replicates themselves agree. With 6 to 50 rows for each feature
    # rows that are drawn twice also fit twice as well, which adds to the exact errors.
    agreement = [
        np.corrcoef(first.replicates[:, j], exact.replicates[:, j])[0, 1] for j in range(6)
    ]
    assert min(agreement) > 0.7, agreement
    assert np.median(agreement) > 0.85
    ratio = first.standard_errors / exact.standard_errors
    assert np.all((ratio > 0.6) & (ratio < 1.15)), ratio
    assert np.abs(first.pairwise - exact.pairwise).mean() < 0.06
    assert first.ties[0][0] == exact.ties[0][0]


def test_more_rows_bring_first_order_and_exact_together() -> None:
    models, labels = task([1.2, 1.1, 1.0], 1, n=3000)
    ranking = tx.rank(models, labels)
    first, exact = ranking.stability(100), ranking.stability(100, method="exact")
    for j in range(3):
        assert np.corrcoef(first.replicates[:, j], exact.replicates[:, j])[0, 1] > 0.995
    assert first.standard_errors == pytest.approx(exact.standard_errors, rel=0.25)  # of 100 draws
    assert np.abs(first.pairwise - exact.pairwise).max() < 0.05


def check_calibration(stated: list[Any], happened: list[Any], least: int, n_bins: int) -> None:
    """In bins of tenths that hold enough, frequencies are within 0.1 of what was stated."""
    p, hit = np.concatenate(stated), np.concatenate(happened)
    bins = np.minimum((p * 10).astype(int), 9)
    chosen = [bins == b for b in range(10) if (bins == b).sum() >= least]
    assert len(chosen) >= n_bins
    for own in chosen:
        # and within how well so many cases know a frequency
        allowed = 0.1 + 0.5 / np.sqrt(own.sum())
        assert abs(p[own].mean() - hit[own].mean()) < allowed, (p[own].mean(), hit[own].mean())


def test_probabilities_of_being_first_are_calibrated() -> None:
    """From models within the noise to models far apart."""
    stated, happened = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(200):
            rng = np.random.default_rng(1000 + seed)
            sizes = 1.2 + np.exp(rng.uniform(*np.log([0.02, 0.5]))) * rng.normal(size=5)
            models, labels = task(sizes.tolist(), seed)
            first = tx.rank(models, labels, n_threads=1).stability(50).first
            stated.append(np.array([first[f"m{i}"] for i in range(5)]))
            happened.append((np.arange(5) == sizes.argmax()).astype(float))
    check_calibration(stated, happened, 30, 5)


def test_the_posterior_is_calibrated() -> None:
    """Over many kinds of comparisons: few models and many, close and far apart, some hopeless."""
    rng = np.random.default_rng(0)
    stated, happened = [], []
    for seed in range(200):
        n_models = int(rng.integers(3, 12))
        truth = np.exp(rng.uniform(*np.log([0.2, 6]))) * rng.normal(size=n_models)
        truth[: rng.integers(0, 3)] -= 30
        sizes = rng.uniform(0.7, 1.4, n_models)
        covariance = np.outer(sizes, sizes) * (0.5 + 0.5 * np.eye(n_models))
        noise = rng.multivariate_normal(np.zeros(n_models), covariance, 51, method="cholesky")
        request = (truth + noise[0], noise[1:], covariance, 1000, 800, seed)
        draws = sample_mixture(*request).draws
        stated.append(count_wins(draws)[0])
        happened.append((np.arange(n_models) == truth.argmax()).astype(float))
    check_calibration(stated, happened, 30, 6)


def test_plain_resampling_would_be_too_sure() -> None:
    """Equal models: whichever looks best is first with the chance of any."""
    rng = np.random.default_rng(0)
    best, plain = [], []
    for seed in range(60):
        noise = rng.normal(size=(201, 10))
        scores = noise[0]
        draws = sample_mixture(scores, noise[1:], np.eye(10), 1000, 800, seed).draws
        best.append(count_wins(draws)[0].max())
        plain.append(count_wins(scores + noise[1:])[0].max())
    assert np.mean(plain) > 0.35
    assert np.mean(best) < 0.3


def test_ranks_and_chances_count_ties() -> None:
    draws = np.array([[3.0, 3.0, 1.0], [1.0, 2.0, 3.0]])
    first, pairwise = count_wins(draws)
    assert first.tolist() == [0.25, 0.25, 0.5]
    assert pairwise.tolist() == [[0.5, 0.25, 0.5], [0.75, 0.5, 0.5], [0.5, 0.5, 0.5]]


def test_a_model_and_its_copy_are_tied() -> None:
    models, labels = task([2.0, 0.5], 0)
    models["copy"] = models["m0"].copy()
    found = tx.rank(models, labels).stability()
    assert found.ties == (("copy", "m0"), ("m1",))
    assert found.first["copy"] == pytest.approx(0.5, abs=0.02)
    assert found.pairwise[0, 1] == pytest.approx(0.5, abs=0.02)
    assert found.ranks.tolist() == [[1, 2], [1, 2], [3, 3]]
    assert "copy ≈ m0 > m1" in repr(found)


def test_what_models_share_cancels() -> None:
    """A model that is a little better on every row is surely better, whatever the rows."""
    models, labels = task([1.0], 0)
    models["better"] = models["m0"] + 0.1 * np.eye(3, 8)[labels]
    found = tx.rank(models, labels).stability()
    assert found.names == ("better", "m0")
    overlap = found.intervals[0, 0] < found.intervals[1, 1]
    assert overlap
    assert found.first["better"] > 0.99


@pytest.mark.parametrize("method", ["first-order", "jackknife", "exact"])
def test_rows_that_are_alike_in_a_group_count_as_one(method: str) -> None:
    models, labels = task([1.4, 1.0], 3, n=60)
    groups = np.repeat(np.arange(60), 4)
    repeated = {name: np.repeat(x, 4, axis=0) for name, x in models.items()}
    ranking = tx.rank(repeated, np.repeat(labels, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = ranking.stability(method=method).standard_errors
        found = ranking.stability(groups=groups, method=method)
        again = tx.rank(repeated, np.repeat(labels, 4), groups=groups).stability(method=method)
    assert (found.unit, found.n_units) == ("groups", 60)
    assert np.all(found.standard_errors / rows > 1.5)  # 2, but for how well 50 blocks know it
    assert again.standard_errors.tolist() == found.standard_errors.tolist()


def test_groups_that_scores_are_made_of_are_resampled() -> None:
    models, labels = task([1.6, 0.6], 0, n=600)
    groups = np.arange(600) % 12
    ranking = tx.rank(models, labels, groups=groups, aggregate="mean")
    found = ranking.stability()
    assert (found.unit, found.n_units, found.method) == ("groups", 12, "groups")
    per_group = [[float(v) for v in row.per_group["logme"].values()] for row in ranking]
    expected = np.std(per_group, axis=1, ddof=1) / np.sqrt(12)
    assert found.standard_errors == pytest.approx(expected, rel=0.2)  # of 200 resamples
    assert found.first["m0"] > 0.9
    with pytest.raises(DataError, match="aggregates over groups already"):
        ranking.stability(groups=groups)


def test_shards_say_what_the_samples_say() -> None:
    models, labels = task([1.4, 1.2, 0.6], 0)
    cuts = np.array_split(np.arange(300), 10)
    shards = {
        name: [tx.Stats().update(x[own], labels[own]) for own in cuts] for name, x in models.items()
    }
    codes = np.concatenate([np.full(len(own), i) for i, own in enumerate(cuts)])
    found = tx.Stability.from_shards(shards, intercept=False)
    expected = tx.rank(models, labels).stability(groups=codes, method="jackknife")
    assert found.names == expected.names
    assert found.scores == pytest.approx(expected.scores, rel=1e-9)
    assert found.standard_errors == pytest.approx(expected.standard_errors, rel=1e-6)
    assert found.first == pytest.approx(expected.first, abs=1e-6)
    with pytest.raises(DataError, match="at least 3 shards"):
        tx.Stability.from_shards({name: own[:2] for name, own in shards.items()})
    shards["m1"] = shards["m1"][::-1]
    shards["m1"][0] = tx.Stats().update(models["m1"][:7], labels[:7])
    with pytest.raises(DataError, match="shard 0 of 'm1' is not of the same rows"):
        tx.Stability.from_shards(shards)
    with pytest.raises(DataError, match="needs statistics of every class"):
        tx.Stability.from_shards({k: v for k, v in shards.items() if k != "m1"}, "gbc")


def test_all_but_one_is_all_but_that_one() -> None:
    models, labels = task([1.0], 0)
    cuts = np.array_split(np.arange(300), 7)
    parts = [tx.Stats().update(models["m0"][own], labels[own]) for own in cuts]
    found = score_left_out_stats(parts, lambda stats: stats.score("logme"))
    for own, score in zip(cuts, found, strict=True):
        rest = np.delete(np.arange(300), own)
        expected = float(tx.logme(models["m0"][rest], labels[rest]))
        assert float(score) == pytest.approx(expected, rel=1e-9)  # type: ignore[arg-type]


def test_resamples_have_every_unit_once_on_average() -> None:
    units = ResamplingUnits(np.arange(40), 40, "rows")
    drawn = np.stack([*units.draw_counts(2000, 0)])
    halves = np.stack([*units.draw_counts(2000, 0, halves=True)])
    for counts in (drawn, halves):
        assert (counts.sum(axis=1) == 40).all()
        assert counts.mean(axis=0) == pytest.approx(1.0, abs=0.12)  # five standard errors
        assert counts.var(axis=0).mean() == pytest.approx(1.0, abs=0.05)
    assert set(halves.ravel().tolist()) == {0, 2}


def test_blocks_spread_the_classes() -> None:
    from transferability._inputs.target import read_target

    labels = np.sort(np.random.default_rng(0).integers(0, 3, 500))
    found = make_blocks(read_target(labels), 0)
    counts = np.stack([np.bincount(found.codes[labels == c], minlength=50) for c in range(3)])
    assert found.n_units == 50
    assert np.ptp(counts, axis=1).max() <= 1
    assert make_blocks(read_target(labels[:20], "classification"), 0).n_units == 20


@pytest.mark.parametrize("metric", ["transrate", "gbc", "lda", "ncti", "cka"])
def test_other_metrics_go_by_the_jackknife(metric: str) -> None:
    models, labels = task([2.0, 1.9, 0.3], 0)
    found = tx.rank(models, labels, metric).stability()
    assert (found.method, found.unit, found.n_units) == ("jackknife", "blocks", 50)
    assert np.isfinite(found.replicates).all()
    assert sum(found.first.values()) == pytest.approx(1.0)
    exact = tx.rank(models, labels, metric).stability(60, method="exact")
    if metric != "ncti":  # whose parts are 0 or 1 at the ends
        ratio = found.standard_errors / exact.standard_errors
        assert np.all((ratio > 0.5) & (ratio < 2.0)), ratio


def test_sources_alone() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    probs = {
        name: share * np.eye(3)[labels] + (1 - share) * rng.dirichlet(np.ones(3), 300)
        for name, share in {"a": 0.7, "b": 0.2}.items()
    }
    ranking = tx.rank(dict.fromkeys(probs), labels, "leep", source_probs=probs)
    found = ranking.stability()
    assert found.method == "first-order"
    assert found.first["a"] > 0.95


def test_a_consensus_is_resampled_through_its_members() -> None:
    models, labels = task([2.0, 1.5, 0.4], 0)
    ranking = tx.rank(models, labels, "recommended")
    found = ranking.stability()
    assert found.metric == "consensus"
    assert found.names == ranking.names
    assert sum(found.first.values()) == pytest.approx(1.0)
    assert found.scores == pytest.approx([row.value("consensus") for row in ranking])
    assert ranking.stability(metric="logme").metric == "logme"


def test_regression() -> None:
    rng = np.random.default_rng(0)
    good = rng.normal(size=(200, 6))
    targets = good[:, :2] + rng.normal(size=(200, 2))
    models = {"good": good, "poor": good + 2 * rng.normal(size=(200, 6))}
    for metric, method in {"logme": "first-order", "lin_mse": "jackknife"}.items():
        found = tx.rank(models, targets, metric).stability()
        assert found.method == method
        assert found.first["good"] > 0.99


def test_an_unbounded_score_stays_first() -> None:
    models, labels = task([1.0, 0.8], 0)
    models["exact"] = np.eye(3)[labels]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tx.rank(models, labels).stability()
    assert found.names[0] == "exact"
    assert found.first["exact"] == 1.0
    assert not np.isnan(found.pairwise).any()
    assert found.ranks[0].tolist() == [1, 1]


def test_few_groups_are_said_to_be_few() -> None:
    with pytest.warns(tx.TransferabilityWarning, match="5 groups are few"):
        tx.rank(*task([1.5, 1.4], 0)).stability(groups=np.arange(300) % 5)


def test_repeated_rows_of_an_exact_resample_count_once() -> None:
    """So that a score of as many rows as features is finite."""
    models, labels = task([1.5, 1.4], 0, n=60, d=45)
    found = tx.rank(models, labels).stability(method="exact", n_boot=20)
    assert np.isfinite(found.replicates).all()


@pytest.mark.parametrize(
    ("gap", "off", "warns"),
    [
        (0.5, 3.0, False),  # a tie by both
        (1.2, 9.0, False),  # a tie to first order, at 90 %: 1.28 standard errors
        (1.3, 0.4, False),  # apart, and the resamples agree
        (1.3, 0.6, True),  # apart by the first order alone
        (2.0, 1.5, True),
        (9.0, 1.5, False),  # so far apart that the deviation does not matter
        (9.0, 9.0, True),
        (9.0, np.inf, True),  # a resample without a score
        (np.inf, 1.5, False),
    ],
)
def test_the_first_order_warns_only_where_it_alone_tells_models_apart(
    gap: float, off: float, warns: bool
) -> None:
    for scale in (1e-6, 1.0, 1e6):  # a rule in standard errors, whatever the unit of the metric
        check = GapCheck(("a", "b"), gap * scale, scale, off * scale)
        text = check.judge(0.9)
        assert (text is not None) == warns
        assert text is None or "between a and b" in text


def test_a_gap_without_any_error_is_judged() -> None:
    assert GapCheck(("a", "b"), 0.0, 0.0, 0.0).judge(0.9) is None
    assert GapCheck(("a", "b"), 0.0, 0.0, 1.0).judge(0.9) is None
    assert GapCheck(("a", "b"), 1.0, 0.0, 1.0).judge(0.9) is not None


@pytest.mark.parametrize("sizes", [[1.5, 1.45], [1.6, 0.4]])
def test_few_rows_for_the_features_alone_are_no_reason_to_warn(sizes: list[float]) -> None:
    """Neither of a tie nor of models far apart, although first order and exact differ."""
    models, labels = task(sizes, 0, n=80, d=40)
    ranking = tx.rank(models, labels)
    plan = (ranking.plan, ranking.rows, "logme", 200, None, "first-order", 0)
    (check,) = resample_scores(*plan).checks
    assert check.off > 0.5 * check.error
    found = ranking.stability()  # a warning would be an error
    assert len(found.ties) == (1 if sizes[1] > 1 else 2)


def test_a_pair_told_apart_by_the_first_order_alone_is_named(monkeypatch: Any) -> None:
    models, labels = task([1.6, 0.4], 0, n=80, d=60)
    ranking = tx.rank(models, labels)

    def judge(self: GapCheck, level: float) -> str:
        return f"{' and '.join(self.names)} at {level}"

    monkeypatch.setattr(GapCheck, "judge", judge)
    with pytest.warns(tx.TransferabilityWarning, match="m0 and m1 at 0.9"):
        assert "m0 and m1 at 0.9" in ranking.stability().warnings
    models["copy"] = models["m0"].copy()
    assert tx.rank(models, labels).stability().warnings == ()  # a tie in the table already


def draw_ranks(draws: Any, level: float = 0.9) -> tuple[Any, Any]:
    """Return the rank intervals of draws, and the groups of ties."""
    order = np.argsort(-draws.mean(axis=0), kind="stable")
    ordered = draws[:, order]
    ranks = compute_rank_intervals(ordered, count_wins(ordered)[1], level)
    return ranks, group_ties([f"m{i}" for i in range(len(order))], ranks)


@pytest.mark.parametrize(
    ("share", "ranks"), [(0.89, [[1, 2], [1, 2]]), (0.9, [[1, 1], [2, 2]]), (1, [[1, 1], [2, 2]])]
)
def test_two_models_are_apart_from_the_level_on(share: float, ranks: list[list[int]]) -> None:
    first = np.arange(1000) < 1000 * share
    draws = np.where(first, 1.0, -1.0)[:, None] * [1.0, -1.0]
    found, ties = draw_ranks(draws)
    assert found.tolist() == ranks
    assert len(ties) == (1 if share < 0.9 else 2)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_ranks_and_ties_never_contradict_each_other(level: float) -> None:
    rng = np.random.default_rng(0)
    for n_models in (2, 3, 5, 12, 40):
        for spread in (0.2, 1.0, 3.0, 10.0):
            truth = spread * rng.normal(size=n_models)
            draws = truth + rng.normal(size=(500, n_models)) * rng.uniform(0.2, 2, n_models)
            draws = np.round(draws, 1)  # with equal models
            ranks, ties = draw_ranks(draws, level)
            low, high = ranks.T
            assert np.all((low >= 1) & (low <= high) & (high <= n_models))
            # A group has the ranks of its places, and no other.
            start = 0
            for tie in ties:
                own = ranks[start : start + len(tie)]
                assert own.min() == start + 1
                assert own.max() == start + len(tie)
                start += len(tie)
            # Each interval holds the rank with the probability that it states.
            draws = draws[:, np.argsort(-draws.mean(axis=0), kind="stable")]
            best = np.array([(draws > own).sum(axis=1) + 1 for own in draws.T[:, :, None]])
            worst = np.array([(draws >= own).sum(axis=1) for own in draws.T[:, :, None]])
            inside = (best >= low[:, None]) & (worst <= high[:, None])
            assert inside.mean(axis=1).min() >= level - 1e-9
            # Who has a rank alone leaves it to nobody else.
            for i in np.flatnonzero(low == high):
                others = np.delete(ranks, i, axis=0)
                assert not np.any((others[:, 0] <= low[i]) & (others[:, 1] >= low[i]))


def test_the_first_and_its_rank_agree() -> None:
    """A model that is first in less than the level does not have rank 1 alone."""
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(4000, 12)) + np.r_[2.2, np.zeros(11)]
    ranks, _ = draw_ranks(draws)
    first, pairwise = count_wins(draws)
    assert pairwise[0, 1:].min() >= 0.9  # apart from each of the others
    assert first[0] < 0.9
    assert ranks[0, 0] == 1 < ranks[0, 1]
    assert np.any(ranks[1:, 0] == 1)


def test_a_model_that_is_surely_first_has_rank_one_alone() -> None:
    """Also where the interval of the second is too narrow for its own rank."""
    rng = np.random.default_rng(0)
    for gap in np.linspace(2, 4, 9):
        draws = rng.normal(size=(2000, 6)) + np.r_[gap + 1, 1, 0, 0, -0.5, -1]
        first = count_wins(draws)[0][0]
        ranks, _ = draw_ranks(draws)
        assert (ranks[0].tolist() == [1, 1]) == (first >= 0.9), (gap, first)


def test_equal_models_share_their_ranks() -> None:
    draws = np.random.default_rng(0).normal(size=(400, 1)) + np.array([9.0, 9.0, 9.0, 0.0])
    ranks, ties = draw_ranks(draws)
    assert ranks.tolist() == [[1, 3]] * 3 + [[4, 4]]
    assert ties == (("m0", "m1", "m2"), ("m3",))


def test_the_same_each_time_whatever_the_threads() -> None:
    models, labels = task([1.2, 1.1, 1.0], 0)
    first = tx.rank(models, labels, n_threads=1).stability()
    again = tx.rank(models, labels, n_threads=3).stability()
    assert first.replicates.tolist() == again.replicates.tolist()
    assert first.to_dict() == again.to_dict()
    other = tx.rank(models, labels).stability(seed=1)
    assert first.replicates.tolist() != other.replicates.tolist()
    assert other.first == pytest.approx(first.first, abs=0.1)


def test_tables() -> None:
    models, labels = task([1.2, 0.4], 0)
    found = tx.rank(models, labels).stability(50, level=0.8)
    text = repr(found)
    assert text.splitlines()[0] == (
        "2 models by LogME, 50 resamples of 300 rows (first-order); ranks at 80%"
    )
    assert text.splitlines()[-1] == "Order: m0 > m1"
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["first"]["m0"] > 0.9
    assert "replicates" not in facts
    columns = found.columns()
    assert columns["model"] == ["m0", "m1"]
    assert {len(column) for column in columns.values()} == {2}
    assert columns["low"][0] < columns["logme"][0] < columns["high"][0]
    assert pickle.loads(pickle.dumps(found)).first == found.first


def test_a_ranking_must_know_its_features() -> None:
    models, labels = task([1.2, 0.4], 0)
    ranking = tx.rank(models, labels)
    assert "plan" not in ranking.to_dict()
    with pytest.raises(DataError, match="does not know its features"):
        pickle.loads(pickle.dumps(ranking)).stability()
    states = {name: tx.Stats().update(x, labels) for name, x in models.items()}
    with pytest.raises(DataError, match="from_shards"):
        tx.rank(states).stability()
    assert ranking.top(2).stability().names == ranking.names
    parts = [tx.rank({name: x}, labels) for name, x in models.items()]
    assert sum(parts).stability().names == ranking.names
    models["m0"] = models["m0"] * 2 + labels[:, None]
    with pytest.raises(DataError, match="they have changed; rank again"):
        ranking.stability()
    del models["m0"]
    with pytest.raises(DataError, match="'m0' is no longer among the models"):
        ranking.stability()


def test_files_are_read_again(tmp_path: Path) -> None:
    models, labels = task([1.2, 0.4], 0)
    paths = {name: tmp_path / f"{name}.npy" for name in models}
    for name, path in paths.items():
        np.save(path, models[name])
    found = tx.rank(paths, labels).stability()
    expected = tx.rank(models, labels).stability()
    assert found.to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_boot": 5}, DataError, "n_boot is 5"),
        ({"n_boot": 20.5}, DtypeError, "n_boot is 20.5"),
        ({"seed": -1}, DataError, "seed is -1"),
        ({"level": 1.0}, DataError, "level is 1.0"),
        ({"level": float("nan")}, DataError, "level is nan"),
        ({"method": "bootstrap"}, DataError, "method is 'bootstrap'"),
        ({"metric": "knn"}, DataError, "metric is 'knn'"),
        ({"metric": "prior"}, DataError, "nothing to resample"),
        ({"groups": [1, 2]}, DataError, "groups has shape"),
        ({"groups": [0] * 150 + [1] * 150}, DataError, "there are 2 groups to resample"),
    ],
)
def test_wrong_arguments_are_named(options: Any, error: type[Exception], message: str) -> None:
    ranking = tx.rank(*task([1.2, 0.4], 0), prior={"m0": 1.0, "m1": 2.0})
    with pytest.raises(error, match=message):
        ranking.stability(**options)


def test_an_order_needs_two_models() -> None:
    models, labels = task([1.2, 0.4], 0)
    models["m1"] = models["m1"] * np.nan
    with pytest.raises(DataError, match="1 model has a logme"):
        tx.rank(models, labels).stability()


def test_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    models, labels = task([1.2, 0.4], 0)
    np.savez(tmp_path / "all.npz", labels=labels, **models)
    command = ["rank", str(tmp_path / "all.npz"), "--stability"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip() == repr(tx.rank(models, labels).stability())
    facts = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert facts["names"] == ["m0", "m1"]
    assert CliRunner().invoke(main, [*command, "--csv"]).exit_code == 2


def test_scores_that_statistics_cannot_give_go_by_the_jackknife() -> None:
    """Columns of such different scales that LogME needed the samples' own spectrum."""
    models, labels = task([1.4, 0.6], 0, n=120)
    for x in models.values():
        x[:, 3:] *= 1e-9
        x[:, 0] += 1e3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranking = tx.rank(models, labels, method="svd")
        assert ranking.stability().method in ("jackknife", "first-order")
        assert ranking.stability().first["m0"] > 0.9
