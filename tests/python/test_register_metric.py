"""Metrics that users write in Python work wherever those of the package do."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning
from transferability._metric import register, registry
from transferability._ranking.ranking import Row

# What a user writes: ten lines, for a metric of the samples with an option and a test of it.
USER = '''
import numpy as np
import transferability as tx

@tx.register_metric
def centroid(features, labels, *, power=1.0):
    """Share of rows whose nearest class mean is that of their own class."""
    classes = np.unique(labels)
    means = np.stack([features[labels == c].mean(axis=0) for c in classes])
    nearest = ((features[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    return np.mean(classes[nearest] == labels) ** power
'''
ON_STATISTICS = '''
import numpy as np
import transferability as tx

@tx.register_metric(reads="stats", tasks=("classification",), title="Mean gap")
def mean_gap(stats, *, scale=1.0):
    """Spread of the class means."""
    sums = stats.moments()
    return scale * np.std(sums["class_sums"] / sums["class_counts"][:, None], axis=0).mean()
'''


@pytest.fixture
def user() -> None:
    for code in (USER, ON_STATISTICS):
        exec(code, {"__name__": "acme"})


def data(n: int = 120, d: int = 5) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    labels = np.array(["cat", "dog", "emu"])[np.arange(n) % 3]
    noise = rng.normal(size=(n, d))
    return {"poor": noise, "good": noise + 2 * np.eye(3, d)[np.arange(n) % 3]}, labels


def centroid(features: Any, labels: Any) -> float:
    means = {c: features[labels == c].mean(axis=0) for c in np.unique(labels)}
    found = [min(means, key=lambda c: ((x - means[c]) ** 2).sum()) for x in features]
    return float(np.mean(np.array(found) == labels))


def test_ten_lines_are_enough() -> None:
    for code in (USER, ON_STATISTICS):
        assert len([line for line in code.splitlines() if line]) <= 10


@pytest.mark.usefixtures("user")
def test_scores_and_rankings() -> None:
    models, labels = data()
    for x in models.values():
        assert float(tx.score(x, labels, "centroid")) == centroid(x, labels)
    score = tx.score(models["good"], labels, "centroid", power=2.0)
    assert float(score) == centroid(models["good"], labels) ** 2
    assert (score.metric, score.power, score.n_classes) == ("centroid", 2.0, 3)
    assert float(tx.score(models["good"], labels, ["mean_gap"], scale=0)["mean_gap"]) == 0
    ranking = tx.rank(models, labels, ["centroid", "mean_gap", "logme"])
    assert ranking.names == ("good", "poor")
    assert "Mean gap" in str(ranking)
    assert "centroid" in tx.score(models["good"], labels, "all")
    assert float(ranking.consensus().best.consensus) == 1.0
    assert ranking.best.centroid == centroid(models["good"], labels)


def test_an_array_that_is_an_option_stays_writeable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_specs", dict(registry._specs))

    @tx.register_metric
    def weighted(features: Any, labels: Any, *, weights: Any = None) -> float:
        return float((features * weights).sum())

    models, labels = data()
    weights = np.ones(models["good"].shape[1])
    score = tx.score(models["good"], labels, "weighted", weights=weights)
    assert score.weights.tolist() == weights.tolist()
    assert weights.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        score.weights[0] = 2


@pytest.mark.usefixtures("user")
def test_statistics_are_enough_where_the_function_reads_them(tmp_path: Path) -> None:
    models, labels = data()
    whole = tx.score(models["good"], labels, "mean_gap")
    parts = [tx.Stats().update(models["good"][r], labels[r]) for r in np.split(np.arange(120), 3)]
    merged = tx.Stats.merge_all(parts)
    assert float(merged.mean_gap()) == pytest.approx(float(whole), rel=1e-12)
    assert "mean_gap" in dir(merged)
    with pytest.raises(DataError, match=r"centroid needs the samples.*\.score with"):
        merged.score("centroid")
    merged.save(tmp_path / "good.stats")
    states = {"good": tx.Stats.load(tmp_path / "good.stats")}
    states["poor"] = tx.Stats().update(models["poor"], labels)
    assert tx.rank(states, None, "mean_gap").names == ("good", "poor")
    features, target = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(features, models["good"])
    np.save(target, np.arange(120) % 3)
    files = tx.io.open_features(features, labels=target)
    assert float(tx.score(files, None, "mean_gap")) == pytest.approx(float(whole), rel=1e-12)


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("metric", ["centroid", "mean_gap"])
def test_groups_stability_reports_and_explanations(metric: str, tmp_path: Path) -> None:
    models, labels = data()
    videos = np.arange(120) // 30
    score = tx.score(models["good"], labels, metric, groups=videos, aggregate="min", reference=2)
    assert float(score) == min(map(float, score.per_group.values()))
    assert score.references["shuffled"] < float(score)
    ranking = tx.rank(models, labels, metric)
    stability = ranking.stability(n_boot=50, seed=1)
    assert stability.method == "jackknife"
    assert stability.first["good"] > 0.9
    ranking.to_html(tmp_path / "report.html", stability=stability)
    assert registry.title_of(metric) in (tmp_path / "report.html").read_text("utf-8")
    lines = ranking.best.scores[metric].explain()
    assert f"the registered function acme.{metric}: S" in lines
    assert ranking.best.scores[metric].to_dict()["value"] == float(ranking.best.scores[metric])


@pytest.mark.parametrize(
    ("given", "task", "dtype", "shape"),
    [
        (["b", "a"] * 3, "auto", "U", (6,)),
        ([7, -2] * 3, "auto", "i", (6,)),
        ([True, False] * 3, "auto", "b", (6,)),
        (np.arange(6) / 7, "auto", "f", (6,)),
        (np.arange(12).reshape(6, 2) / 7, "auto", "f", (6, 2)),
        (np.eye(6, 2), "multilabel", "f", (6, 2)),
    ],
)
def test_functions_get_what_the_user_gave(given: Any, task: str, dtype: str, shape: Any) -> None:
    seen: list[Any] = []

    @tx.register_metric(name="spy")
    def function(features: Any, labels: Any) -> float:
        seen.extend((features, labels))
        return 0.0

    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    tx.score(x, given, "spy", task=task)
    features, labels = seen
    assert features.dtype == np.float32
    assert np.shares_memory(features, x)
    assert (labels.dtype.kind, labels.shape) == (dtype, shape)
    np.testing.assert_array_equal(labels, given)
    tx.score(x.astype(np.int8), given, "spy", task=task)
    assert seen[2].dtype == np.float64
    assert not features.flags.writeable
    assert not labels.flags.writeable
    x[1, 1] = np.nan
    with pytest.raises(DataError, match=r"features\[1, 1\] is NaN"):
        tx.score(x, given, "spy", task=task)


def test_metrics_without_labels() -> None:
    @tx.register_metric(tasks="unlabelled")
    def spread(features: Any, labels: Any) -> float:
        assert labels is None
        return features.std()

    assert float(tx.score(np.eye(4), None, "spread")) == np.eye(4).std()


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda: 1 / 0, DataError, "odd raised ZeroDivisionError: division by zero; call .* debug"),
        (lambda: np.nan, DataError, "odd returned NaN; return a number, or raise"),
        (lambda: 10**400, DataError, "the value of odd is too large for a float; give one real"),
        (lambda: "0.5", DtypeError, "value of odd is '0.5'; give one real number"),
        (lambda: True, DtypeError, "value of odd is True"),
        (lambda: None, DtypeError, "value of odd is None"),
        (lambda: np.ones(1), DtypeError, r"value of odd is array"),
        (lambda: 1j, DtypeError, "value of odd is 1j"),
    ],
)
def test_failures_have_a_name_and_a_row(
    result: Callable[[], Any], error: type[Exception], message: str
) -> None:
    @tx.register_metric
    def odd(features: Any, labels: Any) -> Any:
        return result() if features.shape[1] == 5 else features.shape[1]

    models, labels = data()
    with pytest.raises(error, match=message):
        tx.score(models["good"], labels, "odd")
    ranking = tx.rank({**models, "wide": np.ones((120, 6))}, labels, "odd")
    assert ranking.names[0] == "wide"
    assert [row.name for row in ranking.failed] == ["good", "poor"]
    assert "odd" in str(ranking.failed[0].error)


@pytest.mark.usefixtures("user")
def test_options_are_checked() -> None:
    models, labels = data()
    with pytest.raises(DtypeError, match=r"option 'pwoer' .*'power'.*; centroid takes power"):
        tx.score(models["good"], labels, "centroid", pwoer=2)
    with pytest.raises(DataError, match=r"unknown metric 'centroids' \(did you mean 'centroid'"):
        tx.score(models["good"], labels, "centroids")
    with pytest.raises(DataError, match="mean_gap is for classification, and this task is regr"):
        tx.score(models["good"], models["good"][:, 0], "mean_gap")


def one(features: Any) -> float:
    return 0.0


def everything(features: Any, labels: Any, **options: Any) -> float:
    return 0.0


def bare(features: Any, labels: Any, *, k: int) -> float:
    return 0.0


def hidden(features: Any, labels: Any, *, method: str = "x") -> float:
    return 0.0


def fine(features: Any, labels: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("function", "options", "error", "message"),
    [
        (3, {}, DtypeError, "function is 3; give a function"),
        (one, {}, DataError, r"one has the parameters .*; write it as one\(features, labels, \*"),
        (fine, {"reads": "stats"}, DataError, r"write it as fine\(stats, \*"),
        (everything, {}, DataError, "everything has the parameters"),
        (bare, {}, DataError, "option k of bare has no default"),
        (hidden, {}, DataError, "option method of hidden is an argument of score"),
        (lambda features, labels: 0, {}, DataError, "name is '<lambda>'; give .* identifier"),
        (fine, {"name": "class"}, DataError, "name is 'class'"),
        (fine, {"name": "_mine"}, DataError, "name is '_mine'"),
        (fine, {"name": "seconds"}, DataError, "name is 'seconds', which rankings use"),
        (fine, {"name": "logme"}, DataError, "name is 'logme', which transferability itself"),
        (fine, {"name": "recommended"}, DataError, "name is 'recommended', which transf"),
        (fine, {"name": "consensus"}, DataError, "name is 'consensus', which transf"),
        (fine, {"reads": "pixels"}, DataError, "reads is 'pixels'; choose 'samples', 'stats'"),
        (fine, {"tasks": ("detection",)}, DataError, "tasks of metric 'fine' has 'detection'"),
        (fine, {"tasks": ()}, DataError, "tasks is empty; choose from classification"),
        (fine, {"tasks": 3}, DtypeError, "tasks is 3; choose from classification"),
        (fine, {"title": 3}, DtypeError, "title is 3; give a string"),
    ],
)
def test_what_cannot_be_a_metric_is_refused(
    function: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tx.register_metric(**options)(function)


def test_a_name_belongs_to_one_function() -> None:
    tx.register_metric(fine)
    tx.register_metric(fine)  # as when a notebook's cell runs again
    with pytest.raises(DataError, match="name is 'fine', which is registered already, by "):
        tx.register_metric(name="fine")(lambda features, labels: 0.0)


def test_reserved_words_are_those_in_use() -> None:
    columns = {field.name for field in fields(Row)}
    columns |= {name for name in dir(Row) if not name.startswith("_")}
    columns |= {name for name in vars(tx.Stats) if not name.startswith("_")}
    assert columns | {"model"} == register.RESERVED_NAMES
    functions = (tx.score, tx.rank, tx.rank_models, tx.Engine)
    arguments = {name for one in functions for name in inspect.signature(one).parameters}
    assert arguments == register.RESERVED_OPTIONS


def test_a_metric_cannot_change_the_statistics_of_its_user() -> None:
    @tx.register_metric(reads="stats", tasks="classification")
    def greedy(stats: Any) -> float:
        stats.update(np.zeros((5, 3)), [0, 1, 0, 1, 0])
        return float(stats.n_samples)

    stats = tx.Stats().update(np.random.default_rng(0).normal(size=(20, 3)), [0, 1] * 10)
    assert stats.greedy() == 25
    assert stats.n_samples == 20


def test_a_process_that_does_not_know_the_metric_says_so(user: None, tmp_path: Path) -> None:
    models, labels = data()
    (tmp_path / "ranking.pickle").write_bytes(pickle.dumps(tx.rank(models, labels, "centroid")))
    done = run(
        f"""
