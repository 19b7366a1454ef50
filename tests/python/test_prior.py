"""Priors in the posterior: what is known before any features are read, and its learnt weight."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.rankings import simulate

import transferability as tx
from transferability import DataError, DtypeError
from transferability._uncertainty.gibbs import sample_mixture
from transferability._uncertainty.mixture import CORRELATIONS, Predictor
from transferability._uncertainty.outlook import cover_best
from transferability._uncertainty.predictor import learn_prior_weights, standardise

Matrix = NDArray[np.float64]
NAMES = ["m0", "m1", "m2", "m3"]
PRIOR = {"m0": 60.0, "m1": 70, "m2": 80, "m3": 50}
#: Truths of past tasks that follow the prior, and models that only these have.
FOLLOWS = {f"p{i}": 50.0 + 5 * i for i in range(8)}
PAST = {"flowers": {f"p{i}": 0.5 + 0.05 * i for i in range(8)}}


@pytest.fixture(scope="module")
def data() -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    sizes = [1.0, 1.05, 1.0, 0.9]
    models = {
        name: size * np.eye(3, 8)[labels] + rng.normal(size=(200, 8))
        for name, size in zip(NAMES, sizes, strict=True)
    }
    return models, labels


@pytest.fixture(scope="module")
def stability(data: Any) -> tx.Stability:
    return tx.rank(*data).stability()


def correlate(draws: Matrix, values: Matrix) -> Matrix:
    off = draws - draws.mean(axis=1, keepdims=True)
    found: Matrix = (off @ values) / np.sqrt((off**2).sum(axis=1) * (values**2).sum())
    return found


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.6, 0.95])
def test_the_correlation_of_many_models_is_found(rho: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=40)
    values = (values - values.mean()) / values.std()
    truth = 3 * (rho * values + math.sqrt(1 - rho**2) * rng.normal(size=40))
    noise = rng.normal(size=(201, 40))
    flat = learn_prior_weights(None, {})
    known = Predictor(values, flat)
    draws = sample_mixture(truth + noise[0], noise[1:], np.eye(40), 1000, 2000, 0, known).draws
    own = float(np.corrcoef(values, truth)[0, 1])
    # the noise, a third of the spread, leaves an error of 0.33 / √40
    assert correlate(draws, values).mean() == pytest.approx(own, abs=3 * 0.33 / math.sqrt(40))


def test_a_good_prior_helps_and_the_probability_stays_right() -> None:
    """True scores that correlate with the prior at 0.9, with noise as large as their spread."""
    rng = np.random.default_rng(3)
    regrets, stated, held = [], [], []
    flat = learn_prior_weights(None, {})
    for seed in range(50):
        case = simulate("normal", 12, 1.5, rng)
        values = 0.9 * case.truth / case.truth.std() + 0.43 * rng.normal(size=12)
        values = (values - values.mean()) / values.std()
        own = []
        for known in (None, Predictor(values, flat)):
            request = (case.scores, case.noise, case.covariance, 1000, 1000, seed, known)
            draws = sample_mixture(*request).draws
            chosen, probability = cover_best(draws, 0.9)
            own.append(case.truth.max() - case.truth[chosen[0]])
        regrets.append(own)
        stated.append(probability)
        held.append(case.truth.argmax() in chosen)
    without, with_prior = np.mean(regrets, axis=0)
    assert with_prior < 0.8 * without
    assert abs(np.mean(held) - np.mean(stated)) < 0.05 + 2 * math.sqrt(0.09 / 50)


def test_a_useless_prior_does_little_harm() -> None:
    rng = np.random.default_rng(4)
    regrets = []
    flat = learn_prior_weights(None, {})
    for seed in range(50):
        case = simulate("normal", 12, 3.0, rng)
        values = rng.normal(size=12)
        values = (values - values.mean()) / values.std()
        own = []
        for known in (None, Predictor(values, flat)):
            request = (case.scores, case.noise, case.covariance, 1000, 1000, seed, known)
            chosen, _ = cover_best(sample_mixture(*request).draws, 0.9)
            own.append(case.truth.max() - case.truth[chosen[0]])
        regrets.append(own)
    without, with_prior = np.mean(regrets, axis=0)
    assert with_prior < without + 0.15  # of a spread of 3


def test_without_past_any_correlation_is_as_likely() -> None:
    weights = learn_prior_weights(None, {})
    assert weights.sum() == pytest.approx(1)
    assert weights @ CORRELATIONS == pytest.approx(0, abs=1e-12)
    # a uniform correlation has the second moment 1/3; the grid ends at tanh 2.5 = 0.987
    assert weights @ CORRELATIONS**2 == pytest.approx(1 / 3, abs=0.01)


def test_past_tasks_teach_the_weight() -> None:
    numbers = {**PRIOR, **FOLLOWS}
    once = learn_prior_weights(PAST, numbers) @ CORRELATIONS
    against = {"a": {k: -v for k, v in PAST["flowers"].items()}}
    assert once > 0.6
    assert learn_prior_weights(against, numbers) @ CORRELATIONS == pytest.approx(-once, abs=1e-9)
    mixed = learn_prior_weights(PAST | against, numbers) @ CORRELATIONS
    assert mixed == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(0)
    many = {f"task {t}": {k: v + 10 * rng.normal() for k, v in FOLLOWS.items()} for t in range(12)}
    weights = learn_prior_weights(many, numbers)
    own = np.mean([np.corrcoef([*FOLLOWS.values()], [*t.values()])[0, 1] for t in many.values()])
    assert weights @ CORRELATIONS == pytest.approx(own, abs=0.1)
    spread = [
        w @ CORRELATIONS**2 - (w @ CORRELATIONS) ** 2
        for w in (weights, learn_prior_weights(PAST, numbers))
    ]
    assert spread[0] < 0.5 * (1 / 3)


def test_a_learnt_weight_moves_the_choice(stability: tx.Stability) -> None:
    numbers = {**PRIOR, **FOLLOWS}
    plain = stability.shortlist(prior=False)
    taught = stability.shortlist(prior=numbers, past=PAST)
    against = {"a": {k: -v for k, v in PAST["flowers"].items()}}
    contrary = stability.shortlist(prior=numbers, past=against)
    assert taught.models["m2"] > plain.models["m2"] + 0.1
    assert contrary.models["m3"] > plain.models["m3"] + 0.04  # it has the lowest number
    assert plain.prior is None
    assert taught.prior is not None
    assert contrary.prior is not None
    assert contrary.prior[0] < taught.prior[0] - 0.2
    mean, low, high = taught.prior
    assert -1 <= low <= mean <= high <= 1
    assert "The prior correlates with the true scores at" in repr(taught)


def test_evaluations_of_past_rankings_teach_it_too(data: Any, stability: tx.Stability) -> None:
    truth = {"m0": 0.6, "m1": 0.7, "m2": 0.8, "m3": 0.5}
    past = tx.rank(*data, prior=PRIOR).evaluate(truth)
    taught = stability.shortlist(prior=PRIOR, past=[past])
    assert taught.models["m2"] > stability.shortlist(prior=False).models["m2"]
    without = tx.rank(*data).evaluate(truth)  # then the numbers are those of prior
    assert stability.shortlist(prior=PRIOR, past=[without]).models == taught.models


def test_the_prior_of_a_ranking_is_its_default(data: Any, stability: tx.Stability) -> None:
    ranking = tx.rank(*data, prior=PRIOR)
    assert ranking.shortlist().models == pytest.approx(stability.shortlist(prior=PRIOR).models)
    assert ranking.shortlist(prior=False).prior is None
    assert ranking.metrics == ("logme", "prior")  # it stays a column


def test_the_hybrid_is_the_first_of_each(data: Any, stability: tx.Stability) -> None:
    ranking = tx.rank(*data, prior=PRIOR)
    found = ranking.shortlist(method="hybrid")
    assert found.names == tuple(dict.fromkeys([ranking.names[0], "m2"]))
    assert found.probability == pytest.approx(sum(found.models[name] for name in found.names))
    assert found.units_needed is None
    same = stability.shortlist(method="hybrid", prior={**PRIOR, stability.names[0]: 99.0})
    assert same.names == stability.names[:1]
    with pytest.raises(DataError, match="method='hybrid' takes the first by prior too; give prior"):
        stability.shortlist(method="hybrid")


def test_equal_numbers_say_nothing(stability: tx.Stability) -> None:
    found = stability.shortlist(prior=dict.fromkeys(NAMES, 3.0))
    assert found.prior is None
    assert "the prior is the same for all models and orders nothing" in found.warnings
    assert found.models == stability.shortlist(prior=False).models
    assert standardise({"a": 1e-9, "b": 1e9}, ["a", "b"]) is not None


LACKS = {"m0": 1.0, "m3": 2.0}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior": LACKS}, DataError, "prior has no number for m., m., of 4 models"),
        ({"prior": [1, 2, 3, 4]}, DtypeError, "prior must be a mapping"),
        ({"prior": {**PRIOR, "m1": "high"}}, DtypeError, r"prior\['m1'\] is 'high'"),
        ({"prior": {**PRIOR, "m1": math.nan}}, DataError, r"prior\['m1'\] is nan"),
        ({"prior": True}, DataError, "prior has no number for"),
        ({"past": PAST}, DataError, "past teaches the weight of prior, which is missing"),
        ({"prior": PRIOR, "past": PAST}, DataError, r"no number for p0, .* of past\['flowers'\]"),
        ({"prior": PRIOR, "past": {}}, DataError, "past is empty"),
        ({"prior": PRIOR, "past": 3}, DtypeError, "past must map past tasks"),
        ({"prior": PRIOR, "past": {"a": 3}}, DtypeError, r"past\['a'\] must map models"),
        ({"prior": PRIOR, "past": {"a": {"m0": 1}}}, DataError, r"past\['a'\] has 1 numbers"),
        (
            {"prior": PRIOR, "past": {"a": dict.fromkeys(NAMES, 1.0)}},
            DataError,
            r"past\['a'\] has equal numbers for all models",
        ),
    ],
)
def test_wrong_priors_are_named(
    stability: tx.Stability, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        stability.shortlist(**options)


def test_a_report_goes_without_a_prior_that_lacks_models(data: Any) -> None:
    ranking = tx.rank(*data, prior=LACKS)
    with pytest.raises(DataError, match="prior has no number"):
        ranking.shortlist()
    assert "<h2>Shortlist</h2>" in tx.report.html(ranking, stability=ranking.stability())


def test_the_command_line(data: Any, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    models, labels = data
    np.savez(tmp_path / "all.npz", labels=labels, **models)
    prior, past = tmp_path / "prior.csv", tmp_path / "past.csv"
    lines = [f"{name},{value}" for name, value in {**PRIOR, **FOLLOWS}.items()]
    prior.write_text("\n".join(["model,imagenet", *lines]))
    truths = [f"{name},{value}" for name, value in PAST["flowers"].items()]
    past.write_text("\n".join(["model,flowers", *truths]))
    command = ["rank", str(tmp_path / "all.npz"), "--shortlist", "--prior", str(prior), "--json"]
    result = CliRunner().invoke(main, [*command, "--past", str(past)])
    assert result.exit_code == 0, result.output
    expected = tx.rank(models, labels).shortlist(prior={**PRIOR, **FOLLOWS}, past=PAST)
    assert json.loads(result.stdout)["models"] == pytest.approx(dict(expected.models))
    result = CliRunner().invoke(main, [*command, "--hybrid"])
    assert json.loads(result.stdout)["method"] == "hybrid"
