"""Tables of results fit any terminal: wide letters, long names, line ends, many columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability._util.table import Table, table_of
from transferability._util.terminal import count_columns, wrap_text

PATH = "/data/experiments/2025/run_005/checkpoints/vit_large_patch14_clip_224-{}.npz"
NAMES = [PATH.format("a"), "模型一号", "two\nlines \x1b[31mred", "plain"]


@pytest.fixture(scope="module")
def ranking() -> tx.Ranking:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    known = np.eye(3)[labels]
    models = {
        name: np.hstack([known * (3 - i), rng.normal(size=(90, 3))])
        + 0.4 * rng.normal(size=(90, 6))
        for i, name in enumerate(NAMES)
    }
    return tx.rank(models, labels, ["logme", "h_score"])


def results(ranking: tx.Ranking) -> dict[str, Any]:
    truth = {name: 1 - 0.1 * i for i, name in enumerate(NAMES)}
    return {
        "ranking": ranking,
        "stability": ranking.stability(n_boot=20),
        "shortlist": ranking.shortlist(n_boot=20),
        "pareto": ranking.pareto({name: 10.0**i for i, name in enumerate(NAMES)}),
        "evaluation": ranking.evaluate(truth),
        "health": tx.health.check(np.random.default_rng(0).normal(size=(30, 4))),
    }


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("模型", 4),
        ("ﾓﾃﾞﾙ", 4),
        ("é", 1),
        ("e\u0301", 1),
        ("😀", 2),
        ("модель", 6),
        ("", 0),
    ],
)
def test_letters_take_the_columns_of_a_terminal(text: str, columns: int) -> None:
    assert count_columns(text) == columns


def test_wide_letters_keep_columns_aligned() -> None:
    table = Table("", ["model", "score"], [["模型一号", "0.1"], ["ab", "-0.25"]])
    assert {count_columns(line) for line in table.to_text().splitlines()} == {8 + 2 + 5}


@pytest.mark.filterwarnings("ignore::transferability.TransferabilityWarning")
def test_every_result_fits_a_terminal(ranking: tx.Ranking) -> None:
    for kind, result in results(ranking).items():
        assert result.to_text() == repr(result), kind
        for width in (60, 80):
            shown = result.to_text(width)
            for line in shown.splitlines():
                alone = NAMES[0] in line and len(line.replace(NAMES[0], "").strip()) < 10
                assert count_columns(line) <= width or alone, (kind, width, line)
            cells = [cell for line in table_of(result).body for cell in line if cell]
            if kind != "evaluation":  # its names are metrics
                cells = [cell.split("\n")[0] for cell in cells]
            assert all(cell in shown for cell in cells), kind


@pytest.mark.filterwarnings("ignore::transferability.TransferabilityWarning")
def test_names_cannot_break_a_line_or_colour_a_terminal(ranking: tx.Ranking) -> None:
    for kind, result in results(ranking).items():
        for shown in (repr(result), result.to_text(60), result._repr_html_()):
            assert "two\nlines" not in shown, kind
            assert "\x1b" not in shown, kind


def test_long_names_stand_above_their_numbers() -> None:
    table = Table("", ["model", "LogME", "notes"], [[PATH, "0.1", ""], ["b", "-0.25", "good"]])
    lines = [
        "model",
        "    LogME  notes",
        PATH,
        "      0.1",
        "b",
        "    -0.25   good",
    ]
    assert table.to_text(60).splitlines() == lines
    assert table.to_text(200).splitlines()[1].startswith(PATH + "    0.1")


def test_a_rank_stands_before_a_name_on_a_line_of_its_own() -> None:
    body = [["1", PATH, "head", "0.1"], ["", "", "stem", "0.2"], ["10", "b", "out", "0.3"]]
    header = ["rank", "model", "layer", "LogME"]
    table = Table("", header, body, left={1, 2}, name=1, keys=3)
    assert table.to_text(60).splitlines() == [
        *("rank  model", "      layer  LogME"),
        *(f"   1  {PATH}", "      head     0.1", "      stem     0.2"),
        *("  10  b", "      out      0.3"),
    ]


def test_lines_break_by_the_columns_of_their_letters() -> None:
    assert wrap_text("模型 模型 模型", 10) == "模型 模型\n    模型"
    assert wrap_text("one two", 7) == "one two"
    assert wrap_text(f"see {PATH} there", 20) == f"see\n    {PATH}\n    there"
    assert wrap_text("a b", None) == "a b"
