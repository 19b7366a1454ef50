"""The consensus of several metrics, the recommended one, baselines and priors."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata, weightedtau

import transferability as tx

Features = dict[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def models() -> tuple[Features, NDArray[np.int64]]:
    """Five models whose features hold less and less of the labels."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 200)
    signal = np.eye(3, 8)[labels]
    noise = rng.normal(size=(5, 200, 8))
    return {f"m{k}": signal + (0.4 + 0.5 * k) * noise[k] for k in range(5)}, labels


def test_it_is_the_mean_rank(models: tuple[Features, NDArray[np.int64]]) -> None:
    features, labels = models
    ranking = tx.rank(features, labels, ["lfc", "knn", "h_score"])
    combined = ranking.consensus()
    ranks = np.mean(
        [rankdata([-r.value(m) for r in combined]) for m in ("lfc", "knn", "h_score")], axis=0
    )
    expected = (len(features) - ranks) / (len(features) - 1)
    np.testing.assert_allclose([row.consensus for row in combined], expected, atol=1e-15)
    assert combined.metrics == ("consensus", "lfc", "knn", "h_score")
    assert list(combined.names) == [combined.names[i] for i in np.argsort(-expected, kind="stable")]
    assert "Consensus" in repr(combined)
    assert "beats" in combined.best.consensus.explain()


def test_the_recommended_ranking(models: tuple[Features, NDArray[np.int64]]) -> None:
    features, labels = models
    ranking = tx.rank(features, labels, "recommended", baselines=True)
    assert ranking.metrics == ("consensus", "logme", "ridge_probe", "knn")
    assert ranking.best.consensus.members == ("logme", "ridge_probe")
    assert ranking.names[:3] == ("m0", "m1", "m2")
    expected = tx.logme(features["m0"], labels, intercept=True, standardize=True)
    assert ranking["m0"].logme == pytest.approx(float(expected), rel=1e-12)
    plain = tx.rank(features, labels, "recommended", intercept=False, standardize=False)
    assert plain["m0"].logme == pytest.approx(float(tx.logme(features["m0"], labels)), rel=1e-12)
    assert set(tx.score(features["m0"], labels, "recommended")) == {"logme", "ridge_probe"}


def test_what_does_not_apply_is_no_member(models: tuple[Features, NDArray[np.int64]]) -> None:
    features, labels = models
    states = {name: tx.Stats().update(x, labels) for name, x in features.items()}
    ranking = tx.rank(states, metrics="recommended")
    assert ranking.metrics == ("consensus", "logme")
    assert "ridge_probe" in ranking.skipped
    targets = features["m0"][:, :2]
    of_targets = tx.rank(features, targets, "recommended", baselines=True)
    assert of_targets.metrics == ("consensus", "logme", "ridge_probe", "knn")
    assert of_targets.names[0] == "m0"


def test_added_rankings_are_compared_anew(models: tuple[Features, NDArray[np.int64]]) -> None:
    features, labels = models
    names = list(features)
    parts = [
        tx.rank({n: features[n] for n in part}, labels, "recommended")
        for part in (names[::2], names[1::2])
    ]
    together = tx.rank(features, labels, "recommended")
    assert (parts[0] + parts[1]).names == together.names
    assert [r.value("consensus") for r in parts[0] + parts[1]] == [
        r.value("consensus") for r in together
    ]


def test_a_member_that_fails_counts_as_last() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    good = rng.normal(size=(60, 4)) + labels[:, None]
    models: dict[str, Any] = {"good": good, "bad": np.full((60, 4), np.nan)}
    ranking = tx.rank({**models, "poor": rng.normal(size=(60, 4))}, labels, "recommended")
    assert ranking.names == ("good", "poor", "bad")
    assert ranking["bad"].error is not None
    assert "nan" in ranking["bad"].error.lower()
    probs = {"good": rng.dirichlet(np.ones(3), 60)}
    both = tx.rank({"good": good, "poor": good}, labels, ["leep", "logme"], source_probs=probs)
    combined = both.consensus()
    assert combined["poor"].error is None
    assert combined["poor"].consensus.shares == {"leep": 0.0, "logme": 0.5}
    assert any("leep failed" in note for note in combined["poor"].notes)


