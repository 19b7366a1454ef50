"""What a notebook shows: figures once, results as tables, and nothing of it restyled."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
import types
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from test_public_names import THINGS

import transferability as tx
from transferability._sweep.progress import Sweep, SweepState
from transferability._util import figures, notebook, notebook_bar, progress

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 6))
LABELS = X[:, 0] > 0
MODELS = {"good": X, "noisy": X + RNG.normal(size=X.shape), "<b>bad</b>": X[::-1]}
TRUTH = {"good": 0.9, "noisy": 0.8, "<b>bad</b>": 0.5}


def make_results() -> dict[str, Any]:
    """Return a result of every public class that holds results, by the name of the class."""
    ranking = tx.rank(MODELS, LABELS, ["logme", "knn"], keep_coef=True)
    sure = ranking.stability()
    evaluation = ranking.evaluate(TRUTH)
    forecast = tx.forecast.fit([100, 200, 400, 800], [0.61, 0.68, 0.735, 0.77])
    race = tx.rank({f"m{i}": X + i * RNG.normal(size=X.shape) for i in range(6)}, LABELS, race=True)
    probs = RNG.dirichlet([1] * 3, 240)
    given = {"source_probs": probs, "labels": np.arange(240) % 3}
    opc = np.array([10, 20, 40, 80])
    metric = np.log(opc) + np.array([0.1, 0, 0, 0.1])
    other = tx.forecast.fit([100, 200, 400, 800], [0.5, 0.6, 0.66, 0.7])
    found = [
        ranking,
        ranking.best,
        sure,
        sure.shortlist(),
        ranking.pareto(TRUTH),
        evaluation,
        evaluation.compare("logme", "knn"),
        ranking.teachers(2),
        ranking.best.logme,
        tx.score(X, LABELS, "all"),
        tx.health.check(X),
        forecast,
        forecast.plan(0.8),
        tx.forecast.compare({"one": forecast, "other": other}),
        tx.forecast.curve(X, LABELS, ["logme", "h_score"]),
        tx.forecast.rfml(opc, {"logme": metric}, 0.2 * np.log10(opc)),
        race.race,
        tx.compare_tasks({"near": given, "far": {**given, "labels": LABELS.astype(int)}}),
        tx.report.html(ranking, stability=sure),
    ]
    return {type(one).__name__: one for one in found}


RESULTS = make_results()
#: Public classes whose text is a short line, or that hold arrays or options and no result to read.
PLAIN = {
    *("Race", "RaceRound", "Norms", "Head", "ClassCovariances", "CodingRateReduction", "Engine"),
    *(
        "Block",
        "Model",
        "Rows",
        "Stats",
        "LogMEClassifier",
        "LogMERegressor",
        "Shard",
        "FeatureSource",
        "Layer",
    ),
}


class Reader(HTMLParser):
    """Reads HTML, refuses what is not balanced, and keeps tags, texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_shown_without_a_style_sheet(name: str) -> None:
    """Of the report alone there is one, which test_report.py keeps within it."""
    shown = Reader(RESULTS[name]._repr_html_())
    assert ("style" in shown.tags) == (name == "Page")
    assert not {"script", "link", "meta", "b"} & {*shown.tags}
    assert "".join(shown.texts).strip()


@pytest.mark.parametrize("name", ["Stability", "Shortlist", "ParetoFront", "Evaluation", "Health"])
def test_a_table_has_the_numbers_of_the_text(name: str) -> None:
    result = RESULTS[name]
    text, shown = repr(result), " ".join(Reader(result._repr_html_()).texts)
    for word in {word for word in text.split() if any(char.isdigit() for char in word)}:
        assert word in shown, word


def test_every_public_result_is_shown() -> None:
    classes = {
        thing.__name__
        for thing in THINGS.values()
        if inspect.isclass(thing)
        and not issubclass(thing, BaseException)
        and (dataclasses.is_dataclass(thing) or "__repr__" in vars(thing))
    }
    missing = {
        name for name in classes - PLAIN if not hasattr(RESULTS.get(name, object), "_repr_html_")
    }
    assert not missing, "give them _repr_html_, or a reason among PLAIN"


