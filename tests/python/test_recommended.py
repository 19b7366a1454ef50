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
    expected = tx.logme(features["m0"], labels, intercept=True)
    assert ranking["m0"].logme == pytest.approx(float(expected), rel=1e-12)
    plain = tx.rank(features, labels, "recommended", intercept=False)
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
