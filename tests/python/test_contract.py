"""The table of metrics keeps its promises: what a metric does not claim to read changes nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability._metric import registry

SPECS = registry.metric_specs()
FEATURES = {"stats", "class_scatters", "samples"}
PROBS = {"source_probs", "source_stats"}
# A metric that reads something may still be unmoved by a change of it that keeps its meaning.
CHANGES = ("features", "source_probs", "source_labels", "label_embeddings", "labels")


def inputs(task: str, seed: int = 0) -> dict[str, Any]:
    """Everything that a call can bring, for 60 rows."""
    rng = np.random.default_rng(seed)
    labels: Any = np.arange(60) % 3
    features = rng.normal(size=(60, 6)) + np.eye(3, 6)[labels]
    probs = rng.dirichlet(np.ones(5), size=60)
    if task == "regression":
        labels = features[:, :2] + rng.normal(size=(60, 2))
    if task == "multilabel":
        labels = np.stack([labels == 0, features[:, 0] > 0], axis=1).astype(int)
    return {
        "features": features,
        "labels": None if task == "unlabelled" else labels,
        "source_probs": probs,
        "source_labels": probs.argmax(axis=1),
        "label_embeddings": rng.normal(size=(60, 4, 3)),
    }


def value(name: str, given: dict[str, Any], task: str) -> tuple[float, ...]:
    """Give the score, or its parts where it has no value by itself."""
    task = "auto" if task == "unlabelled" else task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = tx.score(given["features"], given["labels"], name, task=task, **rest(given))
    numbers = [v for v in score.details.values() if isinstance(v, float)]
    return (float(score),) if not np.isnan(score) else tuple(numbers)


def rest(given: dict[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("source_probs", "source_labels", "label_embeddings")}


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
def test_what_is_not_claimed_changes_nothing(name: str, task: str) -> None:
    given, other = inputs(task), inputs(task, seed=1)
    before = value(name, given, task)
    for argument in CHANGES[:4]:
        if argument in reads(name):
            continue
        changed = given | {argument: other[argument]}
        assert value(name, changed, task) == before, argument
        assert value(name, given | {argument: None}, task) == before, argument


@pytest.mark.parametrize("name", SPECS)
def test_what_is_claimed_matters(name: str) -> None:
    task = SPECS[name].tasks[0]
    given, other = inputs(task), inputs(task, seed=1)
    assert reads(name), "a metric reads something beside the labels"
    before = value(name, given, task)
    for argument in reads(name):
        assert value(name, given | {argument: other[argument]}, task) != before, argument
    missing = given | dict.fromkeys(reads(name))
    with pytest.raises(tx.DataError):
        value(name, missing, task)


@pytest.mark.parametrize(
    ("name", "task"),
    [(n, t) for n, spec in SPECS.items() for t in spec.tasks if "unlabelled" not in spec.tasks],
)
def test_orders_of_rows_do_not_matter(name: str, task: str) -> None:
    if name in {"n_leep"}:
        pytest.skip("expectation maximisation starts from rows drawn by their place")
    given = inputs(task)
    order = np.random.default_rng(2).permutation(60)
    moved = {key: array[order] for key, array in given.items()}
    # Sums in another order; a fixed point or a search may stop a step apart.
    assert value(name, moved, task) == pytest.approx(value(name, given, task), rel=1e-7, abs=1e-9)


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
    given = inputs(task)
    asked = "auto" if task == "unlabelled" else task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = tx.score(given["features"], given["labels"], name, task=asked, **rest(given))
    lines = SPECS[name].explain(score)
    assert lines
    assert all(line and line[0].isupper() and line.endswith((".", ":")) for line in lines)
    assert SPECS[name].title in score.explain()


def test_lists_of_metrics_are_up_to_date() -> None:
    script = Path(__file__).parents[2] / "ci" / "derive.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run make derive: {done.stdout}{done.stderr}"


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tx.TransferabilityWarning)
        scores = tx.score(features, labels, "all")
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
    with pytest.raises(tx.DataError, match="wrong kind"):
        tx.knn(features, np.arange(40) % 3, metric=np.array(["l2", "b"]))  # type: ignore[arg-type]
