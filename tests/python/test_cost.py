"""Costs of models: rows, tables, the Pareto front, its plot, and the command line."""

from __future__ import annotations

import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError, DtypeError
from transferability._metric.score import Score
from transferability._ranking.pareto import find_front
from transferability._ranking.row import Row

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 3, 240)
MODELS = {f"m{i}": RNG.normal(size=(240, 6)) + i / 3 * np.eye(6)[LABELS] for i in range(4)}
COSTS = {
    "parameters": {"m0": 1e6, "m1": 5e6, "m2": 86e6, "m3": 25e6},
    "rows_per_second": {"m0": 900.0, "m1": 400, "m2": 30, "m3": 100},
}


@pytest.fixture(scope="module")
def ranking() -> tx.Ranking:
    return tx.rank(MODELS, LABELS, ["logme", "knn"], costs=COSTS)


def rows_of(scores: list[float], costs: list[float]) -> list[Row]:
    """Rows with these scores and costs; a score's other facts do not matter here."""
    score = tx.logme(MODELS["m0"], LABELS)
    assert isinstance(score, Score)
    return [
        Row(f"m{i:02}", {"logme": score.replace(value=s)}, 1, 1, 0.0, costs={"cost": c})
        for i, (s, c) in enumerate(zip(scores, costs, strict=True))
    ]


def test_rows_have_their_costs(ranking: tx.Ranking) -> None:
    assert ranking["m2"].costs == {"parameters": 86e6, "rows_per_second": 30}
    facts = json.loads(ranking.to_json())["rows"][0]
    assert facts["costs"] == ranking.best.costs
    assert "costs" not in tx.rank(MODELS, LABELS).to_dict()["rows"][0]


def test_tables_for_programs_have_columns_of_costs(ranking: tx.Ranking, tmp_path: Path) -> None:
    header, first = ranking.to_csv().splitlines()[:2]
    assert "cost:parameters,cost:rows_per_second" in header
    assert "25000000" in first
    assert "cost" not in tx.rank(MODELS, LABELS).to_csv()
    # they are no scores for ``transferability eval``
    from transferability.agreement._csv import read_ranking

    (tmp_path / "ranking.csv").write_text(ranking.to_csv())
    assert set(read_ranking(str(tmp_path / "ranking.csv"))) == {"logme", "knn"}


def test_the_front_of_a_cost_and_of_a_rate(ranking: tx.Ranking) -> None:
    assert ranking.names == ("m3", "m2", "m1", "m0")
    front = ranking.pareto("parameters")
    assert front.names == ("m3", "m1", "m0")
    assert front.beaten_by == {"m2": "m3"}
    assert "m2" not in front
    rates = ranking.pareto("rows_per_second")
    assert rates.names == ("m3", "m1", "m0")
    assert "higher is better" in repr(rates)
    assert "beaten by m3" in repr(front)
    assert front.to_dict()["costs"]["m2"] == 86e6
    assert ranking.pareto({"m3": 9, "m2": 1, "m1": 5}).names == ("m3", "m2")
    assert ranking.pareto({"m3": 9, "m2": 1}).left_out == ("m1", "m0")
    assert ranking.pareto("n_features").names == ("m3",)
    assert ranking.pareto(metric="knn").metric == "knn"
    assert ranking.pareto("seconds").cost == "seconds"


@pytest.mark.parametrize("name", ["seconds", "n_features"])
def test_costs_that_are_given_go_before_those_of_the_rows(name: str) -> None:
    own = {"m0": 1.0, "m1": 2, "m2": 3, "m3": 4}
    assert tx.rank(MODELS, LABELS, costs={name: own}).pareto(name).costs == own


def test_wrong_columns_are_named_before_any_model_is_scored() -> None:
    def report(n_done: int, total: int, name: str) -> None:
        raise AssertionError("no model should be scored")

    with pytest.raises(DataError, match="which is no model here"):
        tx.rank(MODELS, LABELS, costs={"parameters": {"x": 1}}, progress=report)
    with pytest.raises(DataError, match="prior has 'x', which is no model here"):
        tx.rank(MODELS, LABELS, prior={"x": 1}, progress=report)


