"""Structured targets, such as keypoints, are a target for each coordinate in every entry point."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import transferability as tx
from transferability import DataError
from transferability._inputs.labels import read_labels
from transferability.cli import main

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
POINTS = RNG.normal(size=(60, 17, 2)) + X[:, :1, None]
FLAT = POINTS.reshape(60, 34)
OF_TARGETS = ("logme", "lin_mse", "ridge_probe", "knn", "cka")


@pytest.mark.parametrize("metric", OF_TARGETS)
def test_every_metric_of_targets_takes_keypoints(metric: str) -> None:
    for task in ("auto", "regression"):
        found = tx.score(X, POINTS, metric, task=task)
        assert float(found) == float(tx.score(X, FLAT, metric, task=task))
        assert found.task == "regression"
    function = getattr(tx, metric)
    assert float(function(X, POINTS)) == float(function(X, FLAT))


@pytest.mark.parametrize("shape", [(60, 4), (60, 2, 2), (60, 2, 1, 2), (60, 1, 1, 1), (60, 1, 1)])
def test_any_number_of_axes_is_one_rule(shape: tuple[int, ...]) -> None:
    targets = RNG.normal(size=shape)
    expected = tx.lin_mse(X, targets.reshape(60, -1))
    assert float(tx.lin_mse(X, targets)) == float(expected)


@pytest.mark.parametrize("entry", ["rank", "stats", "blocks", "engine", "curve", "files", "groups"])
def test_every_entry_point_takes_keypoints(entry: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    groups = np.arange(60) % 2

    def blocks(y: Any) -> float:
        stats = tx.Stats().update(X[:25], y[:25]).update(X[25:], y[25:])
        return float(stats.logme())

    def files(y: Any) -> float:
        np.save(tmp_path / "y.npy", y)
        stats = tx.io.stats_of(tmp_path / "x.npy", tmp_path / "y.npy", progress=False)
        return float(stats.logme())

    acts: dict[str, Callable[[Any], float]] = {
        "rank": lambda y: float(tx.rank({"a": X}, y)["a"].logme),
        "stats": lambda y: float(tx.Stats().update(X, y).logme()),
        "blocks": blocks,
        "engine": lambda y: float(tx.Engine("lin_mse").score(X, targets=y)),
        "curve": lambda y: float(tx.forecast.curve(X, y, "logme", [40, 60]).values["logme"].sum()),
        "files": files,
        "groups": lambda y: float(tx.score(X, y, groups=groups, aggregate="min")),
    }
    assert acts[entry](POINTS) == acts[entry](FLAT)


def test_the_command_line_takes_keypoints(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", POINTS)
    done = CliRunner().invoke(
        main, ["score", str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "--json"]
    )
    assert json.loads(done.stdout)["logme"]["value"] == float(tx.logme(X, FLAT))


def test_any_container_holds_them() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    given = [
        POINTS.tolist(),
        [*POINTS],
        pandas.Series([*POINTS]),
        pandas.Series(POINTS.tolist()),
        pandas.DataFrame({"points": POINTS.tolist()}),
        polars.Series(POINTS.tolist()),
        POINTS.astype(object),
        np.asfortranarray(POINTS),
        POINTS[:, ::-1][:, ::-1],
    ]
    for labels in given:
        np.testing.assert_array_equal(read_labels(labels)[0], FLAT)


def test_keypoints_in_whole_pixels_ask_for_the_task() -> None:
    pixels = np.round(100 * POINTS).astype(int)
    with pytest.raises(DataError, match=r"shape \(60, 34\) hold integers.*task='regression'"):
        tx.logme(X, pixels)
    score = tx.logme(X, pixels, task="regression")
    assert float(score) == float(tx.logme(X, pixels.reshape(60, 34), task="regression"))


def test_several_axes_are_no_classes_and_no_groups() -> None:
    with pytest.raises(DataError, match=r"shape \(60, 4\) are not one class per row"):
        tx.logme(X, np.arange(240).reshape(60, 2, 2), task="classification")
    with pytest.raises(DataError, match=r"groups has shape"):
        tx.score(X, X[:, 0], groups=np.zeros((60, 2, 2), int))
    with pytest.raises(DataError, match="source_labels must be one class per row"):
        tx.nce(source_labels=np.zeros((60, 2, 2), int), labels=np.arange(60) % 2)
    with pytest.raises(DataError, match="empty"):
        tx.lin_mse(X, np.empty((0, 17, 2)))
    with pytest.raises(DataError, match=r"targets has 1 missing.*position 7, 3"):
        tx.lin_mse(X, np.where(np.arange(60 * 34).reshape(60, 17, 2) == 7 * 34 + 3, np.nan, POINTS))
    with pytest.raises(DataError, match="at least 1-D, got 0-D"):
        tx.lin_mse(X, 3.0)


def test_scikit_learn_takes_one_row_of_targets() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(DataError, match=r"y has shape \(60, 17, 2\).*y.reshape\(len\(y\), -1\)"):
        tx.LogMERegressor().fit(X, POINTS)
    assert tx.LogMERegressor().fit(X, FLAT).coef_.shape == (34, 5)
