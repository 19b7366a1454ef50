"""Pictures: what is drawn is what was computed, and names stay names."""

import io
import math
import subprocess
import sys

import numpy as np
import pytest

import transferability as tx
from transferability import plot
from transferability._util.notebook import shorten_names

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 3, 240)
MODELS = {f"m{i}": RNG.normal(size=(240, 6)) + i / 3 * np.eye(6)[LABELS] for i in range(4)} | {
    "broken": np.full((240, 6), np.nan)
}


@pytest.fixture(scope="module")
def ranking():
    return tx.rank(MODELS, LABELS, ["logme", "knn"])


@pytest.fixture(scope="module")
def grouped():
    groups = np.where(np.arange(240) < 100, "video $1$", "video 2")
    models = {name: MODELS[name] for name in ("m0", "m3")}
    return tx.rank(models, LABELS, "logme", groups=groups, aggregate="min")


def drawn(ax):
    """Render, so that whatever only fails when it is drawn fails here."""
    ax.figure.savefig(io.BytesIO(), format="png", dpi=40)
    return ax


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_ranking_draws_the_scores_and_intervals(ranking):
    sure = ranking.stability()
    ax = drawn(plot.ranking(ranking, sure))
    assert ticks(ax.yaxis) == ["m3", "m2", "m1", "m0"]
    (points,) = ax.lines
    assert points.get_xdata() == pytest.approx(sure.scores, abs=0)
    np.testing.assert_array_equal(points.get_ydata(), range(4))
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_array_equal(segments[:, :, 0], sure.intervals)
    assert "90% intervals" in ax.get_xlabel()
    beside = [text.get_text() for text in ax.texts]
    low, high = sure.ranks[0]
    assert beside[0] == (f"{low}" if low == high else f"{low}–{high}")


def test_ranking_goes_from_best_to_worst_by_any_metric(ranking):
    ax = drawn(plot.ranking(ranking, metric="knn"))
    values = ax.lines[0].get_xdata()
    assert list(values) == sorted(values, reverse=True)
    assert ax.get_xlabel() == "k-NN"
    assert ax.get_ylim() == (3.5, -0.5)  # the best one on top


def test_ties_stand_on_one_background():
    good = MODELS["m3"]
    twin = good + 1e-3 * RNG.normal(size=good.shape)
    ranking = tx.rank({"good": good, "twin": twin, "poor": MODELS["m0"]}, LABELS)
    sure = ranking.stability()
    assert len(sure.ties) == 2
    (band,) = plot.ranking(ranking, sure).patches
    assert (band.get_y(), band.get_height()) == pytest.approx((-0.45, 1.9))


def test_ranking_refuses_what_is_of_another(ranking):
    sure = ranking.stability()
    with pytest.raises(tx.DataError, match="metric is 'knn', and stability is of logme"):
        plot.ranking(ranking, sure, metric="knn")
    other = tx.rank({name: MODELS[name] for name in ("m0", "m1")}, LABELS[::-1])
    with pytest.raises(tx.DataError, match="stability is of another ranking"):
        plot.ranking(other, sure)
    with pytest.raises(tx.DataError, match="metric is 'leep'; this ranking has logme, knn"):
        plot.ranking(ranking, metric="leep")
    failed = tx.rank({"broken": MODELS["broken"]}, LABELS)
    with pytest.raises(tx.DataError, match="no model has a finite logme"):
        plot.ranking(failed)


def test_scatter_draws_score_and_truth(ranking):
    truth = {"m0": 0.3, "m1": 0.5, "m2": 0.45, "m3": 0.9, "broken": 0.1, "unknown": 1.0}
    ax = drawn(plot.scatter(ranking, truth))
    (points,) = ax.lines
    found = dict(zip(points.get_xdata(), points.get_ydata(), strict=True))
    assert found == {ranking[f"m{i}"].value("logme"): truth[f"m{i}"] for i in range(4)}
    values = [ranking[f"m{i}"].value("logme") for i in range(4)]
    tau = tx.agreement.weighted_tau(values, [truth[f"m{i}"] for i in range(4)])
    assert ax.get_title() == f"weighted tau {tau:.2f}"
    assert {text.get_text() for text in ax.texts} <= {"m0", "m1", "m2", "m3"}
    assert "m3" in {text.get_text() for text in ax.texts}


def test_names_of_points_do_not_cover_each_other():
    many = {f"model number {i}": MODELS["m3"] + 1e-6 * i for i in range(12)}
    ranking = tx.rank(many, LABELS)
    ax = drawn(plot.scatter(ranking, {name: 0.5 + 1e-9 * i for i, name in enumerate(many)}))
    boxes = [text.get_window_extent() for text in ax.texts]
    assert boxes
    overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(overlaps)