def test_names_and_notes_are_escaped_and_sides_are_those_of_the_columns() -> None:
    shown = notebook.to_html("<t>", ["a", "b"], [["<i>\x1b", "1"]], ["<n>"], {0})
    assert "&lt;t&gt;" in shown
    assert '<td style="text-align: left">&lt;i&gt;\\x1b</td>' in shown
    assert '<td style="text-align: right">1</td>' in shown
    assert "<li>&lt;n&gt;</li>" in shown
    assert "<table" not in notebook.text_to_html("one\n two")
    assert Reader(notebook.text_to_html("one\n two")).texts == ["one", "two"]


def test_scores_say_once_which_of_them_a_warning_is_of() -> None:
    x = np.random.default_rng(0).normal(size=(30, 40))
    with pytest.warns(tx.TransferabilityWarning):
        scores = tx.score(x, np.arange(30) % 2, ["logme", "h_score", "knn"])
    notes = [note for note in Reader(scores._repr_html_()).texts if note.startswith("Note: ")]
    texts = {text for score in scores.values() for text in score.warnings}
    assert texts
    assert len(notes) == len(texts)
    assert any(note.startswith("Note: H-score: ") for note in notes)


# --- figures --------------------------------------------------------------------------------------

SCRIPT = """
import sys, warnings
import matplotlib.pyplot as plt
import transferability as tx
warnings.simplefilter("error")  # pyplot warns of more than 20 open figures
layers = {"a": 1.0, "b": 2.0}
for _ in range(22):
    ax = tx.plot.layers(layers)
    ax.figure.savefig(sys.argv[1], dpi=20)
assert plt.get_fignums() == [ax.figure.number] and plt.gcf() is ax.figure
first = ax
ax = tx.plot.layers(layers)
assert plt.gcf() is ax.figure and len(plt.get_fignums()) == 1
plt.savefig(sys.argv[1])
first.figure.savefig(sys.argv[1])  # closed by pyplot, and whole
mine, own = plt.subplots()
ax = tx.plot.layers(layers)
assert plt.gcf() is mine and plt.gca() is own and not own.has_data()
tx.plot.layers(layers, ax=own)
assert len(plt.get_fignums()) == 2 and own.has_data()
tx.forecast.fit([100, 200, 400, 800], [0.61, 0.68, 0.735, 0.77]).plot()
assert plt.gcf() is mine and len(plt.get_fignums()) == 2  # the last of ours, and mine

import threading
def draw():
    made.append(tx.plot.layers(layers))
made = []
thread = threading.Thread(target=draw)
thread.start()
thread.join()
assert made[0].figure.canvas.manager is None and len(plt.get_fignums()) == 2
plt.close("all")
"""


def test_a_script_keeps_its_figures_and_collects_none_of_ours(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "a.png")],
        env={"MPLBACKEND": "agg", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").stat().st_size > 1000


def run_in_ipython(monkeypatch: pytest.MonkeyPatch, kernel: object) -> None:
    """Pretend that IPython runs; `kernel` is that of its shell."""
    shell = types.SimpleNamespace(kernel=kernel)
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)  # type: ignore[arg-type]


def test_in_a_notebook_figures_are_those_of_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its inline backend shows them below the cell; the walk of a notebook runs one."""
    import matplotlib.pyplot as plt

    run_in_ipython(monkeypatch, object())
    assert notebook.is_interactive()
    assert notebook.is_notebook()
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    monkeypatch.setattr(figures, "need", lambda *_, **__: plt)
    assert figures._find_pyplot() is plt
    run_in_ipython(monkeypatch, None)
    assert notebook.is_interactive()
    assert not notebook.is_notebook()
    monkeypatch.setitem(sys.modules, "IPython", None)  # type: ignore[arg-type]
    assert not notebook.is_interactive()
    assert figures._find_pyplot() is None


# --- progress -------------------------------------------------------------------------------------

LONG = "hf:an-organisation/" + "a-model-with-a-long-name-" * 5 + "v2"


@pytest.mark.parametrize("width", [60, 79, 100, 119, 200, 400])
@pytest.mark.parametrize("name", ["a", "timm:resnet50", LONG, ""])
def test_a_line_of_progress_fits_with_its_rate_and_time(width: int, name: str) -> None:
    for done in (0, 999, 123_456):
        state = SweepState(name, 3, 12, "extracting", done, 123_456, 1234.5, 3723.0, 3 << 30)
        line = state.fit(width)
        assert len(line) <= width
        assert "1,234 rows/s" in line
        assert "1:02:03 left" in line
        assert line.startswith("" if not name else ("model 3 of 12, ", "3/12 "))
        if len(name) < 20 and width > 110:
            assert line == str(state)
        elif name == LONG and width < 200:
            assert "…" in line
            assert line.partition(": ")[0].endswith("v2") or ":" not in line


def test_a_long_name_keeps_both_ends() -> None:
    assert notebook.shorten_middle("abcdefghij", 10) == "abcdefghij"
    assert notebook.shorten_middle("abcdefghij", 7) == "ab…ghij"
    assert [len(notebook.shorten_middle("abcdefghij", most)) for most in range(1, 10)] == [
        *range(1, 10)
    ]


class Output:
    """What a notebook displays: one output, which is updated."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Output:
        assert self.shown == []
        self.update(data, raw=raw)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    found = Output()
    run_in_ipython(monkeypatch, object())
    display = types.SimpleNamespace(display=found.display)
    monkeypatch.setitem(sys.modules, "IPython.display", display)  # type: ignore[arg-type]
    monkeypatch.setattr(notebook_bar, "_DELAY", 0.0)
    monkeypatch.setattr(notebook_bar, "_EVERY", 0.0)
    return found


