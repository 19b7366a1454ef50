"""What a ranking's table says: ranks, layers, and every note in full, in every format."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability._ranking.ranking import Ranking
from transferability._ranking.row import Row
from transferability.agreement._csv import read_columns, read_ranking

LONG = "the first of the notes, which is longer than any table could show beside a model"


def make_ranking(*rows: Row, metrics: tuple[str, ...] = ("logme",)) -> Ranking:
    return Ranking(rows, metrics, "classification", "", "")


def make_row(name: str, value: float, **facts: Any) -> Row:
    x = np.random.default_rng(0).normal(size=(40, 4))
    score = tx.logme(x, np.arange(40) % 2).replace(value=value)
    return Row(name, {"logme": score}, 40, 4, 0.5, **facts)


def make_failed(name: str) -> Row:
    return Row(name, {}, None, None, 0.0, error="it has no rows")


@pytest.fixture
def layered() -> Ranking:
    """Two models with three layers each, of other widths."""
    scores = {
        name: {
            layer: {"logme": tx.logme(np.random.default_rng(i).normal(size=(40, i + 2)), labels)}
            for i, layer in enumerate(("stem", "block", "head"))
        }
        for name, labels in (("a", np.arange(40) % 2), ("b", np.arange(40) % 3))
    }
    rows = [
        make_row(name, -own, layer="head", layers=scores[name]) for own, name in enumerate(scores)
    ]
    return make_ranking(*rows)


def test_a_model_without_a_score_has_no_rank() -> None:
    ranking = make_ranking(
        make_failed("broken"), make_row("nan", math.nan), make_row("b", 0.1), make_row("a", 0.2)
    )
    assert [(row.name, row.rank) for row in ranking] == [
        *(("a", 1), ("b", 2), ("nan", None), ("broken", None))
    ]
    rows = json.loads(ranking.to_json())["rows"]
    assert [row["rank"] for row in rows] == [1, 2, None, None]
    assert [line.split(",")[0] for line in ranking.to_csv().splitlines()] == [
        "rank",
        "1",
        "2",
        "",
        "",
    ]
    assert repr(ranking).splitlines()[-4].split() == ["nan", "nan", "4", "0.500"]
    assert "|  | broken |" in ranking.to_markdown()
    assert re.search(r"<td[^>]*></td><td[^>]*>broken</td>", ranking._repr_html_())
    frame = ranking.to_pandas()
    assert frame["rank"].isna().tolist() == [False, False, True, True]
    alone = make_ranking(make_failed("broken"))
    assert json.loads(alone.to_json())["rows"][0]["rank"] is None


def test_notes_are_whole_and_stand_once_with_their_models() -> None:
    rows = [make_row(name, i, notes=(LONG, "from the cache")) for i, name in enumerate("abcdef")]
    rows[0] = make_row("a", 9, notes=("only of this model, " * 9,))
    ranking = make_ranking(*rows)
    text = repr(ranking)
    lines = text.splitlines()
    assert lines[3].split()[-1] == "[1]"
    assert lines[4].endswith("[2] from the cache")  # a short note needs no number
    assert f"[1] a: {rows[0].notes[0]}" in text
    assert f"[2] f, e, d, c and 1 more: {LONG}" in text
    assert text.count(LONG) == 1
    assert "…" not in text
    for other in (ranking.to_markdown(), ranking._repr_html_()):
        assert f"[2] f, e, d, c and 1 more: {LONG}" in other
    every = make_ranking(*(row.replace(notes=(LONG,)) for row in rows))
    assert f"[1] all 6 models: {LONG}" in repr(every)


def test_layers_stand_below_their_model(layered: Ranking) -> None:
    lines = repr(layered).splitlines()
    assert lines[2].split() == ["rank", "model", "layer", "LogME", "D", "seconds", "notes"]
    first = layered["a"]
    assert lines[3].split()[:3] == ["1", "a", "head"]
    for line, (layer, width) in zip(lines[4:6], (("stem", 2), ("block", 3)), strict=True):
        assert line.split() == [layer, f"{float(first.layers[layer]['logme']):.4f}", str(width)]
    assert lines[6].split()[:3] == ["2", "b", "head"]
    assert "| 1 | a | head |" in layered.to_markdown()
    assert repr(make_ranking(first.replace(layers={}))).splitlines()[2].split()[2] == "LogME"


def test_layers_in_csv_and_frames(layered: Ranking, tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas")
    assert layered.to_pandas()["model"].tolist() == ["a", "b"]  # a line a model, as before
    frame = layered.to_pandas(layers=True)
    assert frame["layer"].tolist() == ["head", "stem", "block"] * 2
    assert frame["rank"].isna().tolist() == [False, True, True] * 2
    assert frame["n_features"].tolist()[1:3] == [2, 3]
    pandas.testing.assert_frame_equal(
        pandas.read_csv(io.StringIO(layered.to_csv(layers=True)))[["layer", "logme"]],
        frame[["layer", "logme"]],
    )
    path = tmp_path / "ranking.csv"
    path.write_text(layered.to_csv(layers=True))
    scores = read_ranking(str(path))
    assert scores == {"logme": {"a": 0.0, "b": -1.0}}  # of the models, not of their layers
    assert "n_features" in read_columns(str(path))


def test_columns_that_compare_models_are_empty_for_layers() -> None:
    x = np.random.default_rng(0).normal(size=(40, 4))
    found = tx.score(x, np.arange(40) % 2, ["logme", "h_score"])
    layers = {"one": dict(found), "two": dict(found)}
    row = Row("a", dict(found), 40, 4, 0.1, layer="two", layers=layers)
    ranking = make_ranking(row, row.replace(name="b"), metrics=("logme", "h_score")).consensus()
    lines = repr(ranking).splitlines()
    assert lines[4].split()[0] == "one"
    assert len(lines[3].split()) == len(lines[4].split()) + 4  # rank, model, consensus, seconds


def test_a_split_table_repeats_no_layers_of_which_it_says_nothing(layered: Ranking) -> None:
    layered = layered.replace(rows=[row.replace(notes=("cached",)) for row in layered])
    width = repr(layered).splitlines()[2].index("notes")
    one, two = layered.to_text(width).partition("\n\n")[2].split("\n\n")[:2]
    assert [line.split()[1:3] for line in two.splitlines()[1:]] == [["a", "head"], ["b", "head"]]
    assert len(one.splitlines()) == 7  # the header, and three layers of two models
    assert "notes" not in one


def test_a_narrow_terminal_splits_the_table() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    names = ["logme", "h_score", "regularized_h_score", "lfc", "cka", "transrate", "gbc"]
    ranking = tx.rank({"a": x, "model of a long name": x[::-1]}, x[:, 0] > 0, names)
    ranking = ranking.replace(rows=[row.replace(notes=(LONG,)) for row in ranking])
    assert ranking.to_text() == repr(ranking)
    assert ranking.to_text(500) == repr(ranking)
    for width in (60, 80):
        lines = ranking.to_text(width).splitlines()
        assert max(map(len, lines)) <= width
        assert sum(line.startswith("rank  model") for line in lines) > 1
        shown = " ".join(" ".join(lines).split())
        assert LONG in shown
        for title in ("H-score", "GBC", "seconds"):
            assert title in shown
    assert "seconds" in ranking.to_text(10)  # narrower than any column


def test_notes_are_separated_in_columns() -> None:
    ranking = tx.rank({"a": np.random.default_rng(0).normal(size=(30, 4))}, np.arange(30) % 2)
    row = ranking["a"].replace(notes=("from the cache", "a note"))
    assert ",from the cache; a note," in ranking.replace(rows=(row,)).to_csv()


@pytest.mark.parametrize("name", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b"])
def test_a_name_with_a_line_end_stays_one_cell(tmp_path: Path, name: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    ranking = tx.rank({name: x, "other": x[:, :1]}, x[:, 0] > 0)
    path = tmp_path / "ranking.csv"
    path.write_bytes(ranking.to_csv().encode())
    assert read_ranking(str(path))["logme"] == {row.name: row.value("logme") for row in ranking}
    plain = tx.rank({"one": x, "other": x[:, :1]}, x[:, 0] > 0).to_csv()
    assert "\r" not in plain
    assert plain.endswith("\n")
