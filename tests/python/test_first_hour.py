"""The walks of a newcomer in a terminal print what was reviewed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent.parent / "first_hour"


def load() -> ModuleType:
    """Import the script that runs the walks."""
    spec = importlib.util.spec_from_file_location("first_hour_terminal", FOLDER / "terminal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


terminal = (
    load() if sys.platform == "linux" and FOLDER.is_dir() else ModuleType("terminal")
)  # elsewhere there is no pseudo-terminal
NAMES = sorted(path.stem for path in (FOLDER / "walks").glob("*.sh"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("name", NAMES)
def test_a_walk_prints_what_was_reviewed(name: str) -> None:
    """At 80 columns; after a wanted change: python tests/first_hour/terminal.py --update."""
    assert not terminal.compare(name, 80)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_no_walk_advises_in_python() -> None:
    for path in (FOLDER / "snapshots").glob("*.txt"):
        text = " ".join(path.read_text("utf-8").split())
        for advice in ("task=", "; pass ", "call transferability", "keep_features=", "rank_models"):
            assert advice not in text, path.name


def test_a_screen_shows_what_stands_there_in_the_end() -> None:
    if sys.platform != "linux":
        pytest.skip("needs a pseudo-terminal")
    raw = "one\r\n 10 %|##   |\r 100 %\r             \rdone\r\n\x1b[31mabcdef\x1b[0m\r\n"
    assert [*terminal.draw_screen(raw, 4)] == ["one", "done", "abcd", "ef"]
    table = ["rank  model  seconds  notes", "   1  a       12.345  x", "", "   1  a       12.345"]
    assert [*terminal.hide_times(table)][1:] == ["   1  a        0.000  x", "", table[3]]