def test_scatter_of_two_models_has_no_tau(ranking):
    assert plot.scatter(ranking, {"m0": 0.3, "m1": 0.5}).get_title() == ""
    with pytest.raises(tx.DataError, match="no model has a finite logme and a truth"):
        plot.scatter(ranking, {"someone": 0.3})
    with pytest.raises(tx.DtypeError, match="truth must map names"):
        plot.scatter(ranking, [0.3, 0.4])


def test_layers_of_one_model_are_named_and_the_highest_is_ringed():
    ax = drawn(plot.layers({"a$": -0.9, "b$": -0.5, "c": -math.inf, "d": -0.7}))
    line, ring = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), [-0.9, -0.5, math.nan, -0.7])
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (1, -0.5)
    assert ticks(ax.xaxis) == [r"a\$", r"b\$", "c", "d"]
    assert ax.get_ylabel() == "score"


def test_layers_take_scores_of_several_metrics():
    scores = {f"layer.{i}": tx.score(MODELS[f"m{i}"], LABELS, ["knn", "logme"]) for i in range(3)}
    ax = drawn(plot.layers(scores))
    assert ax.get_ylabel() == "k-NN"
    assert ax.lines[0].get_ydata()[2] == scores["layer.2"]["knn"]
    ax = drawn(plot.layers(scores, metric="logme"))
    assert (ax.get_ylabel(), ax.lines[0].get_ydata()[0]) == ("LogME", scores["layer.0"]["logme"])


def test_layers_of_a_ranking_have_a_line_for_each_model(ranking):
    rows = {}
    for name, n in (("m0", 3), ("m3", 5)):
        row = ranking[name]
        rows[name] = {f"layer.{i}": {"logme": row.scores["logme"]} for i in range(n)}
        object.__setattr__(row, "layers", rows[name])
    ax = drawn(plot.layers(ranking))
    assert [text.get_text().strip() for text in ax.get_legend().get_texts()] == ["m3", "m0"]
    assert [list(line.get_xdata())[-1] for line in ax.lines[::2]] == [1, 1]
    assert drawn(plot.layers(ranking["m0"])).get_title() == "m0, highest in layer.0"
    with pytest.raises(tx.DataError, match="at least two layers"):
        plot.layers(ranking["m1"])
    with pytest.raises(tx.DtypeError, match="profile must be a row"):
        plot.layers([1, 2])
    with pytest.raises(tx.DtypeError, match=r"profile\['a'\] is 'high'"):
        plot.layers({"a": "high", "b": 1.0})


def test_groups_draw_every_score(grouped):
    ax = drawn(plot.groups(grouped))
    values = ax.images[0].get_array()
    for i, name in enumerate(("m3", "m0")):
        scores = grouped[name].per_group["logme"]
        assert list(values[i]) == [scores["video $1$"], scores["video 2"]]
    assert ticks(ax.xaxis) == [r"video \$1\$", "video 2"]
    assert [text.get_text() for text in ax.texts] == [f"{v:.2f}" for v in values.ravel()]


def test_groups_need_groups(ranking):
    with pytest.raises(tx.DataError, match="this ranking has no groups"):
        plot.groups(ranking)