def test_tables_may_have_further_models() -> None:
    """A name that is no model is refused only where it may be a misspelt one."""
    own = {"m0": 1.0, "m1": 2, "m2": 3, "m3": 4}
    more = {"other": 9.0, **own}
    ranking = tx.rank(MODELS, LABELS, prior=more, costs={"price": more})
    plain = tx.rank(MODELS, LABELS, prior=own, costs={"price": own})
    assert ranking.to_dict()["metrics"] == plain.to_dict()["metrics"]
    for row in ranking:
        assert (row.prior, row.costs) == (plain[row.name].prior, plain[row.name].costs)
    assert ranking.pareto(more).costs == plain.pareto(own).costs
    misspelt = {"M3": 4.0, "m0": 1.0, "m1": 2, "m2": 3}
    for wrong in ({"prior": misspelt}, {"costs": {"price": misspelt}}):
        with pytest.raises(
            DataError, match="has 'M3', which is no model here, and nothing for 'm3"
        ):
            tx.rank(MODELS, LABELS, **wrong)


def test_a_shortlist_says_how_to_leave_out_an_incomplete_prior() -> None:
    ranking = tx.rank(MODELS, LABELS, prior={"m0": 1.0, "m1": 2})
    with pytest.raises(DataError, match=r"of 4 models.* leave prior out \(prior=False\)"):
        ranking.shortlist()
    assert ranking.shortlist(prior=False).prior is None


FINITE = st.floats(-3, 3).map(lambda value: round(value, 1))


@given(st.lists(st.tuples(FINITE, st.integers(0, 4)), min_size=1, max_size=12), st.booleans())
def test_the_front_by_its_definition(pairs: list[tuple[float, int]], rate: bool) -> None:
    rows = rows_of([s for s, _ in pairs], [float(c) for _, c in pairs])
    name = "rows_per_second" if rate else "cost"
    rows = [row.replace(costs={name: row.costs["cost"]}) for row in rows]
    front = find_front(rows, "logme", name)
    sign = -1 if rate else 1

    def beats(one: Row, other: Row) -> bool:
        a, b = one.value("logme"), other.value("logme")
        x, y = sign * one.costs[name], sign * other.costs[name]
        return a >= b and x <= y and (a > b or x < y)

    expected = {row.name for row in rows if not any(beats(other, row) for other in rows)}
    assert set(front.names) == expected
    by_name = {row.name: row for row in rows}
    for beaten, by in front.beaten_by.items():
        assert by in expected
        assert beats(by_name[by], by_name[beaten])
    assert len(front.names) + len(front.beaten_by) == len(rows)
    values = [front.scores[name] for name in front.names]
    assert all(a >= b for a, b in itertools.pairwise(values))


def test_failed_models_and_infinite_scores() -> None:
    models = MODELS | {"broken": np.full((240, 6), np.nan)}
    ranking = tx.rank(models, LABELS, costs={"parameters": {**COSTS["parameters"], "broken": 1.0}})
    assert ranking.pareto().left_out == ("broken",)
    front = find_front(rows_of([math.inf, math.inf, 0.0], [3.0, 2.0, 1.0]), "logme", "cost")
    assert front.names == ("m01", "m02")


def test_costs_survive_merging_and_pickling(ranking: tx.Ranking) -> None:
    import pickle

    names = [*MODELS]
    parts = [
        tx.rank({k: MODELS[k] for k in own}, LABELS, costs={"parameters": {own[0]: 1.0}})
        for own in (names[:2], names[2:])
    ]
    assert (parts[0] + parts[1])["m2"].costs == {"parameters": 1.0}
    assert pickle.loads(pickle.dumps(ranking.pareto())).names == ranking.pareto().names


def test_statistics_take_costs_too() -> None:
    states = {name: tx.Stats().update(x, LABELS) for name, x in MODELS.items()}
    assert tx.rank(states, costs=COSTS).pareto().names == ("m3", "m1", "m0")


