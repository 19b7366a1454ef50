"""The first hour of users: what they see is what was reviewed (tests/first_hour/run.py)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "first_hour"
sys.path.insert(0, str(FOLDER))
run, snapshots, walk_in_notebook = (
    importlib.import_module(name) for name in ("run", "snapshots", "walk_in_notebook")
)
needs_terminal = pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")


def name_of(walk: Path) -> str:
    return walk.stem


@needs_terminal
@pytest.mark.parametrize("walk", run.find_walks(".sh"), ids=name_of)
def test_a_terminal_shows_what_was_reviewed(walk: Path) -> None:
    """At 80 columns; a maintainer looks at 120 too."""
    for name, text in run.run(walk, widths=[80]).items():
        difference = snapshots.compare(name, text)
        assert not difference, f"{difference}\n{advise(walk)}"


@pytest.mark.parametrize("walk", run.find_walks(".ipynb"), ids=name_of)
def test_a_notebook_shows_what_was_reviewed(walk: Path) -> None:
    """A process of its own, because warnings of Jupyter would be errors here."""
    command = [sys.executable, str(FOLDER / "run.py"), walk.stem]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{advise(walk)}"


def advise(walk: Path) -> str:
    return f"review it, and run: python tests/first_hour/run.py --write {walk.stem}"


def test_no_walk_in_a_terminal_advises_in_python() -> None:
    for path in (FOLDER / "snapshots").glob("*.txt"):
        text = " ".join(path.read_text("utf-8").split())
        for advice in ("task=", "; pass ", "call transferability", "keep_features=", "rank_models"):
            assert advice not in text, path.name


@needs_terminal
def test_a_screen_shows_what_stands_there_in_the_end() -> None:
    from walk_in_terminal import draw_screen  # type: ignore[import-not-found]

    raw = "one\r\n 10 %|##   |\r 100 %\r             \rdone\r\n\x1b[31mabcdef\x1b[0m\r\n"
    assert [*draw_screen(raw, 4)] == ["one", "done", "abcd", "ef"]


def test_html_is_read_as_lines_whose_empty_cells_have_their_place() -> None:
    row = "<tr><td></td><td>a</td><td><b>1</b></td><td></td></tr>"
    text = str(walk_in_notebook.Texts(f"<style>x</style><p>one</p><table>{row}</table><p></p>"))
    assert text == "one\n | a | 1 | "


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("rank 1  -0.9054  93%", "rank 1  -0.9055  92%", True),
        ("rank 1  -0.9054", "rank 1  -0.9058", False),
        ("rank 1", "rank 2", False),
        ("800 rows", "801 rows", False),
        ("first 93%", "first 96%", False),
        ("first <1%", "first 1%", False),
        ("x 1.20e-05", "x 1.21e-05", True),
        ("x 1.20e-05", "x 1.20e-06", False),
        ("a  0.5", "b  0.5", False),
        ("0.5", "0.5 0.5", False),
        ("1,234.5", "1,234.6", True),
    ],
)
def test_numbers_may_differ_by_rounding_alone(one: str, other: str, alike: bool) -> None:
    assert snapshots.is_alike(one, other) == alike
    assert snapshots.is_alike(other, one) == alike


def test_seconds_are_hidden_and_nothing_else() -> None:
    text = "rank  model    LogME    D  seconds  notes\n   1  a      -0.1234  384    0.019\n\n1  0.5"
    shown = snapshots.hide_seconds(text).splitlines()
    assert shown[1] == "   1  a      -0.1234  384        …"
    assert shown[3] == "1  0.5"
    hidden = snapshots.hide_seconds("a | seconds\nb | 0.5\nc\nd | 7")
    assert hidden == "a | seconds\nb | …\nc\nd | 7\n"
    head = "<table><thead><tr><th>model</th><th>seconds</th></tr></thead>"
    table = f"{head}<tbody><tr><th>a</th><td>1</td><td>0.5</td></tr></tbody></table>"
    hidden = snapshots.hide_of_page(table + table.replace(">seconds<", ">score<"))
    assert hidden == table.replace("0.5", "…") + table.replace(">seconds<", ">score<")
