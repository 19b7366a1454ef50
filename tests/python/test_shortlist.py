"""Shortlists: the set holds the best as often as is said, and says what would make it smaller."""

from __future__ import annotations

import html
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.rankings import draw_case, simulate

import transferability as tx
from transferability import DataError, DtypeError
from transferability._uncertainty.gibbs import sample_mixture
from transferability._uncertainty.mixture import condition
from transferability._uncertainty.outlook import (
    FACTORS,
    cover_best,
    expect_sizes,
    find_pair,
    find_rows_for_one,
)
from transferability._uncertainty.posterior import count_wins, draw_members

Matrix = NDArray[np.float64]


def task(sizes: list[float], seed: int = 0, n: int = 300) -> tuple[dict[str, Any], Any]:
    """Models whose classes are that far apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    shared = rng.normal(size=(n, 8))
    return {
        f"m{i}": size * np.eye(3, 8)[labels] + 0.6 * shared + 0.8 * rng.normal(size=(n, 8))
        for i, size in enumerate(sizes)
    }, labels


@pytest.fixture(scope="module")
def ranking() -> tx.Ranking:
    return tx.rank(*task([1.4, 1.35, 1.3, 0.6, 0.2]), ["logme", "ridge_probe"])


@pytest.fixture(scope="module")
def found(ranking: tx.Ranking) -> tx.Shortlist:
    return ranking.shortlist()


def test_the_set_holds_the_best_as_often_as_it_says() -> None:
    """benches/python/shortlists.py does the same for 2,000 rankings of up to 100 models."""
    stated, happened, regrets = [], [], []
    rng = np.random.default_rng(0)
    for seed in range(80):
        case = draw_case(rng, most=20)
        draws = draw_members([case.member], 1000, seed)[0].draws
        chosen, probability = cover_best(draws, 0.9)
        assert probability >= 0.9
        stated.append(probability)
        happened.append(case.truth.argmax() in chosen)
        expected = draws.max(axis=1) - draws[:, chosen[0]]
        regrets.append([expected.mean(), case.truth.max() - case.truth[chosen[0]]])
    # 0.05, and two standard errors of the share of 80 rankings
    assert abs(np.mean(happened) - np.mean(stated)) < 0.05 + 2 * math.sqrt(0.9 * 0.1 / 80)
    said, happened_regret = np.mean(regrets, axis=0)
    assert 0.5 * said < happened_regret < 2 * said


def test_a_small_group_far_above_is_told_from_the_rest() -> None:
    """Twins whose difference has a thousandth of the noise stay twins, and a poor model poor."""
    covariance = np.diag([0.5e-6, 0.5e-6, 1.0])
    noise = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, 200)
    draws = sample_mixture(np.array([0, 0, -8.0]), noise, covariance, 1000, 4000, 0).draws
    first, pairwise = count_wins(draws)
    assert pairwise[0, 2] > 0.999
    assert first[0] == pytest.approx(0.5, abs=0.06)


def test_two_models_without_noise_in_common() -> None:
    """A gap of z standard errors: surer than nothing, less sure than without shrinkage."""
    noise = np.random.default_rng(0).normal(size=(200, 2)) / math.sqrt(2)
    chances = []
    for gap in (0.0, 1.0, 2.0, 3.0, 6.0):
        draws = sample_mixture(np.array([gap, 0.0]), noise, np.eye(2) / 2, 1000, 4000, 0).draws
        chances.append(float((draws[:, 0] > draws[:, 1]).mean()))
    assert chances[0] == pytest.approx(0.5, abs=0.06)
    assert chances == sorted(chances)
    assert chances[4] > 0.999
    for gap, chance in zip((1.0, 2.0), chances[1:3], strict=True):
        assert 0.5 < chance < 0.5 * (1 + math.erf(gap / math.sqrt(2)))


def test_conditioning_is_exact() -> None:
    """Mean and covariance of Matheron's rule are those of the normal posterior of contrasts."""
    rng = np.random.default_rng(0)
    n_models, n_draws = 4, 200_000
    root = rng.normal(size=(n_models, n_models))
    covariance, widths = root @ root.T, rng.uniform(0.5, 2, n_models)
    scores, means = rng.normal(size=n_models), rng.normal(size=n_models)
    drawn = means + widths * rng.normal(size=(n_draws, n_models))
    noise = rng.normal(size=(n_draws, n_models)) @ root.T
    found = condition(scores, drawn[None], noise[None], widths[None], covariance)[0]
    contrasts = np.eye(n_models)[1:] - np.eye(n_models)[0]  # the scores tell these alone
    inside = contrasts.T @ np.linalg.inv(contrasts @ covariance @ contrasts.T) @ contrasts
    posterior = np.linalg.inv(inside + np.diag(widths**-2))
    mean = posterior @ (inside @ scores + means / widths**2)
    error = np.sqrt(np.diag(posterior) / n_draws)
    assert np.all(np.abs(found.mean(axis=0) - mean) < 5 * error)
    # a variance of n draws is known to √(2 / n)
    assert np.cov(found.T) == pytest.approx(posterior, abs=5 * posterior.max() * math.sqrt(2 / 2e5))