import pickle, pathlib
import transferability as tx
ranking = pickle.loads(pathlib.Path({str(tmp_path / "ranking.pickle")!r}).read_bytes())
print(ranking.names, "centroid" in str(ranking))
ranking.best.scores["centroid"].explain()
"""
    )
    assert done.stdout == "('good', 'poor') True\n"
    assert (
        "no metric 'centroid' in this process, only where register_metric was called; import"
        in (done.stderr)
    )


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a subprocess: code, or the command line."""
    first = ["-c"] if len(arguments) == 1 else ["-m", "transferability"]
    path = os.pathsep.join([env.pop("PATH_TO", ""), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *first, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **env, "PYTHONPATH": path.strip(os.pathsep)},
    )


def package(folder: Path, declared: str, code: str = USER) -> None:
    """Install a distribution by hand: a module, and metadata with an entry point."""
    (folder / "acme_metrics.py").write_text(code, "utf-8")
    info = folder / "acme_metrics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-metrics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[transferability.metrics]\n{declared}\n")


def test_the_command_line_finds_entry_points(tmp_path: Path) -> None:
    package(tmp_path, "centroid = acme_metrics:centroid")
    models, _ = data()
    labels = np.arange(120) % 3
    for name, array in {**models, "labels": labels}.items():
        np.save(tmp_path / f"{name}.npy", array)
    good, poor, target = (str(tmp_path / f"{name}.npy") for name in ("good", "poor", "labels"))
    listed = run("metrics", "--json", PATH_TO=str(tmp_path))
    assert '"centroid"' in listed.stdout, listed.stderr
    expected = centroid(models["good"], labels) ** 2
    shown = run(
        "score", good, target, "--metrics", "centroid", "-o", "power=2", PATH_TO=str(tmp_path)
    )
    assert shown.stdout == f"centroid\t{expected!r}\n", shown.stderr
    ranked = run(
        "rank", good, poor, "--labels", target, "--metrics", "centroid,logme", "--csv",
        PATH_TO=str(tmp_path),
    )  # fmt: skip
    assert ranked.stdout.splitlines()[0].startswith("rank,model,centroid,logme,"), ranked.stderr
    assert ranked.stdout.splitlines()[1].startswith("1,good,")