def test_an_infinite_group_has_its_word_and_no_colour():
    perfect = np.eye(3)[LABELS] + 0.0
    x = np.where((np.arange(240) < 100)[:, None], perfect, RNG.normal(size=(240, 3)))
    ranking = tx.rank({"a": x}, LABELS, groups=np.arange(240) // 100, aggregate="median")
    assert math.isinf(ranking["a"].per_group["logme"][0])
    ax = drawn(plot.groups(ranking))
    assert np.isnan(np.ma.filled(ax.images[0].get_array(), np.nan)[0, 0])
    assert ax.texts[0].get_text() == "inf"


def test_forecast_draws_what_was_forecast():
    fitted = tx.forecast.fit([50, 100, 200, 400, 800], [0.5, 0.6, 0.68, 0.73, 0.77])
    ax = drawn(plot.forecast(fitted, up_to=1600))
    known = next(line for line in ax.lines if line.get_label() == "known")
    np.testing.assert_array_equal(known.get_ydata(), fitted.values)
    assert max(line.get_xdata()[-1] for line in ax.lines) == pytest.approx(1600)


@pytest.mark.parametrize("draw", [plot.ranking, plot.groups, plot.layers])
def test_axes_that_are_given_are_used_and_returned(draw, grouped):
    from matplotlib.figure import Figure

    ours = Figure().add_subplot()
    what = {"a": 0.1, "b": 0.2} if draw is plot.layers else grouped
    assert draw(what, ax=ours) is ours
    assert ours.has_data()


def test_names_are_no_formulas():
    ranking = tx.rank({r"_$\frac$": MODELS["m0"], "a\nb": MODELS["m1"]}, LABELS)
    ax = drawn(plot.ranking(ranking))
    assert ticks(ax.yaxis) == [r"a\nb", r"_\$\frac\$"]
    drawn(plot.scatter(ranking, dict.fromkeys(ranking.names, 0.5)))


def test_without_matplotlib_the_advice_is_one_line(monkeypatch, ranking):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(tx.MissingDependencyError, match=r"transferability\[plot\]") as caught:
        plot.ranking(ranking)
    assert "\n" not in str(caught.value)


def test_pyplot_is_never_imported():
    code = (
        "import sys, transferability as tx; tx.plot; assert 'matplotlib' not in sys.modules;"
        "tx.plot.layers({'a': 1.0, 'b': 2.0}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FOLDER = "/data/experiments/2025/run_{}/checkpoints/vit-large-patch14-clip-224-openai-ft-in1k.npz"


def test_long_names_are_told_apart_in_every_plot():
    names = [FOLDER.format(i) for i in range(4)]
    models = dict(zip(names, MODELS.values(), strict=False))
    ranking = tx.rank(models, LABELS)
    shown = ticks(drawn(plot.ranking(ranking)).yaxis)
    assert len(set(shown)) == 4
    assert all(name.startswith("…/run_") and len(name) == 40 for name in shown)
    costs = {name: 10.0**i for i, name in enumerate(names)}
    for ax in (plot.cost(ranking, costs), plot.scatter(ranking, costs)):
        texts = [text.get_text() for text in drawn(ax).texts]
        assert len(set(texts)) == len(texts) > 0


@pytest.mark.parametrize(
    ("names", "most", "shown"),
    [
        (["short", "names"], 9, ["short", "names"]),
        (["/a/very/long/x.npz"], 9, ["/a/…x.npz"]),  # nothing to tell it from
        (["/a/b/c/one.npz", "/a/b/c/two.npz"], 9, ["…/one.npz", "…/two.npz"]),
        (["/a/b/c/one.npz", "short"], 9, ["/a/…e.npz", "short"]),
        (["aaaaaa1bbbbbb", "aaaaaa2bbbbbb"], 9, ["aaaaaa1bbbbbb", "aaaaaa2bbbbbb"]),
        (["x" * 12, "x" * 13], 9, ["x" * 12, "x" * 13]),
        ([1, "1"], 9, ["1", "1"]),
        ([], 9, []),
    ],
)
def test_names_are_shortened_but_told_apart(names, most, shown):
    assert shorten_names(names, most) == shown


@pytest.mark.parametrize("cost", ["bytes", "rows_per_second"])
def test_names_on_the_front_of_costs_do_not_overlap(cost):
    models = {f"model number {i}": MODELS["m3"][:, : i + 1] for i in range(5)}
    models |= {f"another model {i}": MODELS["m3"] + i / 3 for i in range(20)}
    sizes = {name: 1.0 + i for i, name in enumerate(models)}
    ranking = tx.rank(models, LABELS, costs={cost: sizes})
    ax = drawn(plot.cost(ranking, cost))
    boxes = [text.get_window_extent() for text in ax.texts]
    assert boxes
    assert ax.texts[0].get_text() in ranking.pareto(cost).names[0]
    for i, box in enumerate(boxes):
        inside = ax.get_window_extent()
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert not any(box.shrunk(0.9, 0.7).overlaps(other) for other in boxes[:i])


def test_other_things_than_rankings_are_named(ranking):
    sure = ranking.stability(n_boot=20)
    for draw, named in (
        (lambda: plot.ranking(sure), "ranking must be a transferability.Ranking, got Stability"),
        (
            lambda: plot.ranking(ranking, 3),
            "stability must be a .*Stability, got int",
        ),
        (lambda: plot.groups("x"), "ranking must be .*, got str"),
        (lambda: plot.cost(None), "ranking must be .*, got NoneType"),
        (lambda: plot.scatter(ranking, {"m0": "x"}), r"truth\['m0'\] is 'x'; give a number"),
        (
            lambda: plot.forecast([1]),
            "forecast must be a .*Forecast, got list",
        ),
        (lambda: tx.report.html(sure), "ranking must be .*, got Stability"),
        (lambda: ranking.to_html("x", stability=ranking), "stability must be .*, got Ranking"),
        (lambda: ranking.to_html("x", shortlist=sure), "shortlist must be .*, got Stability"),
        (lambda: ranking.to_html("x", evaluation={"a": 1}), "evaluation must be .*, got dict"),
    ):
        with pytest.raises(tx.DtypeError, match=named):
            draw()
