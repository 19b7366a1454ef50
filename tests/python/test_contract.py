"""The specifications of metrics are true: needs, tasks, options, texts."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metric_tester import MetricTester, quietly

import transferability as tx
from transferability._metric import registry

SPECS = registry.metric_specs()
FEATURES = {"stats", "class_scatters", "samples"}
PROBS = {"source_probs", "source_stats"}
ARGUMENTS = ("features", "source_probs", "source_labels", "label_embeddings")


def reads(name: str) -> set[str]:
    """Name the arguments that a metric claims to read."""
    needs = set(SPECS[name].needs)
    found = needs & {"source_labels", "label_embeddings"}
    found |= {"features"} if needs & FEATURES else set()
    found |= {"source_probs"} if needs & PROBS else set()
    return found


@pytest.mark.parametrize(
    ("name", "task"), [(n, t) for n, spec in SPECS.items() for t in spec.tasks]
)
def test_unclaimed_arguments_change_nothing(name: str, task: str) -> None:
    tester = MetricTester(name)
    given, other = tester.inputs(task), tester.inputs(task, seed=1)
    before = tester.numbers(given, task)
    for argument in ARGUMENTS:
        if argument in reads(name):
            continue
        for changed in (other[argument], None):
            assert tester.numbers(given | {argument: changed}, task) == before, argument


@pytest.mark.parametrize("name", SPECS)
def test_claimed_arguments_matter(name: str) -> None:
    task = SPECS[name].tasks[0]
    tester = MetricTester(name)
    given, other = tester.inputs(task), tester.inputs(task, seed=1)
    assert reads(name), "a metric reads something beside the labels"
    before = tester.numbers(given, task)
    for argument in reads(name):
        assert tester.numbers(given | {argument: other[argument]}, task) != before, argument
    missing = given | dict.fromkeys(reads(name))
    with pytest.raises(tx.DataError):
        tester.numbers(missing, task)


@pytest.mark.parametrize("name", SPECS)
def test_every_metric_is_complete(name: str) -> None:
    spec = SPECS[name]
    function = getattr(tx, name)
    assert name in tx.__all__
    for key in ("title", "summary", "cost", "source"):
        assert isinstance(getattr(spec, key), str), key
        assert getattr(spec, key), key
    assert spec.needs, "what it reads"
    assert set(spec.tasks) <= {"classification", "regression", "multilabel", "unlabelled"}
    text = inspect.getdoc(function) or ""
    for heading in ("Parameters", "Returns", "Raises", "References", "Examples"):
        assert f"{heading}\n{'-' * len(heading)}" in text, heading
    assert ">>> " in text
    assert "higher is better" in " ".join(text.split()).lower()
    # What users may set is what the function takes, with the same defaults.
    options = dict(inspect.signature(spec.options).parameters)
    options.pop("task")
    own = inspect.signature(function).parameters
    for option, parameter in options.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, option
        assert own[option].default == parameter.default, option


@pytest.mark.parametrize(
    ("name", "task"), [(n, t) for n, spec in SPECS.items() for t in spec.tasks]
)
def test_every_score_explains_itself(name: str, task: str) -> None:
    tester = MetricTester(name)
    score = tester.score(tester.inputs(task), task)
    lines = SPECS[name].explain(score)
    assert lines
    assert all(line and line[0].isupper() and line.endswith((".", ":")) for line in lines)
    assert SPECS[name].title in score.explain()


def test_lists_of_metrics_are_up_to_date() -> None:
    script = Path(__file__).parents[2] / "ci" / "derive.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run make derive: {done.stdout}{done.stderr}"


def test_a_module_without_a_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in registry._core.metric_table() if row["name"] != "lfc"]
    monkeypatch.setattr(registry._core, "metric_table", lambda: rows)
    with pytest.raises(LookupError, match=r"no metric 'lfc'; add its row to METRICS"):
        registry._built_in.__wrapped__()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("logme", {"intercept": 1}),
        ("logme", {"keep_coef": 0}),
        ("lin_mse", {"penalty": 1}),
        ("lab_mse", {"ridge": True}),
        ("leep", {"from_logits": 0}),
        ("lda", {"shrinkage": True}),
        ("h_score", {"shrinkage": False}),
        ("emms", {"ridge": True}),
        ("transrate", {"eps": True}),
        ("gbc", {"n_components": True}),
        ("knn", {"k": True}),
        ("ncti", {"n_components": np.True_}),
        ("parc", {"seed": False}),
        ("energy", {"share": True}),
        ("pactran", {"prior": True}),
        ("ridge_probe", {"ridges": [True]}),
    ],
)
def test_flags_are_no_numbers_and_numbers_no_flags(name: str, options: dict[str, Any]) -> None:
    (option,) = options
    with pytest.raises(tx.TransferabilityError, match=rf"^{option} is .*(give|choose)"):
        SPECS[name].options(SPECS[name].tasks[0], **options)


def test_all_keeps_what_can_be_computed() -> None:
    labels = np.arange(40) % 3
    features = np.random.default_rng(0).normal(size=(40, 1))
    scores = quietly(tx.score, features, labels, "all")
    assert "logme" in scores
    assert scores.skipped["parc"].startswith("failed: ")


@pytest.mark.parametrize("name", ["knn", "ridge_probe", "pactran"])
def test_features_that_say_nothing_are_told(name: str) -> None:
    if name == "pactran":
        pytest.importorskip("sklearn")
    with pytest.warns(tx.TransferabilityWarning):
        getattr(tx, name)(np.zeros((40, 5)), np.arange(40) % 3)


def test_extreme_options_are_refused() -> None:
    features = np.random.default_rng(0).normal(size=(40, 5))
    with pytest.raises(tx.DataError, match="ridge"):
        tx.lin_mse(features, features[:, 0], ridge=1e307)
    with pytest.raises(tx.DataError, match="choose 'l2'"):
        tx.knn(features, np.arange(40) % 3, metric=np.array(["l2", "b"]))  # type: ignore[arg-type]
