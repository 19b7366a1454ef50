"""The figures of docs/evidence.md, realdata.md and recommended.md, recomputed where data ship."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

import transferability as tx
from transferability.agreement import regret, weighted_tau

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Metrics that are computed in a second or two on both tasks, and do not draw random numbers.
FAST = ("cka", "gbc", "h_score", "knn", "lfc", "lin_mse", "logme", "regularized_h_score")
FAST += ("ridge_probe", "sfda", "transrate")

pytestmark = pytest.mark.filterwarnings("ignore::transferability.TransferabilityWarning")


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benches" / "python")
    import evidence

    return evidence


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def rows_of(text: str) -> dict[str, list[str]]:
    return {cells(line)[0]: cells(line)[1:] for line in text.splitlines() if line.startswith("| ")}


def part_of(evidence: Any, part: str) -> str:
    begin, end = evidence.marks(part)
    return str((DOCS / "evidence.md").read_text("utf-8").split(begin)[1].split(end)[0])


def test_tables_of_the_shipped_tasks_are_what_the_package_computes(evidence: Any) -> None:
    realdata, tables = evidence.realdata, evidence.read_tables()
    n_checked = 0
    for task, (title, rows) in zip(realdata.read_tasks(), tables.items(), strict=True):
        assert title == task.title
        shown = {row["metric"]: row for row in rows}
        heads = [head for head in rows[0] if re.match(r"(linear|fine)[^%]*$", head)]
        for name, scores, failed in realdata.orders(task, FAST):
            row = shown[f"{name} ({len(failed)} refused)" if failed else name]
            for head, truth in zip(heads, (task.probe, task.tuned), strict=True):
                known = {model: scores[model] for model in truth}
                tau = weighted_tau(known, truth, nan="last")
                # Printed to three decimals: half a unit, and its rounding.
                assert float(row[head]) == pytest.approx(tau, rel=0, abs=5.001e-4), (name, head)
            missed = regret(scores, task.probe, nan="last")
            assert float(row["regret"]) == pytest.approx(missed, rel=0, abs=5.001e-4), name
            best = task.probe[row["first model"]]
            assert max(task.probe.values()) - best == pytest.approx(missed, rel=0, abs=1e-12)
            n_checked += 1
    # Eleven metrics, nine variants of them, the number of features and the recommended order.
    assert n_checked == 2 * (11 + 9 + 2)


def test_the_interval_of_a_table_is_that_of_an_evaluation(evidence: Any) -> None:
    realdata = evidence.realdata
    task, rows = realdata.read_tasks()[0], next(iter(evidence.read_tables().values()))
    (row,) = (row for row in rows if row["metric"] == "LogME")
    ranking = tx.rank(task.features, task.labels, "logme", progress=False)
    scores = {one.name: one.value("logme") for one in ranking}
    # Which encoders a resample holds follows from their order: that of the truth, in the tables.
    in_order = {realdata.TOP: task.probe, "LogME": scores}
    low, high = realdata.evaluate(in_order, task.probe)["LogME"].ci()
    assert row["linear probe (22) 95 %"] == f"{low:.2f} to {high:.2f}"
    # Over seeds the ends have a standard deviation of 0.01, so 0.07 is five of a difference.
    others = ranking.evaluate(task.probe, n_boot=realdata.N_BOOT).ci()
    assert others == pytest.approx((low, high), rel=0, abs=0.07)


def test_published_tables_are_what_the_package_computes(evidence: Any) -> None:
    blocks = part_of(evidence, "published tables").split("\n**")[1:]
    n_cells = 0
    for make, block in zip(evidence.SHIPPED, blocks, strict=True):
        pool, shown = make(), rows_of(block)
        assert block.startswith(f"{pool.title}**: {pool.sizes} models, {len(pool.truth)} data sets")
        listed = {f"**{evidence.LIST}**": evidence.rank_elsewhere(pool.truth)}
        for title, scores in {**pool.scores, **listed}.items():
            one = evidence.measure(scores, pool.truth, n_boot=0)
            (row,) = (row for name, row in shown.items() if name.partition(" (")[0] == title)
            assert row[0] == f"{one.tau:.2f}", title
            assert row[-1] == f"{one.regret:.2f}", title
            n_cells += 1
        assert shown["random order"][-1] == f"{evidence.random_regret(pool.truth):.2f}"
    assert n_cells == (10 + 1) + 2 * (6 + 1)


def test_an_interval_of_the_published_tables(evidence: Any) -> None:
    pool = evidence.model_spider()
    one = evidence.measure(pool.scores["LogME"], pool.truth)
    block = part_of(evidence, "published tables").split("\n**")[1]
    assert rows_of(block)["LogME"][1] == evidence.interval(one.draws)
    narrower = np.nanstd(evidence.measure(pool.truth, pool.truth, n_boot=50).draws)
    assert narrower == pytest.approx(0, abs=1e-12)  # the truth agrees with itself in all resamples


def test_a_static_list_is_the_mean_of_ranks_elsewhere(evidence: Any) -> None:
    truth = {
        "a": {"x": 3.0, "y": 2.0, "z": 1.0},
        "b": {"x": 5.0, "y": 6.0, "z": 6.0},
        "c": {"x": 1.0, "y": 9.0},
    }
    found = evidence.rank_elsewhere(truth)
    # On b: y and z share the places above x, 0.75 each. On c: y beats x.
    assert found["a"] == {"x": 0.0, "y": (0.75 + 1) / 2, "z": 0.75}
    assert found["c"] == {"x": 0.5, "y": (0.5 + 0.75) / 2}


def test_a_random_pick_lacks_the_mean_gap(evidence: Any) -> None:
    assert evidence.random_regret({"a": {"x": 1.0, "y": 0.0}, "b": {"x": 5.0, "y": 5.0}}) == 0.25


def test_the_summary_is_that_of_the_tables(evidence: Any) -> None:
    summary = rows_of(part_of(evidence, "summary").split("\n\n")[1])
    for task, rows in enumerate(evidence.read_tables().values()):
        for row in rows:
            name = row["metric"].strip("*").partition(" (1 ")[0]
            if name in summary:
                values = list(row.values())
                assert summary[name][2 * task] == f"{values[1]} ({values[2]})"
                assert summary[name][2 * task + 1] == f"{values[3]} ({values[4]})"
    assert len(summary) == 1 + len(evidence.SUMMARY)


def test_figures_of_the_recommended_order_are_those_of_the_tables(evidence: Any) -> None:
    tasks = evidence.realdata.PAGE.read_text("utf-8").split("### ")[1:]
    tables = {part.partition(":")[0]: rows_of(part) for part in tasks}
    names = {
        "recommended": "**recommended**",
        "ridge_probe": "Ridge probe",
        "gbc, diagonal": "GBC (covariance diagonal)",
        "logme": "LogME",
        "logme, intercept": "LogME (intercept True)",
        "logme, intercept, z-scored": "LogME (intercept True, standardize True)",
        "parc": "PARC",
        "knn": "k-NN",
    }
    text = (DOCS / "recommended.md").read_text("utf-8").split("## Evidence")[1]
    first, second = re.findall(r"(?:^\|.*\n)+", text, re.M)
    places = (
        (first, [("deb_impl", 0), ("deb_impl", 2), ("glyph_greek", 0), ("glyph_greek", 2)]),
        (
            second,
            [("fortune, topic", 0), ("icons, context", 0), ("gm, family", 0), ("gm, pitch", 0)],
        ),
    )
    n_cells = 0
    for table, columns in places:
        for name, row in rows_of(table).items():
            values = [float(cell) for cell in row if re.match(r"-?\d", cell)]
            if len(values) == 5:
                # Means of values before they were rounded.
                assert values[4] == pytest.approx(np.mean(values[:4]), rel=0, abs=1.001e-3), name
            if name in names:
                for shown, (task, column) in zip(row, columns, strict=False):
                    rows = {key.partition(" (1 ")[0]: v for key, v in tables[task].items()}
                    assert shown == rows[names[name]][column], (name, task)
                    n_cells += 1
    assert n_cells == 4 * (7 + 4)


def test_equal_votes_of_the_recommended_pair(evidence: Any) -> None:
    text = (DOCS / "recommended.md").read_text("utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| equal votes"))
    found = []
    for task in evidence.realdata.read_tasks():
        members = ["ridge_probe", "logme"]
        ranking = tx.rank(task.features, task.labels, members, progress=False, intercept=True)
        votes = {one.name: one.value("consensus") for one in ranking.consensus()}
        for truth in (task.probe, task.tuned):
            found.append(weighted_tau({model: votes[model] for model in truth}, truth))
    assert cells(row)[1:5] == [f"{tau:.3f}" for tau in found]


def test_the_true_accuracies_are_as_described() -> None:
    rows = []
    for path in sorted((ROOT / "examples" / "data").glob("*_truth.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    assert len(rows) == 40
    assert sum(bool(row["finetune_accuracy"]) for row in rows) == 6 + 12


def test_pictures_of_the_page_exist_and_have_texts() -> None:
    text = (DOCS / "evidence.md").read_text("utf-8")
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+\.png)\)", text)
    assert len(pictures) == 2
    for alt, name in pictures:
        assert len(alt) > 60
        assert (DOCS / name).read_bytes().startswith(b"\x89PNG")