@pytest.mark.parametrize(
    ("costs", "error", "message"),
    [
        ([1, 2], DtypeError, "costs must map names of costs to numbers by model"),
        ({"m0": 3.0}, DtypeError, r"costs\['m0'\] must map models to numbers"),
        ({"parameters": {"x": 1}}, DataError, r"costs\['parameters'\] has 'x', which is no model"),
        ({"parameters": {"m0": "big"}}, DtypeError, r"costs\['parameters'\]\['m0'\] is 'big'"),
        ({"parameters": {"m0": -1}}, DataError, r"\['m0'\] is -1; give a finite number"),
        ({"parameters": {"m0": math.nan}}, DataError, r"\['m0'\] is nan"),
    ],
)
def test_wrong_costs_are_named(costs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tx.rank(MODELS, LABELS, costs=costs)


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        ("memory", DataError, "no model has a cost 'memory'; there are parameters, rows_per_sec"),
        (3, DtypeError, "cost must be the name of a cost or numbers by model"),
        ({"x": 1.0}, DataError, "'x', which is no model here"),
        ({}, DataError, "no model has both a logme and a cost"),
    ],
)
def test_wrong_costs_of_a_front_are_named(
    ranking: tx.Ranking, cost: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ranking.pareto(cost)
    with pytest.raises(DataError, match="metric is 'leep'"):
        ranking.pareto(metric="leep")


def test_the_plot_joins_the_front(ranking: tx.Ranking) -> None:
    pytest.importorskip("matplotlib")
    stability = ranking.stability()
    ax = tx.plot.cost(ranking, "parameters", stability)
    ax.figure.savefig(io.BytesIO(), format="png", dpi=40)
    others, front = ax.lines
    assert list(front.get_xdata()) == [25e6, 5e6, 1e6]
    assert front.get_ydata() == pytest.approx(
        [ranking[m].value("logme") for m in ("m3", "m1", "m0")]
    )
    assert list(others.get_xdata()) == [86e6]
    assert [text.get_text() for text in ax.texts] == ["m3", "m1", "m0"]
    assert ax.get_xscale() == "log"
    assert len(ax.collections[0].get_segments()) == 4
    assert ax.get_xlabel() == "parameters, lower is better"
    rates = tx.plot.cost(ranking, "rows_per_second")
    assert rates.get_xlabel() == "rows per second, higher is better"
    near = tx.plot.cost(ranking, {"m0": 1.0, "m1": 2.0})
    assert near.get_xscale() == "linear"
    with pytest.raises(DataError, match="stability is of logme"):
        tx.plot.cost(ranking, "parameters", stability, metric="knn")
    with pytest.raises(DataError, match="no model has a cost 'memory'"):
        tx.plot.cost(ranking, "memory")


def test_the_report_has_a_section_of_costs(ranking: tx.Ranking) -> None:
    page = tx.report.html(ranking)
    assert "<h2>Costs</h2>" in page
    assert "25,000,000" not in page or "on the front" in page
    assert "except for rows_per_second" in page
    assert "<h2>Costs</h2>" not in tx.report.html(tx.rank(MODELS, LABELS))


def test_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    np.savez(tmp_path / "all.npz", labels=LABELS, **MODELS)
    path = tmp_path / "costs.csv"
    lines = [f"{name},{COSTS['parameters'][name]}" for name in MODELS]
    path.write_text("\n".join(["model,parameters", *lines, "another,3"]))
    command = ["rank", str(tmp_path / "all.npz"), "--costs", str(path)]
    result = CliRunner().invoke(main, [*command, "--pareto", "parameters"])
    assert result.exit_code == 0, result.output
    expected = tx.rank(MODELS, LABELS, costs={"parameters": COSTS["parameters"]}).pareto()
    assert result.stdout.rstrip() == repr(expected)
    facts = json.loads(
        CliRunner().invoke(main, [*command, "--pareto", "parameters", "--json"]).stdout
    )
    assert facts["names"] == ["m3", "m1", "m0"]
    assert "cost:parameters" in CliRunner().invoke(main, [*command, "--csv"]).stdout
    result = CliRunner().invoke(main, [*command, "--pareto", "memory"])
    assert result.exit_code not in (0, 2)
    assert "no model has a cost 'memory'" in result.output
    result = CliRunner().invoke(main, [*command, "--pareto", "parameters", "--shortlist"])
    assert result.exit_code == 2
    path.write_text("model,seconds,rank\nm0,4,1\nm1,3,1\nm2,2,2\nm3,1,2\n")
    result = CliRunner().invoke(main, [*command, "--pareto", "seconds", "--json"])
    assert json.loads(result.stdout)["costs"] == {"m3": 1, "m2": 2, "m1": 3, "m0": 4}
    path.write_text("model,parameters\nm0,3\n")
    result = CliRunner().invoke(main, [*command, "--pareto", "parameters"])
    assert "has no cost for m1, m2, m3" in result.stderr