def soft_votes(scores: Any, errors: Any, others: Any) -> list[float]:
    """The rule, pair by pair."""
    votes = []
    for i in range(len(scores)):
        total = 0.0
        for j in range(len(scores)):
            if i != j:
                gap, error = scores[i] - scores[j], math.hypot(errors[i], errors[j])
                share = min(abs(gap) / error, 1.0) if error else float(gap != 0)
                own = 0.5 + 0.5 * np.sign(gap)
                other = 0.5 + 0.5 * np.sign(others[i] - others[j])
                total += share * own + (1 - share) * other
        votes.append(total / (len(scores) - 1))
    return votes


@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
def test_the_ridge_probe_decides_and_shares_close_pairs(
    models: tuple[Features, NDArray[np.int64]], task: str
) -> None:
    features, classes = models
    labels: Any = classes
    if task != "classification":
        labels = np.eye(3)[classes]
    if task == "regression":
        labels = labels + 0.1 * np.random.default_rng(0).normal(size=labels.shape)
    ranking = tx.rank(features, labels, "recommended", task=task)
    probes = [row.value("ridge_probe") for row in ranking]
    n = len(classes)
    if task == "classification":
        errors = [math.sqrt(p * (1 - p) / n) for p in probes]
    else:
        errors = [
            float(np.mean([(1 - r) * math.sqrt(4 * r / n + 2 / n**2) for r in clipped]))
            for clipped in (np.clip(row.ridge_probe.per_target, 0, 1) for row in ranking)
        ]
    expected = soft_votes(probes, errors, [row.value("logme") for row in ranking])
    np.testing.assert_allclose([row.value("consensus") for row in ranking], expected, atol=1e-12)
    assert [row.consensus.standard_error for row in ranking] == pytest.approx(errors)
    assert all(row.consensus.decider == "ridge_probe" for row in ranking)
    assert "by ridge_probe" in ranking.best.consensus.explain()
    assert 0 <= min(expected) <= max(expected) <= 1


def test_equal_probes_are_ordered_by_logme(models: tuple[Features, NDArray[np.int64]]) -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 2
    clear = {f"m{k}": labels[:, None] * 9.0 + (k + 1) * 0.3 * rng.random((60, 3)) for k in range(3)}
    ranking = tx.rank(clear, labels, "recommended")
    assert {row.value("ridge_probe") for row in ranking} == {1.0}
    assert ranking.names == tx.rank(clear, labels, intercept=True, standardize=True).names
    assert ranking.best.value("consensus") == 1.0


def test_the_decider_of_a_consensus_is_an_option(
    models: tuple[Features, NDArray[np.int64]],
) -> None:
    features, labels = models
    ranking = tx.rank(features, labels, ["knn", "ridge_probe", "lfc"])
    found = ranking.consensus(decider="ridge_probe")
    assert found.best.consensus.members == ("knn", "ridge_probe", "lfc")
    assert found.best.consensus.decider == "ridge_probe"
    assert ranking.consensus().best.consensus.details.get("decider") is None
    with pytest.raises(tx.DataError, match="decider is 'knn', which has no standard error"):
        ranking.consensus(decider="knn")
    with pytest.raises(tx.DataError, match="decider is 'logme'; choose from the members knn"):
        ranking.consensus(decider="logme")


def test_resampled_orders_follow_the_same_rule(
    models: tuple[Features, NDArray[np.int64]],
) -> None:
    features, labels = models
    ranking = tx.rank(features, labels, "recommended")
    found = ranking.stability(n_boot=50)
    votes = [ranking[name].value("consensus") for name in found.names]
    np.testing.assert_allclose(found.scores, votes, atol=1e-12)
    assert found.names == ranking.names
    assert found.method == "first-order"  # influence functions, also of z-scored features
    assert found.first[found.names[0]] > found.first[found.names[-1]]


