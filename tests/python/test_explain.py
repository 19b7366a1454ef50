"""Score.explain: references, rows for each feature, dead columns, saturation."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import transferability as tx
from transferability import DataError, DtypeError
from transferability.cli import main


def data(n: int = 200, d: int = 8) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 4
    return rng.normal(size=(n, d)) + np.eye(4, d)[labels], labels


@pytest.mark.parametrize("metric", ["logme", "h_score", "knn", "ridge_probe", "transrate"])
def test_references_are_scores_of_shuffled_labels_and_constant_features(metric: str) -> None:
    x, labels = data()
    score = tx.score(x, labels, metric, reference=4)
    assert float(score) == float(tx.score(x, labels, metric))
    rng = np.random.default_rng(0)
    values = [float(tx.score(x, labels[rng.permutation(200)], metric)) for _ in range(4)]
    found = score.references
    assert found["shuffles"] == 4
    assert found["shuffled"] == pytest.approx(np.mean(values), rel=1e-12)
    assert found["shuffled_sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        constant = float(tx.score(np.ones((200, 1)), labels, metric))
    assert found["constant"] == pytest.approx(constant)
    assert found["dead_columns"] == 0
    text = score.explain()
    assert f"labels in random order the same data get {found['shuffled']:.4f}" in text
    assert "4 orders" in text
    assert f"says the same of every row gets {found['constant']:.4f}" in text
    assert "random order" not in tx.score(x, labels, metric).explain()
    assert pickle.loads(pickle.dumps(score)).references == found
    assert score.to_dict()["details"]["references"]["shuffles"] == 4


@pytest.mark.parametrize("names", ["abcdefgh", "aycdefgh"])  # "y" may be a name of labels
@pytest.mark.parametrize("groups", [None, np.arange(200) // 100])
def test_references_of_a_frame_are_those_of_its_array(names: str, groups: Any) -> None:
    pandas = pytest.importorskip("pandas")
    x, labels = data()
    frame = pandas.DataFrame(x, columns=list(names))
    found = tx.score(frame, labels, groups=groups, reference=2)
    assert found.references == tx.score(x, labels, groups=groups, reference=2).references


def test_sources_have_references_too() -> None:
    _, labels = data()
    probs = np.random.default_rng(1).dirichlet(np.ones(4), 200) / 2 + np.eye(4)[labels] / 2
    scores = tx.score(
        None, labels, ["leep", "nce"], source_probs=probs, source_labels=labels, reference=3
    )
    flat = -np.log(4)  # nothing is known of four equally frequent classes
    for score in scores.values():
        assert score.references["constant"] == pytest.approx(flat)
        assert flat <= score.references["shuffled"] < float(score)
        assert score.references["dead_columns"] is None


def test_dead_columns_are_counted() -> None:
    x, labels = data()
    x[:, [2, 5]] = 3.0
    score = tx.score(x, labels, reference=2)
    assert score.references["dead_columns"] == 2
    assert "2 of 8 features are the same in every row" in score.explain()


def test_groups_are_shuffled_as_one() -> None:
    x, labels = data()
    videos = np.arange(200) // 50
    score = tx.score(x, labels, groups=videos, aggregate="min", reference=2)
    assert score.references["shuffled"] < float(score)
    assert "random order" in score.explain()


def test_a_reference_without_a_value_is_left_out() -> None:
    x, labels = data()
    target = x[:, 0] + labels
    score = tx.score(x, target, "lin_mse", reference=2)
    assert "random order" in score.explain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nothing = tx.score(x, labels, "ncti", reference=2)  # defined among models only
    assert "random order" not in nothing.explain()


def test_few_rows_and_saturation_are_named() -> None:
    x, labels = data(40, 20)
    text = tx.h_score(x, labels).explain()
    assert "40 rows x 20 features (2 rows for each)" in text
    assert "fewer than 10 rows for each feature" in text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        full = tx.h_score(*data(20, 30)).explain()
    assert "no more rows than features" in full
    assert "nearly saturated" in full
    assert "saturated" not in tx.h_score(*data(400, 8)).explain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = tx.logme(np.eye(4)[labels % 4], labels % 4).explain()
    assert "no maximum at a finite noise" in exact


@pytest.mark.parametrize(
    ("reference", "error"), [(1, DataError), (-2, DataError), (True, DataError), (2.5, DtypeError)]
)
def test_wrong_numbers_of_orders(reference: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="reference is"):
        tx.score(*data(), reference=reference)


def test_the_command_line(tmp_path: Path) -> None:
    x, labels = data()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    command = ["score", str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "--explain"]
    result = CliRunner().invoke(main, [*command, "--reference", "3"])
    assert result.stdout.rstrip() == tx.score(x, labels, reference=3).explain()
    assert "random order" not in CliRunner().invoke(main, command).stdout
