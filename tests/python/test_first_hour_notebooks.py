"""The first hour in notebooks: what people see is what was reviewed (tests/first_hour/run.py)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

RUNNER = Path(__file__).parents[1] / "first_hour" / "run.py"


def load_runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_hour", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


first_hour = load_runner()


@pytest.mark.parametrize("walk", first_hour.find_walks(), ids=lambda walk: walk.stem)
def test_people_see_what_was_reviewed(walk: Path) -> None:
    """A process of its own, because warnings of Jupyter would be errors here."""
    command = [sys.executable, str(RUNNER), walk.stem]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    advice = f"review it, and run: python tests/first_hour/run.py --write {walk.stem}"
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{advice}"


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
    assert first_hour.is_alike(one, other) == alike
    assert first_hour.is_alike(other, one) == alike


def test_seconds_are_hidden_and_nothing_else() -> None:
    text = "rank  model    LogME    D  seconds  notes\n   1  a      -0.1234  384    0.019\n\n1  0.5"
    shown = first_hour.hide_seconds(text).splitlines()
    assert shown[1] == "   1  a      -0.1234  384        …"
    assert shown[3] == "1  0.5"
    assert (
        first_hour.hide_seconds("a | seconds\nb | 0.5\nc\nd | 7")
        == "a | seconds\nb | …\nc\nd | 7\n"
    )
    head = "<table><thead><tr><th>model</th><th>seconds</th></tr></thead>"
    table = f"{head}<tbody><tr><th>a</th><td>1</td><td>0.5</td></tr></tbody></table>"
    hidden = first_hour.hide_seconds_of_page(table + table.replace(">seconds<", ">score<"))
    assert hidden == table.replace("0.5", "…") + table.replace(">seconds<", ">score<")
