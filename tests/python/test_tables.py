"""Weighted taus that papers print, from the scores that they publish."""

from __future__ import annotations

import math

import pytest
from reference.tables import columns, rows

from transferability import TransferabilityWarning
from transferability.agreement import weighted_tau

#: MedMNIST's own names of the two parts of its proposal.
PARTS = {"perf": "lp", "grads": "fu"}
FLIPPED = ("leep", "parc", "ncti", "nleep", "perf", "grads")


def minmax(scores: dict[str, float]) -> dict[str, float]:
    low, high = min(scores.values()), max(scores.values())
    return {name: (value - low) / (high - low) for name, value in scores.items()}


def medmnist(kind: str, method: str, target: str) -> tuple[dict[str, float], dict[str, float]]:
    table = columns(f"medmnist_{kind}_selection", ("kind_of_value", "target"), "source", "value")
    truth = table["AUCs", target]
    if kind == "dataset":
        scores = table[PARTS.get(method, method), target]
    elif method == "our":
        lp, fu = minmax(table["lp", target]), minmax(table["fu", target])
        scores = {name: (1 - lp[name]) * (1 - fu[name]) for name in lp}
    else:
        scores = table[PARTS.get(method, method), target]
        if method in FLIPPED:
            scores = {name: 1 - value for name, value in scores.items()}
    names = [name for name in scores if kind == "model" or name != target]
    return {name: scores[name] for name in names}, {name: truth[name] for name in names}


@pytest.mark.parametrize(("kind", "n_cells", "n_nan"), [("dataset", 88, 2), ("model", 99, 0)])
@pytest.mark.filterwarnings("ignore::transferability.TransferabilityWarning")
def test_medmnist_to_six_decimals(kind: str, n_cells: int, n_nan: int) -> None:
    found = {}
    for row in rows(f"medmnist_{kind}_published_tauw"):
        if kind == "dataset" and row["method"] == "our":
            continue
        tau = weighted_tau(*medmnist(kind, row["method"], row["target"]))
        found[row["method"], row["target"]] = tau, float(row["tau_w"])
    assert len(found) == n_cells
    assert sum(math.isnan(tau) for tau, _ in found.values()) == n_nan
    for cell, (tau, published) in found.items():
        # Printed to 6 decimals: half a unit, and what binary fractions add to it.
        assert tau == pytest.approx(published, rel=0, abs=5.001e-7, nan_ok=True), cell


def test_constant_scores_of_the_published_table_warn() -> None:
    with pytest.warns(TransferabilityWarning, match="no order"):
        assert math.isnan(weighted_tau(*medmnist("dataset", "sfda", "breastmnist")))


def test_model_spider_by_ranks_of_the_truth() -> None:
    scores = columns("modelspider_single_source_scores", ("method", "dataset"), "model", "score")
    truth = columns("modelspider_single_source_finetune", ("dataset",), "model", "finetune")
    off, by_default, n_cells = set(), 0, 0
    for row in rows("modelspider_single_source_published_tauw"):
        cell = row["method"], row["dataset"]
        if cell not in scores:  # the paper's own learned ranker, and means over data sets
            continue
        n_cells += 1
        known = {model: truth[row["dataset"],][model] for model in scores[cell]}
        published = float(row["tau_w"])
        if abs(weighted_tau(scores[cell], known, rank="truth") - published) > 5e-4:
            off.add(cell)
        by_default += abs(weighted_tau(scores[cell], known) - published) <= 5e-4
    assert n_cells == 72
    assert off == {(method, "Aircraft") for method in ("LEEP", "LogME", "NLEEP")}
    assert by_default == 2  # so that it is the convention that is tested