def test_the_smallest_cover() -> None:
    draws = np.array([[3.0, 1, 0, 0]] * 6 + [[0, 3.0, 1, 0]] * 3 + [[0, 1, 3.0, 0]])
    assert cover_best(draws, 0.6) == ([0], 0.6)
    assert cover_best(draws, 0.61) == ([0, 1], 0.9)
    assert cover_best(draws, 0.95) == ([0, 1, 2], 1.0)
    tied = np.array([[2.0, 2.0, 1.0]] * 10)  # of two copies one is enough
    assert cover_best(tied, 0.9) == ([0], 1.0)


def test_facts_of_a_shortlist(ranking: tx.Ranking, found: tx.Shortlist) -> None:
    stability = ranking.stability()
    assert found.models == pytest.approx(stability.first)  # one posterior for both
    assert found.probability >= 0.9
    assert found.probability == pytest.approx(sum(found.models[name] for name in found.names))
    smaller = sorted(found.models.values())[::-1][: len(found) - 1]
    assert sum(smaller) < 0.9
    assert 0 <= found.set_regret <= found.regret <= found.worst_regret
    assert found.set_regret <= found.worst_set_regret <= found.worst_regret
    assert (found.n_units, found.unit, found.metric) == (300, "rows", "logme")
    assert found.names[0] in found
    assert "m4" not in found
    assert stability.shortlist().names == found.names


def test_more_confidence_takes_more_models(ranking: tx.Ranking) -> None:
    stability = ranking.stability()
    sizes = [len(stability.shortlist(level)) for level in (0.3, 0.6, 0.9, 0.99, 0.9999)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_what_shrinks_it(found: tx.Shortlist) -> None:
    assert len(found) > 1
    assert list(found.sizes) == [math.ceil(300 * factor) for factor in FACTORS]
    sizes = list(found.sizes.values())
    assert sizes[0] > sizes[-1] >= 1
    assert found.pair is not None
    assert set(found.pair) <= {"m0", "m1", "m2"}
    assert found.pair_regret < found.regret
    assert found.pair_bits > 0
    assert [*found.others] == ["ridge_probe"]
    assert set(found.others["ridge_probe"]) <= set(found.models)


def test_rows_by_the_law_of_noise() -> None:
    """Expected sizes are those of new scores that are drawn and given to the posterior again."""
    rng, factor = np.random.default_rng(1), 5.0
    expected, happened = [], []
    for seed in range(2):
        case = simulate("normal", 5, 2.0, rng)
        posterior = draw_members([case.member], 1000, seed)[0]
        request = ([posterior], [case.covariance], [case.scores], lambda members: members[0])
        sizes = [size for size, _ in expect_sizes(*request, 0.9, seed)]
        expected.append(sizes[FACTORS.index(factor)])
        for chain in range(15):
            more = rng.multivariate_normal(np.zeros(5), case.covariance / (factor - 1))
            new = posterior.truths[chain] + more  # the rows so far are a share 1 / factor of all
            later = {
                "scores": case.scores / factor + (1 - 1 / factor) * new,
                "noise": case.noise / math.sqrt(factor),
                "covariance": case.covariance / factor,
            }
            happened.append(len(cover_best(draw_members([later], 1000, seed)[0].draws, 0.9)[0]))
    error = np.std(happened) / math.sqrt(len(happened))
    assert abs(np.mean(expected) - np.mean(happened)) < 0.3 + 2 * error


def test_rows_for_one_model_are_interpolated_and_rounded_up() -> None:
    assert find_rows_for_one(100, [0.0, 0.0, 0.5, 1, 1, 1, 1, 1]) == 300
    between = find_rows_for_one(1000, [0.25, 0.75, 1, 1, 1, 1, 1, 1])  # √(1.5 · 2) = 1.732
    assert between == 1800
    assert find_rows_for_one(100, [0.4] * len(FACTORS)) is None


def test_the_pair_that_tells_most() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(20_000, 3)) * [1.0, 1.0, 0.01] + [1.0, 1.0, -5.0]
    pair = find_pair(draws, ["a", "b", "c"], count_wins(draws)[0])
    assert pair is not None
    assert sorted(pair.names) == ["a", "b"]
    assert pair.regret == pytest.approx(0, abs=1e-9)  # their order decides
    assert pair.bits == pytest.approx(1, abs=0.01)
    assert find_pair(draws, ["a", "b", "c"], np.array([1.0, 0, 0])) is None


