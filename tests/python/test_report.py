"""The HTML report: well-formed, self-contained, escaped, and with the numbers it was given."""

import math
import pickle
import re
import warnings
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability import report
from transferability._metric.score import Score
from transferability._ranking.ranking import Ranking
from transferability._ranking.render import percent
from transferability._ranking.row import Row
from transferability.cli import main
from transferability.report._svg import Axis

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 3, 240)
MODELS = {f"m{i}": RNG.normal(size=(240, 6)) + i / 3 * np.eye(6)[LABELS] for i in range(4)} | {
    "broken": np.full((240, 6), np.nan)
}
VOID = {"meta", "link"}
KNOWN = {
    *["html", "head", "title", "style", "meta", "link", "body", "main", "footer"],
    *["h1", "h2", "h3", "p", "section", "div", "ol", "ul", "li", "span", "details", "summary"],
    *["table", "thead", "tbody", "tr", "th", "td", "svg", "line", "circle", "text"],
}


class Page(HTMLParser):
    """Reads a page, refuses what is not balanced, and keeps texts, attributes and tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.attributes = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag in KNOWN, tag
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in ("line", "circle")
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def ranking():
    return tx.rank(MODELS, LABELS, ["logme", "knn"])


@pytest.fixture(scope="module")
def sure(ranking):
    return ranking.stability()


def evaluated(ranking, truth):
    """Evaluate; of what is left out the page has notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tx.TransferabilityWarning)
        return ranking.evaluate(truth)


def made_up(values, metric="logme"):
    """Make a ranking of scores that no features have."""
    facts = tx.score(MODELS["m1"], LABELS).__dict__ | {"metric": metric}
    rows = []
    for name, value in values.items():
        if math.isnan(value):
            rows.append(Row(name, {}, 240, 6, 0.0, error="it broke"))
        else:
            rows.append(Row(name, {metric: Score(value, **facts)}, 240, 6, 0.0, (f"of {name}",)))
    shared = {"task": "classification", "task_note": "classification", "digest": "0", "skipped": {}}
    return Ranking(rows, metrics=(metric,), **shared)


def test_everything_is_on_the_page(ranking, sure):
    evaluation = evaluated(ranking, {"m0": 0.3, "m1": 0.5, "m2": 0.6, "m3": 0.9})
    page = Page(report.html(ranking, evaluation, sure))
    for row in ranking:
        assert row.name in page.text
    for i, name in enumerate(sure.names):
        row = ranking[name]
        assert f"{row.value('logme'):.4f}" in page.texts
        assert f"{row.value('knn'):.4f}" in page.texts
        assert f"{sure.standard_errors[i]:.4f}" in page.texts
    assert ranking["broken"].error in page.text
    assert f"{evaluation.weighted_tau:.3f}" in page.texts
    assert str(evaluation.compare("logme", "knn")) in page.text
    assert ranking.best.logme.explain().splitlines()[1] in page.texts
    chance = percent(sure.first["m3"])
    assert f"Of 4 models, m3 has the highest LogME with a probability of {chance}." in page.text
    assert "How far LogME itself can be trusted is shown below" in page.text
    assert "Agreement with the truth" in page.texts


@pytest.mark.parametrize("metric", ["logme", "knn"])
def test_errors_stand_right_of_their_metric(ranking, metric):
    sure = ranking.stability(metric=metric)
    texts = [text for text in Page(report.html(ranking, stability=sure)).texts if text.strip()]
    cells = texts[texts.index("All numbers") + 1 :]
    header = ["model", "LogME", "k-NN"]
    header.insert(header.index("LogME" if metric == "logme" else "k-NN") + 1, "± s.e.")
    assert cells[:4] == header
    row = ranking[cells[6]]
    error = sure.standard_errors[sure.names.index(row.name)]
    shown = {"LogME": row.value("logme"), "k-NN": row.value("knn"), "± s.e.": error}
    assert cells[7:10] == [f"{shown[title]:.4f}" for title in header[1:]]