@pytest.mark.parametrize(
    ("declared", "code", "reason"),
    [
        ("centroid = acme_metrics:missing", USER, "AttributeError"),
        ("centroid = acme_metrics:centroid", "import no_such_module", "ModuleNotFoundError"),
        ("near = acme_metrics:centroid", USER, "register_metric registers as 'near'"),
        ("logme = acme_metrics:centroid", USER, "register_metric registers as 'logme'"),
        ("centroid = acme_metrics:np.mean", USER, "is not"),
    ],
)
def test_a_broken_entry_point_disturbs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str, code: str, reason: str
) -> None:
    package(tmp_path, declared, code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_metrics", raising=False)
    monkeypatch.setattr(registry, "_load_entry_points", registry._load_entry_points.__wrapped__)
    monkeypatch.setattr(registry, "_warn_of_broken", registry._warn_of_broken.__wrapped__)
    models, labels = data()
    name = declared.partition(" ")[0]
    assert tx.score(models["good"], labels, ["logme", "h_score"])  # without a warning
    with pytest.warns(TransferabilityWarning, match="could not be loaded") as caught:
        scores = tx.score(models["good"], labels, "all", task="classification")
    assert reason in "".join(str(warning.message) for warning in caught)
    assert "logme" in scores
    if name not in scores:
        with pytest.raises(DataError, match=rf"metric '{name}' of .* could not be loaded"):
            tx.score(models["good"], labels, name)  # said once, and not by a warning as well
        with pytest.raises(DataError, match="unknown metric 'logmee'"):
            tx.score(models["good"], labels, "logmee")
    monkeypatch.delitem(sys.modules, "acme_metrics", raising=False)