def test_a_sure_best_needs_nothing_more() -> None:
    found = tx.rank(*task([3.0, 0.3, 0.2])).shortlist()
    assert found.names == ("m0",)
    assert (found.sizes, found.units_needed, found.pair) == ({}, None, None)
    assert "is the best of 3 models by LogME" in found.summary


def test_copies_and_infinite_scores() -> None:
    models, labels = task([2.0, 0.5])
    models["copy"] = models["m0"].copy()
    assert len(tx.rank(models, labels).shortlist()) == 1  # either holds the best
    member = {
        "scores": np.array([math.inf, math.inf, 1.0, 0.0]),
        "noise": np.random.default_rng(0).normal(size=(50, 4)) * [0, 0, 1, 1],
        "covariance": np.diag([0.0, 0.0, 1, 1]),
    }
    models["exact"], models["other"] = np.eye(3)[labels], 2 * np.eye(3)[labels]
    ranking = tx.rank(models, labels)
    if math.isinf(ranking.best.logme):
        found = ranking.shortlist()
        assert set(found.names) == {"exact", "other"}  # their order is not known
        assert math.isnan(found.regret)
        assert "The regret is not known" in repr(found)
    draws = draw_members([member], 100, 0)[0].draws
    assert np.isposinf(draws[:, :2]).all()
    assert np.isfinite(draws[:, 2:]).all()


def test_a_consensus_is_drawn_through_its_members() -> None:
    models, labels = task([1.4, 1.3, 0.4])
    ranking = tx.rank(models, labels, "recommended")
    found = ranking.shortlist()
    assert found.metric == "consensus"
    assert found.models == pytest.approx(ranking.stability().first)
    if len(found) > 1:
        assert min(found.sizes.values()) >= 1


def test_agreement_makes_it_a_claim_about_the_truth() -> None:
    """Truths correlate with true scores at 0.8: the set of the metric misses, the wider holds."""
    rng = np.random.default_rng(2)
    stated, held, held_by_metric = [], [], []
    from transferability._uncertainty.choose import draw_truths, read_agreement

    agreement = read_agreement(0.8, "logme")
    for seed in range(60):
        case = simulate("normal", 8, 4.0, rng)
        spread = case.truth.std()
        truth = 0.8 * case.truth + 0.6 * spread * rng.normal(size=8)
        draws = draw_members([case.member], 1000, seed)[0].draws
        chosen, probability = cover_best(draw_truths(draws, agreement, rng), 0.9)
        stated.append(probability)
        held.append(truth.argmax() in chosen)
        held_by_metric.append(truth.argmax() in cover_best(draws, 0.9)[0])
    assert abs(np.mean(held) - np.mean(stated)) < 0.05 + 2 * math.sqrt(0.09 / 60)
    assert np.mean(held_by_metric) < np.mean(stated) - 0.05


def test_full_agreement_is_the_metric_itself(ranking: tx.Ranking, found: tx.Shortlist) -> None:
    """No correlation is rounded, however close to 1."""
    full = ranking.shortlist(agreement=1)
    assert (full.names, full.models) == (found.names, found.models)
    assert full.probability == found.probability
    assert full.regret == pytest.approx(found.regret, rel=1e-9)
    close = [ranking.shortlist(agreement=value).regret for value in (0.99, 0.9999, 0.999999)]
    assert close == sorted(close, reverse=True)
    assert close[-1] == pytest.approx(found.regret, rel=0.05)
    assert close[0] > 1.05 * found.regret


def test_agreement_is_read(ranking: tx.Ranking, found: tx.Shortlist) -> None:
    truth = {"m0": 0.9, "m1": 0.88, "m2": 0.89, "m3": 0.7, "m4": 0.6}
    given = ranking.shortlist(agreement=0.8)
    assert given.agreement == pytest.approx(0.8)
    assert len(given) >= len(found)
    assert given.sizes == {}
    learnt = ranking.shortlist(agreement=ranking.evaluate(truth))
    assert learnt.agreement is not None
    assert 0.5 < learnt.agreement < 1
    for wrong, error, message in (
        (0.0, DataError, "agreement is 0.0"),
        (1.5, DataError, "agreement is 1.5"),
        ("high", DtypeError, "agreement must map"),
        ([], DataError, "agreement is empty"),
        ({"task": truth}, DataError, r"agreement\['task'\] has no scores by logme"),
    ):
        with pytest.raises(error, match=message):
            ranking.shortlist(agreement=wrong)


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 1.5, math.nan, math.inf])
def test_a_confidence_lies_between_0_and_1(ranking: tx.Ranking, confidence: float) -> None:
    with pytest.raises(DataError, match=f"confidence is {confidence}.*between 0 and 1"):
        ranking.shortlist(confidence)