def test_nothing_is_asked_of_the_network(ranking, sure):
    text = report.html(ranking, stability=sure)
    page = Page(text)
    links = [value for _, name, value in page.attributes if name in ("href", "src", "action")]
    assert links == []
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    policy = next(v for _, n, v in page.attributes if n == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    assert "@import" not in text
    assert "url(" not in text


def selectors_of(css):
    """Return the selectors of a style sheet, those within media and container queries too."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    found = re.findall(r"([^{}]+)\{", css)
    return [one.strip() for part in found if "@" not in part for one in part.split(",")]


def test_the_style_of_a_report_stays_within_it(ranking):
    """A notebook puts the elements of a page among its own, where the style sheet applies."""
    text = report.html(ranking)
    selectors = selectors_of(text.partition("<style>")[2].partition("</style>")[0])
    assert len(selectors) > 50
    # Of the whole document only where a report is all that it has.
    page = {"html:has(> body > .tx-report)", "body:has(> .tx-report)"}
    assert {one for one in selectors if not re.match(r"\.tx-report\b", one)} == page
    assert selectors_of("p { a: b } @media (x) { .c, d { e: f } }") == ["p", ".c", "d"]
    names = {value for _, name, value in Page(text).attributes if name == "name"}
    assert names == {"viewport"}  # a color-scheme among these would be that of the whole notebook


def test_a_notebook_shows_a_report_without_its_document(ranking, sure):
    page = report.html(ranking, stability=sure)
    shown = page._repr_html_()
    assert shown.startswith("<style>")
    assert not re.search(r"<(html|head|body|title|meta)\b", shown)
    assert Page(shown).texts[-2:] == Page(page).texts[-3:-1]
    assert shown in page.replace("</head>\n<body>", "")
    assert pickle.loads(pickle.dumps(page)) == str(page)


def test_it_reads_on_a_phone_in_light_and_dark(ranking):
    text = report.html(ranking)
    assert "width=device-width" in text
    assert "@media (prefers-color-scheme: dark)" in text
    widths = [v for tag, name, v in Page(text).attributes if (tag, name) == ("svg", "width")]
    assert set(widths) == {"100%"}


def test_bars_are_where_the_intervals_are(ranking, sure):
    text = report.html(ranking, stability=sure)
    axis = Axis([*sure.scores, *sure.intervals.ravel()])
    bars = re.findall(r'class="range" x1="([\d.]+)%" x2="([\d.]+)%"', text)
    dots = re.findall(r'class="dot" cx="([\d.]+)%"', text)
    expected = [[axis.at(end) for end in ends] for ends in sure.intervals]
    assert np.array(bars, float).tolist() == expected
    assert np.array(dots, float).tolist() == [axis.at(score) for score in sure.scores]


def test_ties_are_joined_and_said():
    good = MODELS["m3"]
    twin = good + 1e-3 * RNG.normal(size=good.shape)
    ranking = tx.rank({"good": good, "twin": twin, "poor": MODELS["m0"]}, LABELS)
    sure = ranking.stability()
    page = Page(report.html(ranking, stability=sure))
    other = sure.ties[0][1]
    words = f"Of 3 models, {ranking.best.name} has the highest LogME with a probability of "
    words += f"{percent(sure.first[ranking.best.name])}; {other} may have it as well."
    assert words in page.text
    kinds = [v for tag, name, v in page.attributes if (tag, name) == ("li", "class")]
    assert kinds == ["tied", "tied", "cut", "ticks"]


def test_without_stability_the_page_says_how_to_have_it(ranking):
    page = Page(report.html(ranking))
    assert "stability=ranking.stability()" in page.text
    assert "Of 4 models, m3 has the highest LogME." in page.texts
    assert "probability" not in page.text.partition("What the numbers mean")[0]
    assert "How far LogME itself can be trusted is not shown here" in page.text


def test_another_metric_may_be_resampled(ranking):
    sure = ranking.stability(metric="knn")
    page = Page(report.html(ranking, stability=sure))
    places = [page.texts.index(f"{score:.4f}") for score in sure.scores]
    assert places == sorted(places)
    assert "Of 4 models, m3 has the highest LogME." in page.texts  # the heading is about LogME


def test_stability_and_evaluation_of_another_ranking_are_refused(ranking, sure):
    other = tx.rank({name: MODELS[name] for name in ("m0", "m1")}, LABELS[::-1])
    with pytest.raises(tx.DataError, match="stability is of another ranking"):
        report.html(other, stability=sure)
    evaluation = evaluated(ranking, {"m0": 0.3, "m1": 0.5, "m2": 0.6})
    with pytest.raises(tx.DataError, match="evaluation is of another ranking"):
        report.html(other, evaluation)
    names = [name for name in MODELS if name != "broken"]
    relabelled = tx.rank({name: MODELS[name] for name in names}, LABELS[::-1])
    with pytest.raises(tx.DataError, match=r"logme of 'm3' is -0\.\d+ there and -0\.\d+ here"):
        report.html(relabelled, stability=sure)
    with pytest.raises(tx.DataError, match="it has knn, this one logme"):
        report.html(other, stability=ranking.stability(metric="knn"))


def test_a_truth_without_order_is_shown_as_it_is(ranking):
    evaluation = evaluated(ranking, dict.fromkeys(("m0", "m1", "m2", "m3"), 0.5))
    page = Page(report.html(ranking, evaluation))
    assert "the truth is the same for all models" in page.text


def test_groups_and_layers_have_their_sections():
    groups = np.where(np.arange(240) < 100, "video <1>", "video 2")
    models = {name: MODELS[name] for name in ("m0", "m3")}
    ranking = tx.rank(models, LABELS, "logme", groups=groups, aggregate="min")
    scores = tx.score(MODELS["m2"], LABELS, ["logme"])
    layers = {f"layer.{i}": {"logme": scores["logme"]} for i in range(3)}
    object.__setattr__(ranking["m0"], "layers", layers)
    page = Page(report.html(ranking))
    assert "video <1>" in page.texts
    for row in ranking:
        for score in row.per_group["logme"].values():
            assert f"{float(score):.3f}" in page.texts
    shades = [float(v[4:]) for _, name, v in page.attributes if name == "style"]
    assert (min(shades), max(shades), len(shades)) == (0, 1, 4)
    assert "the score is their min" in page.text
    assert "m0: 3 layers, highest in layer.0" in page.texts
    assert "m3: " not in page.text


def test_consensus_and_recommended_are_explained():
    models = {name: MODELS[name] for name in ("m0", "m2", "m3")}
    ranking = tx.rank(models, LABELS, "recommended", baselines=True, prior={"m0": 3.0})
    sure = ranking.stability()
    page = Page(report.html(ranking, stability=sure))
    for title in ("Consensus", "Prior", "Ridge probe", "k-NN"):
        assert title in page.texts


def test_tasks_are_not_called_models():
    probs = RNG.dirichlet([0.1] * 4, 200)
    close, far = probs.argmax(axis=1), np.arange(200) % 3
    ranking = tx.compare_tasks(
        {
            "far": {"source_probs": probs, "labels": far},
            "close": {"source_probs": probs, "labels": close},
        }
    )
    page = Page(report.html(ranking))
    assert "2 tasks by LEEP" in page.texts
    assert "task" in page.texts
    assert "on the same rows and labels only" not in page.text
    # Tasks have rows of their own: those of one are said where it is explained.
    assert page.text.index("200 rows") > page.text.index("close in words")


def test_rankings_without_a_score_are_reports_too():
    page = Page(report.html(tx.rank({"broken": MODELS["broken"]}, LABELS)))
    assert "None of them could be scored" in page.text
    page = Page(report.html(tx.rank({"one": MODELS["m1"]}, LABELS)))
    assert "1 model by LogME" in page.texts


def test_equal_rankings_make_equal_pages(ranking, sure):
    again = pickle.loads(pickle.dumps(ranking))
    assert report.html(again, stability=sure) == report.html(ranking, stability=sure)


NAMES = st.text(max_size=30) | st.sampled_from(
    ['<script src="x">', "</style>", '" onload="a', "a&amp;b", "\u202eb", "x\udce9", "]]>", "<!--"]
)
VALUES = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5), NAMES)
def test_any_name_and_any_number_give_a_sound_page(values, title):
    from transferability._util.notebook import printable

    ranking = made_up(values)
    text = report.html(ranking, title=title)
    text.encode()  # lone surrogates are escaped too
    page = Page(text)
    for name, value in values.items():
        assert printable(name) in page.text
        assert math.isnan(value) or f"{value:.4f}" in page.texts
    assert "nan%" not in text
    assert "inf%" not in text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_axes_keep_order_within_the_picture_and_label_what_they_mark(values):
    axis = Axis(values)
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert min(places) >= 0
    assert max(places) <= 100
    labels = [axis.label(tick) for tick in axis.ticks]
    assert len(set(labels)) == len(labels) >= 1
    step = min(np.diff(axis.ticks), default=math.inf)
    for tick, label in zip(axis.ticks, labels, strict=True):
        assert abs(float(label) - tick) <= 0.01 * step or step == math.inf
        assert -1 <= axis.at(tick) <= 101


def test_to_html_writes_the_file(tmp_path, ranking, sure):
    path = tmp_path / "report.html"
    assert ranking.to_html(path, stability=sure, title="Mine") is None
    assert path.read_text(encoding="utf-8") == report.html(ranking, stability=sure, title="Mine")
    with pytest.raises(OSError, match="could not be written"):
        ranking.to_html(tmp_path / "nowhere" / "report.html")


@pytest.fixture
def files(tmp_path):
    for name in ("m0", "m3"):
        np.save(tmp_path / f"{name}.npy", MODELS[name])
    np.save(tmp_path / "y.npy", LABELS)
    return tmp_path


def test_the_command_line_writes_a_report_beside_the_table(files):
    target = files / "out.html"
    arguments = [str(files / "m0.npy"), str(files / "m3.npy"), "--labels", str(files / "y.npy")]
    result = CliRunner().invoke(main, ["rank", *arguments, "--html", str(target)])
    assert result.exit_code == 0, result.output
    assert "LogME" in result.stdout
    page = Page(target.read_text(encoding="utf-8"))
    assert "Of 2 models, m3 has the highest LogME with a probability of >99%." in page.text
    assert re.search(r'class="range"', target.read_text(encoding="utf-8"))


def test_a_report_of_statistics_goes_without_intervals(files):
    target = files / "out.html"
    runner = CliRunner()
    for name in ("m0", "m3"):
        made = ["stats", str(files / f"{name}.npy"), "--labels", str(files / "y.npy")]
        result = runner.invoke(main, [*made, "-o", str(files / f"{name}.stats")])
        assert result.exit_code == 0, result.output
    states = [str(files / f"{name}.stats") for name in ("m0", "m3")]
    result = runner.invoke(main, ["rank", *states, "--html", str(target)])
    assert result.exit_code == 0, result.output
    assert "the report has no intervals" in result.stderr
    page = Page(target.read_text(encoding="utf-8"))
    assert "Of 2 models, m3 has the highest LogME." in page.texts
    quiet = runner.invoke(main, ["rank", *states, "--html", str(target), "-q"])
    assert quiet.stderr == ""


def test_a_report_that_cannot_be_written_is_said(files):
    arguments = [str(files / "m0.npy"), "--labels", str(files / "y.npy")]
    nowhere = str(files / "no" / "out.html")
    result = CliRunner().invoke(main, ["rank", *arguments, "--html", nowhere])
    assert result.exit_code == 1
    assert "out.html" in result.stderr


# --- decisions: races, shortlists, costs, groups, the rule of a consensus ---------------


def table_after(page, title):
    """Return the texts of a page from a heading on."""
    texts = [text for text in page.texts if text.strip()]
    return texts[texts.index(title) + 1 :]


def test_a_race_has_a_table_of_its_rounds():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 8))
    labels = x[:, 0] > 0
    models = {f"noise {s}": x + s * rng.normal(size=x.shape) for s in (0, 1, 2, 4, 8, 16)}
    ranking = tx.rank(models, labels, race=tx.Race(top=2, seed=1))
    race = ranking.race
    assert len(race.rounds) > 1
    text = report.html(ranking)
    page = Page(text)
    cells = table_after(page, "Race")
    assert cells[1:4] == ["rows", "models", "dropped"]
    for i, one in enumerate(race.rounds, start=1):
        place = cells.index(f"round {i}")
        shown = [f"{one.n_samples:,}", str(len(one.models)), str(len(one.dropped))]
        assert cells[place + 1 : place + 4] == shown
    assert race.summary[1:] in page.text
    gone = cells.index("in the top 2")
    for row in ranking.rows:
        if row.dropped is None:
            continue
        place = cells.index(row.name, gone)
        chance = race.rounds[row.round - 1].dropped[row.name]
        assert cells[place + 1 : place + 5] == [
            str(row.round),
            f"{row.n_samples:,}",
            f"{row.value('logme'):.4f}",
            report._race.percent(chance),
        ]
    for name, chance in race.first.items():
        assert f"{name} {report._race.percent(chance)}" in page.text


def test_costs_have_a_plot_with_the_front():
    costs = {
        "parameters": {"m0": 1e6, "m1": 3e7, "m2": 2e7, "m3": 8e7},
        "price": {"m0": 1, "m3": 2},
    }
    models = {name: MODELS[name] for name in ("m0", "m1", "m2", "m3")}
    ranking = tx.rank(models, LABELS, costs=costs)
    text = report.html(ranking)
    page = Page(text)
    assert "LogME against parameters, with the Pareto front" in page.texts
    assert "LogME against price, with the Pareto front" in page.texts
    section = text.split("<h2>Costs</h2>")[1].split("</section>")[0]
    first = section.split("<details open>")[1].split("</details>")[0]
    front = ranking.pareto("parameters")
    axis = report._svg.LogAxis(front.costs.values())
    upright = Axis(front.scores.values())
    for name, value in front.costs.items():
        kind = "dot" if name in front else "dot beaten"
        up = report._svg._up(upright, front.scores[name])
        assert (
            f'<circle class="{kind}" cx="{axis.at(value)}%" cy="{up}" r="5"><title>{name}<' in first
        )
    joined = re.findall(r'class="front" x1="([\d.]+)%" y1="[\d.]+" x2="([\d.]+)%"', first)
    places = [axis.at(front.costs[name]) for name in front.names]
    assert [tuple(map(float, pair)) for pair in joined] == [*pairwise(places)]
    assert section.count("<details") == 2
    assert section.count("<details open>") == 1
    assert "parameters, lower is better" in page.text


def test_one_cost_of_one_model_has_no_plot():
    ranking = tx.rank({"m0": MODELS["m0"], "m3": MODELS["m3"]}, LABELS, costs={"price": {"m0": 1}})
    text = report.html(ranking)
    assert "<h2>Costs</h2>" in text
    assert "Pareto front</summary>" not in text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-12, 1e15), min_size=1, max_size=8))
def test_logarithmic_axes_keep_order_within_the_picture(values):
    axis = report._svg.LogAxis(values)
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert min(places) >= 0
    assert max(places) <= 100
    assert len({axis.label(tick) for tick in axis.ticks}) == len(axis.ticks)
    for tick in axis.ticks:
        assert -1 <= axis.at(tick) <= 101
        label = axis.label(tick)
        unit = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(label[-1], 1.0)
        assert float(label.rstrip("kMGT")) * unit == pytest.approx(tick, rel=0.01)


@pytest.mark.parametrize("metrics", ["ridge_probe", "recommended"])
def test_groups_that_leave_together_are_said(metrics):
    groups = np.arange(240) // 40
    models = {name: MODELS[name] for name in ("m0", "m2", "m3")}
    ranking = tx.rank(models, LABELS, metrics, groups=groups, leave_out="group")
    page = Page(report.html(ranking))
    what = "Ridge probe of each group, predicted from the other groups; the score is of all rows."
    assert what in page.texts
    for row in ranking:
        for score in row.per_group["ridge_probe"].values():
            assert f"{float(score):.3f}" in page.texts
    within = Page(report.html(tx.rank(models, LABELS, metrics, groups=groups)))
    assert "Ridge probe within each group; the score is of all rows." in within.texts


def test_layers_of_a_consensus_are_those_of_its_first_member():
    scores = tx.score(MODELS["m2"], LABELS, ["ridge_probe", "logme"])
    models = {name: MODELS[name] for name in ("m0", "m3")}
    ranking = tx.rank(models, LABELS, "recommended")
    layers = {f"layer.{i}": dict(scores) for i in range(3)}
    object.__setattr__(ranking["m0"], "layers", layers)
    assert "m0: 3 layers, highest in layer.0" in Page(report.html(ranking)).texts


def test_the_rule_of_recommended_is_explained():
    models = {name: MODELS[name] for name in ("m0", "m2", "m3")}
    page = Page(report.html(tx.rank(models, LABELS, "recommended")))
    assert "Every pair of models is decided by Ridge probe. A pair that is closer" in page.text
    assert "averaged over metrics" not in page.text
    borda = tx.rank(models, LABELS, ["logme", "knn"]).consensus()
    assert "averaged over metrics" in Page(report.html(borda)).text


def test_the_command_line_writes_decisions_into_the_report(files):
    (files / "costs.csv").write_text("model,parameters\nm0,1e6\nm3,5e7\n")
    (files / "prior.csv").write_text("model,known\nm0,0.5\nm3,0.9\n")
    np.save(files / "g.npy", np.arange(240) // 24)
    target = files / "out.html"
    arguments = ["rank", str(files / "m0.npy"), str(files / "m3.npy")]
    arguments += ["--labels", str(files / "y.npy"), "--html", str(target)]
    runner = CliRunner()

    def page_of(*more):
        result = runner.invoke(main, [*arguments, *more])
        assert result.exit_code == 0, result.output
        return Page(target.read_text(encoding="utf-8"))

    decisions = ("--costs", str(files / "costs.csv"), "--prior", str(files / "prior.csv"))
    page = page_of(*decisions, "--shortlist", "--confidence", "0.8")
    assert "The prior correlates with the true scores" in page.text
    assert "LogME against parameters, with the Pareto front" in page.texts
    assert "Prior" in page.texts
    page = page_of(*decisions, "--pareto", "parameters")
    assert "on the front" in page.text
    assert "Shortlist" in page.texts
    left = ("--metrics", "recommended", "--groups", str(files / "g.npy"), "--leave-out", "group")
    page = page_of(*left)
    assert "predicted from the other groups" in page.text
    assert "Every pair of models is decided by Ridge probe" in page.text
    page = page_of("--race", "--race-option", "top=1", "--race-option", "first=60")
    assert "Rounds of the race" in str(page.attributes)


def test_a_single_model_is_compared_with_none() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    page = report.html(tx.rank({"only": x}, x[:, 0] > 0))
    assert "only has a LogME of" in page
    assert "highest LogME" not in page
    assert "how sure" not in page
