"""Long computations say what they are at: on the bar of a ranking, on a line for a single model."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import transferability as tx
from transferability._util import progress, stages
from transferability._util.stages import listen, stage, within
from transferability.cli import main

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 200)
X = RNG.normal(size=(200, 6)) + 2 * np.eye(3, 6)[LABELS]


class Bar:
    """A tqdm bar that keeps what it shows."""

    def __init__(self, **options: Any) -> None:
        self.texts: list[str] = []
        self.n, self.options = 0, options

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.texts.append("closed")

    def set_postfix_str(self, text: str) -> None:
        self.texts.append(text)

    set_description_str = set_postfix_str

    def update(self, n: int) -> None:
        self.n += n


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Bar:
    made = Bar()
    monkeypatch.setattr(progress, "open_bar", lambda progress, **options: made)
    monkeypatch.setattr(progress, "_OFTEN", 0.0)
    return made


def test_stages_are_heard_by_the_innermost_listener_with_their_path() -> None:
    stage("nobody hears this")
    heard: list[str] = []
    with listen(heard.append):
        stage("a")
        with within("b"):
            stage("c")
            with within("d"):
                stage("e")
        stage("f")
        other = threading.Thread(target=stage, args=("of another thread",))
        other.start()
        other.join()
    stage("nobody")
    assert heard == ["a", "b", "b: c", "b: d", "b: d: e", "f"]
    with pytest.raises(ValueError, match="failed"), listen(heard.append), within("x"):
        raise ValueError("failed")
    assert stages._LISTENER.get() is None


def test_n_leep_tells_what_it_is_at() -> None:
    pytest.importorskip("sklearn")
    heard: list[str] = []
    with listen(heard.append):
        tx.n_leep(X, LABELS)
    assert heard[:3] == [
        "n_leep",
        "n_leep: principal components",
        "n_leep: k-means with 15 clusters",
    ]
    assert all(re.fullmatch(r"n_leep: iteration \d+ of at most 100", text) for text in heard[3:])
    assert len(heard) > 4


@pytest.mark.parametrize("n_models", [1, 6])
def test_the_bar_of_a_ranking_shows_stages_before_a_model_is_done(bar: Bar, n_models: int) -> None:
    pytest.importorskip("sklearn")
    models = {f"m{i}": X + i for i in range(n_models)}
    tx.rank(models, LABELS, ["n_leep", "knn"], progress=True)
    first_done = bar.texts.index(next(text for text in bar.texts if text in models))
    before = bar.texts[:first_done]
    assert re.fullmatch(r"m\d: reading", before[0])
    assert any(re.fullmatch(r"m\d: n_leep: iteration \d+ of .*", text) for text in before)
    assert any(re.fullmatch(r"m\d: knn", text) for text in bar.texts)
    assert bar.n == n_models
    assert bar.texts[-1] == "closed"


def test_functions_hear_of_models_that_are_done_alone() -> None:
    heard: list[tuple[int, int, str]] = []
    tx.rank({"a": X, "b": X}, LABELS, "knn", progress=lambda *state: heard.append(state))
    assert [state[:2] for state in heard] == [(1, 2), (2, 2)]


def test_the_scores_do_not_depend_on_displays(bar: Bar) -> None:
    shown = tx.rank({"a": X}, LABELS, ["logme", "knn"], progress=True)
    assert shown["a"].scores == tx.rank({"a": X}, LABELS, ["logme", "knn"])["a"].scores


def test_the_command_line_shows_stages_on_a_terminal(
    tmp_path: Path, bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", LABELS)
    asked = ["score", str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "--metrics", "n_leep"]
    done = CliRunner().invoke(main, asked)
    assert "n_leep: principal components" in bar.texts
    assert done.stdout.startswith("n_leep\t")
    monkeypatch.undo()
    assert CliRunner().invoke(main, asked).stderr == ""  # no terminal


def test_without_tqdm_stages_are_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "open_bar", lambda progress, **options: None)
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    with progress.show_stages():
        stage("first")
        stage("second")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["first, after 0 s", "second, after 0 s"]
    with progress.show_stages(False):
        stage("third")
    assert capsys.readouterr().err == ""


def test_one_slow_metric_says_what_it_is_at(bar: Bar, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    tx.n_leep(X, LABELS)
    assert bar.texts == []  # neither a notebook nor a terminal
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    tx.n_leep(X, LABELS)
    assert bar.texts == []  # it took no second
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    tx.score(X, LABELS, ["logme", "n_leep"])
    assert bar.texts[1] == "n_leep: principal components"
    assert bar.texts[-1] == "closed"


def test_a_single_score_is_silent_where_that_is_asked(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    tx.score(X, LABELS, "logme")
    other = threading.Thread(target=tx.n_leep, args=(X, LABELS))
    other.start()
    other.join()
    assert bar.texts == []
    heard: list[str] = []
    with listen(heard.append):  # a display around it goes on
        tx.n_leep(X, LABELS)
    assert heard[0] == "n_leep"
    assert bar.texts == []
    with pytest.raises(tx.DtypeError, match="progress is 3"):
        tx.score(X, LABELS, "n_leep", progress=3)


def test_progress_decides_for_a_single_score(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("tqdm")
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    tx.score(X, LABELS, "n_leep", progress=False)
    assert capsys.readouterr().err == ""
    tx.score(X, LABELS, "n_leep", progress=True)
    assert "n_leep: principal components" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "room"), [(None, 30), (60, 12), (80, 12), (90, 20), (200, 30)])
def test_a_long_name_leaves_room_for_a_stage(
    bar: Bar, monkeypatch: pytest.MonkeyPatch, width: int | None, room: int
) -> None:
    monkeypatch.setattr(progress, "find_width", lambda stream: width)
    tx.rank({"a/very/long/path/to/" + "x" * 50: X}, LABELS, "knn", progress=True)
    assert {len(text.partition(": ")[0]) for text in bar.texts if ": " in text} == {room}