def test_a_sweep_in_a_notebook_is_one_bar_that_ends(output: Output) -> None:
    sweep = Sweep(None, 2)
    for name in ("a", LONG):
        sweep.start_model(name)
        sweep.report("extracting", 50, 100, 10.0)
        sweep.finish_model()
    texts = [one["text/plain"] for one in output.shown]
    assert texts[1].startswith("model 1 of 2, a: extracting, 50 of 100 rows, 10 rows/s")
    assert max(map(len, texts)) < 100
    bars = [one["text/html"].partition("</progress>")[0] for one in output.shown]
    assert bars[1] == '<progress value="0.500" max="2">'
    assert bars[-1] == '<progress value="2.000" max="2">'
    sweep.start_round(5)
    sweep.start_model("<b>")
    assert '<progress value="0.000" max="5"></progress>' in output.shown[-1]["text/html"]
    assert "&lt;b&gt;" in output.shown[-1]["text/html"]
    sweep.close()
    assert output.shown[-1] == {"text/plain": "", "text/html": ""}


def test_a_ranking_in_a_notebook_is_one_bar_that_ends(output: Output) -> None:
    tx.rank({f"{i} {LONG}": X + i for i in range(3)}, LABELS, n_threads=1)
    texts = [one["text/plain"] for one in output.shown]
    heads = [text.partition(",")[0] for text in texts]
    assert list(dict.fromkeys(heads)) == [*(f"{i} of 3 models" for i in range(4)), ""]
    names = [text.rpartition(", ")[2].removesuffix(": reading") for text in texts[:-1]]
    assert {*names} == {f"{i} hf:an-or…with-a-long-name-v2" for i in range(3)}


def fail_after_one(advance: progress.ProgressFunction) -> None:
    advance(1, 3, "a")
    raise tx.DataError("stop")


def test_an_error_ends_the_bar_of_a_notebook(output: Output) -> None:
    with pytest.raises(tx.DataError), progress.progress_bar(True, 3, "row") as advance:
        fail_after_one(advance)
    texts = [one["text/plain"] for one in output.shown]
    assert texts[0] == "0 of 3 rows, a"
    assert texts[1].startswith("1 of 3 rows, ")
    assert texts[1].endswith(" s left, a")
    assert texts[2:] == [""]


def test_work_of_an_unknown_length_moves_to_and_fro(output: Output) -> None:
    bar = progress.open_bar(True, bar_format="{desc}")
    assert bar is not None
    bar.set_description_str("reading <a>")
    bar.close()
    expected = {"text/plain": "reading <a>", "text/html": "<progress></progress> reading &lt;a&gt;"}
    assert output.shown[0] == expected


def test_what_takes_no_second_shows_no_bar(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_bar, "_DELAY", 1.0)
    tx.rank(MODELS, LABELS)
    assert output.shown == []


def test_a_bar_without_a_terminal_or_a_notebook_is_not_shown() -> None:
    assert Sweep(None, 2)._bar is None
    assert Sweep(False, 2)._bar is None