@pytest.mark.parametrize("confidence", ["0.9", None, True, [0.9]])
def test_a_confidence_is_a_number(ranking: tx.Ranking, confidence: Any) -> None:
    with pytest.raises(DtypeError, match=r"confidence is .*give a number"):
        ranking.shortlist(confidence)


def test_other_wrong_arguments_are_named(ranking: tx.Ranking) -> None:
    with pytest.raises(DataError, match="method is 'gupta'"):
        ranking.shortlist(method="gupta")
    with pytest.raises(DataError, match="metric is 'knn'"):
        ranking.shortlist(metric="knn")
    with pytest.raises(DataError, match="does not know its features"):
        pickle.loads(pickle.dumps(ranking)).shortlist()


def test_it_is_reproducible_and_follows_the_seed(ranking: tx.Ranking) -> None:
    again = ranking.shortlist()
    assert again.to_dict() == ranking.shortlist().to_dict()
    assert ranking.shortlist(seed=1).models == pytest.approx(again.models, abs=0.06)


def test_it_prints_and_becomes_json(found: tx.Shortlist) -> None:
    text = repr(found)
    assert text.splitlines()[0] == found.summary
    assert "hold the best of 5 models by LogME with a probability of" in text
    assert "Regret of" in text
    assert "Fine-tune" in text
    assert "fine-tuning may differ" in text
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["names"] == list(found.names)
    assert facts["summary"] == found.summary
    assert pickle.loads(pickle.dumps(found)).names == found.names


def test_the_report_has_a_section(ranking: tx.Ranking, found: tx.Shortlist) -> None:
    page = tx.report.html(ranking, stability=ranking.stability())
    assert "<h2>Shortlist</h2>" in page
    assert html.escape(found.summary) in page
    assert "<h2>Shortlist</h2>" not in tx.report.html(ranking)
    assert "<h2>Shortlist</h2>" in tx.report.html(ranking, shortlist=found)
    other = tx.rank(*task([1.0, 0.9, 0.8], seed=5))
    with pytest.raises(DataError, match="shortlist is of another ranking"):
        tx.report.html(other, shortlist=found)


def test_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    models, labels = task([1.3, 1.2, 0.4])
    np.savez(tmp_path / "all.npz", labels=labels, **models)
    command = ["rank", str(tmp_path / "all.npz"), "--shortlist"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    expected = tx.rank(models, labels).shortlist()
    assert result.stdout.rstrip() == repr(expected)
    facts = json.loads(CliRunner().invoke(main, [*command, "--json", "--confidence", "0.5"]).stdout)
    assert facts["confidence"] == 0.5
    for wrong, message in (
        (["--confidence", "1"], "--confidence"),
        (["--stability"], "choose one of"),
        (["--past", str(tmp_path / "all.npz")], "--past needs --prior"),
    ):
        result = CliRunner().invoke(main, [*command, *wrong])
        assert result.exit_code == 2
        assert message in result.output
    result = CliRunner().invoke(main, [*command[:2], "--confidence", "0.5"])
    assert result.exit_code == 2
    assert "goes with --shortlist" in result.output


def test_the_report_of_the_command_line_has_the_set_that_was_asked_for(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    models, labels = task([1.3, 1.2, 0.4])
    np.savez(tmp_path / "all.npz", labels=labels, **models)
    page = tmp_path / "report.html"
    command = ["rank", str(tmp_path / "all.npz"), "--shortlist", "--confidence", "0.3"]
    result = CliRunner().invoke(main, [*command, "--html", str(page)])
    assert result.exit_code == 0, result.output
    found = tx.rank(models, labels).shortlist(0.3)
    assert len(found) < len(tx.rank(models, labels).shortlist())
    assert html.escape(found.summary) in page.read_text()


def test_copies_share_a_probability_and_none_is_called_the_best() -> None:
    models, labels = task([1.2, 0.4])
    ranking = tx.rank({"a": models["m0"], "b": models["m0"].copy(), "poor": models["m1"]}, labels)
    found = ranking.shortlist()
    assert found.names == ("a",)
    assert found.models["a"] == pytest.approx(0.5, abs=0.01)
    assert found.summary.startswith("a is one of the best of 3 models by LogME")
    assert any(line.startswith("Models of equal scores share") for line in found.sentences())
    alone = tx.rank({"a": models["m0"], "poor": models["m1"]}, labels).shortlist()
    assert alone.summary.startswith("a is the best of 2 models")
    assert not any(line.startswith("Models of equal") for line in alone.sentences())