def test_an_undefined_member_leaves_a_model_to_the_others() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(90) % 3
    leak = np.c_[np.eye(3)[labels], rng.normal(size=(90, 2))]  # an exact fit: LogME is +inf
    good = np.eye(3, 6)[labels] + 0.3 * rng.normal(size=(90, 6))
    noise = [rng.normal(size=(90, 6)) for _ in range(3)]
    flipped = np.c_[np.eye(3)[labels], np.zeros((90, 60))]
    models = {"leak": leak, "good": good, "n0": noise[0], "n1": noise[1], "n2": noise[2]}
    ranking = tx.rank(models, labels, ["logme", "lfc"])
    assert ranking["leak"].value("logme") == math.inf
    combined = ranking.consensus()
    assert combined["leak"].consensus.shares == {"lfc": 0.75}
    assert combined["leak"].value("consensus") == 0.75
    assert combined["good"].consensus.shares["logme"] == 1.0  # the best of those with a value
    assert any("logme is inf here and has no vote" in note for note in combined["leak"].notes)
    assert ranking.consensus(["logme"])["leak"].value("consensus") == 0.0
    # A poor model with an infinite member is not first because of it.
    recommended = tx.rank({**models, "flipped": flipped}, labels, "recommended")
    assert recommended["leak"].value("logme") == math.inf
    assert {*recommended.names[:2]} == {"leak", "flipped"}  # by the ridge probe, which is 1


def test_repeated_rows_do_not_make_wide_noise_first() -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(120) % 3
    place = np.r_[:120, 3]
    models = {f"noise{k}": rng.normal(size=(120, 300))[place] for k in range(3)}
    models["good"] = (np.eye(3, 12)[labels] + 0.4 * rng.normal(size=(120, 12)))[place]
    ranking = tx.rank(models, labels[place], "recommended")
    assert ranking.best.name == "good"
    assert all(math.isfinite(row.value("logme")) for row in ranking)
    assert tx.rank(models, labels[place]).best.name == "good"


def test_a_prior_is_a_column(models: tuple[Features, NDArray[np.int64]]) -> None:
    features, labels = models
    prior = {"m4": 90.0, "m0": 70}
    ranking = tx.rank(features, labels, ["lfc", "knn"], prior=prior)
    assert ranking.metrics == ("lfc", "knn", "prior")
    assert ranking["m4"].prior == 90
    assert math.isnan(ranking["m1"].value("prior"))
    assert ranking.consensus().best.consensus.members == ("lfc", "knn")
    assert ranking.consensus(["prior"]).names[:2] == ("m4", "m0")
    assert "as given" in ranking["m4"].prior.explain()


def test_it_is_close_to_the_best_metric_in_hindsight() -> None:
    data = Path(__file__).parents[2] / "examples" / "data"
    taus: dict[str, list[float]] = {}
    for task in ("deb_impl", "glyph_greek"):
        with np.load(data / f"{task}.npz") as arrays:
            features = {k: arrays[k] for k in arrays.files if not k.startswith("labels")}
            labels = arrays["labels"]
        ranking = tx.rank(features, labels, "recommended", progress=False)
        singles = ["logme", "h_score", "regularized_h_score", "lfc", "cka", "lda", "knn", "parc"]
        others = tx.rank(features, labels, singles, progress=False)
        with (data / f"{task}_truth.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for kind in ("probe_accuracy", "finetune_accuracy"):
            truth = {row["model"]: float(row[kind]) for row in rows if row[kind]}
            for found in (ranking, others):
                for metric in found.metrics:
                    scores = [found[name].value(metric) for name in truth]
                    tau = weightedtau(scores, list(truth.values())).statistic
                    taus.setdefault(metric if found is others else f"r:{metric}", []).append(tau)
    means = {metric: float(np.mean(values)) for metric, values in taus.items()}
    assert means["r:consensus"] > max(means.values()) - 0.03
    assert means["r:consensus"] > 0.75


@pytest.mark.parametrize(
    ("prior", "problem"),
    [
        ({"nobody": 1.0}, "'nobody', which is no model"),
        ({"m0": "high"}, "prior\\['m0'\\] is 'high'"),
        ({"m0": float("nan")}, "finite"),
        ({}, "prior is empty"),
        ([1, 2], "must be a mapping"),
    ],
)
def test_bad_priors_are_refused(
    prior: Any, problem: str, models: tuple[Features, NDArray[np.int64]]
) -> None:
    with pytest.raises(tx.TransferabilityError, match=problem):
        tx.rank(*models, prior=prior)


def test_bad_members_are_refused(models: tuple[Features, NDArray[np.int64]]) -> None:
    ranking = tx.rank(*models)
    with pytest.raises(tx.DataError, match="members has 'knn'; this ranking has logme"):
        ranking.consensus(["logme", "knn"])
    with pytest.raises(tx.DataError, match="members is empty"):
        ranking.consensus([])
