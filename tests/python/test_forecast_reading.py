"""How forecasts read a curve, and what they say of it: direction, curves by metric, the print."""

from __future__ import annotations

import json
import pickle
import re
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import transferability.forecast as tf
from transferability import DataError, DtypeError, MissingDependencyError, TransferabilityWarning

SIZES = [100, 200, 400, 800, 1600, 3200]
PILOT = [0.52, 0.61, 0.68, 0.735, 0.77, 0.80]
FALLING = PILOT[::-1]


@pytest.fixture(scope="module")
def curve() -> tf.Curve:
    x = np.random.default_rng(0).normal(size=(400, 4))
    y = (x[:, 0] + np.random.default_rng(1).normal(size=400) > 0).astype(int)
    return tf.curve(x, y, ["logme", "h_score"], [50, 100, 200, 400])


@pytest.mark.parametrize("target", [0.8, 0.81, 0.9, 1.0])
def test_a_target_that_falling_values_have_is_asked_about(target: float) -> None:
    """An accuracy that falls looks like an error rate."""
    message = rf"fall with more samples.*reaches {target:g}; for an accuracy .*'increasing'"
    with pytest.warns(TransferabilityWarning, match=message):
        found = tf.plan(target, SIZES, FALLING)
    assert "lower values are better" in repr(found)
    with pytest.warns(TransferabilityWarning, match=message):
        tf.fit(SIZES, FALLING).plan(target)
    with pytest.warns(TransferabilityWarning, match=message):
        pickle.loads(pickle.dumps(tf.fit(SIZES, FALLING))).plan(target)


@pytest.mark.parametrize("unit", [1.0, 100.0, 0.01])
def test_so_is_one_that_rising_values_have(unit: float) -> None:
    values = unit * np.array(PILOT)
    with pytest.warns(TransferabilityWarning) as caught:
        found = tf.plan(0.4 * unit, SIZES, values)
    texts = [str(warning.message) for warning in caught]
    assert re.search(r"rise .*a loss or an error.*'decreasing'", texts[-1])
    assert ["look like percent" in text for text in texts[:-1]] == [True] * (unit == 100)
    assert "higher values are better" in repr(found)


def test_a_given_direction_is_not_asked_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy = tf.plan(0.85, SIZES, FALLING, direction="increasing")
        assert not accuracy.reached
        assert (accuracy.direction, accuracy.to_dict()["direction"]) == ("increasing",) * 2
        error = tf.plan(0.85, SIZES, FALLING, direction="decreasing")
        assert (error.rows, error.direction) == (0, "decreasing")
        assert tf.plan(0.85, SIZES, PILOT).direction == "increasing"
        assert tf.plan(0.3, SIZES, 1 - np.array(PILOT)).rows == 0  # within the curve
        assert tf.plan(0.7, SIZES, PILOT).rows == 0
        assert tf.plan(0.1, SIZES, 1 - np.array(PILOT)).direction == "decreasing"


def test_curves_by_metric_name_the_right_call(curve: tf.Curve) -> None:
    right = r"logme, h_score.*\.fit\('logme'\)"
    calls: dict[str, list[Any]] = {
        "values": [
            lambda: tf.fit(curve.sizes, curve.values),
            lambda: tf.plan(0.3, curve.sizes, curve.values),
            lambda: tf.fit(curve.sizes, curve),
        ],
        "sizes": [
            lambda: tf.fit(curve.values, SIZES),
            lambda: tf.plan(0.3, curve, curve),
            lambda: tf.fit(curve, np.array(PILOT)),
            lambda: tf.fit(curve, pd.Series(PILOT)),
        ],
    }
    for name, every in calls.items():
        for call in every:
            with pytest.raises(DtypeError, match=f"^{name} holds curves by name .{right}"):
                call()
    with pytest.raises(DtypeError, match=r"^values holds curves by name"):
        tf.fit(SIZES, {})
    assert tf.fit(curve.sizes, curve.values["h_score"], limit=None).predict(800) == curve.fit(
        "h_score"
    ).predict(800)


def test_a_forecast_prints_forecasts() -> None:
    forecast = tf.fit(SIZES, PILOT)
    lines = repr(forecast).splitlines()
    for line, size in zip(lines[1:3], (6400, 32000), strict=True):
        low, high = forecast.interval(size)
        assert (
            line
            == f"  at {size}: {forecast.predict(size):.4g} (90% interval {low:.4g} to {high:.4g})"
        )
    assert "held-out error" in lines[3]
    assert "at 5000:" in forecast.describe([5000])
    assert "(50% interval" in forecast.describe(level=0.5)
    exact = tf.fit(SIZES[:3], PILOT[:3], "power_law")  # no size is held out, so no interval
    assert repr(exact).splitlines()[1] == f"  at 800: {exact.predict(800):.4g}"


def test_forecasts_as_plain_python() -> None:
    forecast = tf.fit(SIZES, PILOT)
    found = forecast.at([5000, 9000], 0.8)
    assert json.loads(json.dumps(found)) == found
    assert [entry["size"] for entry in found] == [5000, 9000]
    assert [entry["value"] for entry in found] == forecast.predict([5000, 9000]).tolist()
    low, high = forecast.interval([5000, 9000], 0.8)
    assert [[entry["low"], entry["high"]] for entry in found] == np.transpose([low, high]).tolist()
    assert forecast.at([]) == []
    with pytest.raises(DataError, match="start at the smallest size"):
        forecast.at([50])


def test_a_metric_of_samples_names_itself() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    with pytest.raises(DataError, match="ridge_probe") as caught:
        tf.curve(x, y, "ridge_probe")
    assert "at 15 samples" not in str(caught.value)


def test_a_curve_of_one_metric_is_fitted_as_it_is() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 6))
    labels = features[:, 0] + rng.normal(size=800) > 0
    curve = tf.curve(features, labels, "h_score", SIZES[:4])
    expected = curve.fit("h_score")
    calls: list[Any] = [
        lambda: tf.fit(curve.sizes, curve.values),
        lambda: tf.fit(curve),
        lambda: tf.fit(curve, "h_score"),
        lambda: tf.fit(curve.sizes, curve),
    ]
    for call in calls:
        found = call()
        assert (found.limit, found.predict(3200)) == (None, expected.predict(3200))
    assert tf.plan(0.3, curve).to_dict() == expected.plan(0.3).to_dict()
    assert tf.fit(curve.sizes, curve.values, limit=0).limit == 0
    with pytest.raises(DataError, match="there is no 'logme'; this curve has h_score"):
        tf.fit(curve, "logme")
    with pytest.raises(DtypeError, match="values is None"):
        tf.fit(curve.sizes)


def test_the_metric_of_several_is_named(curve: tf.Curve) -> None:
    assert tf.fit(curve, "h_score").predict(800) == curve.fit("h_score").predict(800)


def test_a_curve_blames_no_size_where_none_would_do() -> None:
    features = np.random.default_rng(0).normal(size=(80, 4))
    with pytest.raises(DataError, match=r"^ridge_probe needs samples"):
        tf.curve(features, features[:, 0] > 0, "ridge_probe")
    targets = np.zeros(80)
    with pytest.raises(DataError, match="constant") as every:
        tf.curve(features, targets, "logme", [10, 80], task="regression")
    assert "at 10 samples" not in str(every.value)
    rows = np.random.default_rng(0).permutation(80)
    targets[rows[20:]] = np.arange(60)  # those of the first 20 rows are constant
    with pytest.raises(DataError, match=r"^at 10 samples: .*constant.*; begin with more$"):
        tf.curve(features, targets, "logme", [10, 80], task="regression")


def test_a_share_among_percents_is_noted() -> None:
    message = r"0\.9, and the known values are 50 to 80; if these are percent, give 90"
    percents = [50, 60, 68, 74, 78, 80]
    found = tf.fit(SIZES, percents, limit=100)
    with pytest.warns(TransferabilityWarning, match=message):
        found.plan(0.9)
    with pytest.warns(TransferabilityWarning, match=message):
        found.size_for(0.9)
    relation = tf.rfml(SIZES, {}, percents, path="direct")
    with pytest.warns(TransferabilityWarning, match=message):
        relation.opc_for(0.9)
    with pytest.warns(TransferabilityWarning, match=message):
        relation.interval_for(0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.plan(90)
        relation.opc_for(70)
        tf.fit(SIZES, [9, 7, 5.5, 4.5, 3.9, 3.5]).plan(0.9)  # a loss may fall so far


def test_a_plan_says_that_the_target_was_measured() -> None:
    values = [0.60, 0.66, 0.80, 0.745, 0.775, 0.795]
    found = tf.fit(SIZES, values).plan(0.8)
    assert found.measured == SIZES[2]
    assert repr(found).startswith(
        f"0.8 was reached at {SIZES[2]:g} samples, perhaps by chance: the curve reaches it with "
        f"{found.rows:.7g} more rows"
    )
    within = tf.fit(SIZES, values).plan(0.7)
    assert within.measured == SIZES[2]
    assert repr(within).startswith("0.7 is reached with the")
    assert tf.fit(SIZES, values).plan(0.85).measured is None


def test_fit_itself_needs_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    for form in ("auto", "log_linear"):
        with pytest.raises(MissingDependencyError, match=r"'transferability\[stats\]'"):
            tf.fit(SIZES, PILOT, form)


def test_a_mapping_of_sizes_to_values_is_a_curve() -> None:
    curve = {400: 0.71, 100: 0.58, 200: 0.65, 800: 0.75}
    expected = tf.fit([100, 200, 400, 800], [0.58, 0.65, 0.71, 0.75])
    for forecast in (tf.fit(curve), tf.fit(curve, None), tf.fit(pd.Series(curve).to_dict())):
        assert forecast.predict(1600) == expected.predict(1600)
        assert forecast.limit == 1
    assert tf.plan(0.8, curve).target == 0.8
    with pytest.raises(DtypeError, match="values maps sizes to values; give it alone"):
        tf.fit([*curve], curve)
    with pytest.raises(DtypeError, match="values is None; give a value for each size, as fit"):
        tf.fit(pd.Series(curve))


def test_series_in_another_order_are_no_curve() -> None:
    sizes, values = pd.Series([100, 200, 400]), pd.Series([0.5, 0.6, 0.65])
    assert tf.fit(sizes, values).predict(800) == tf.fit([*sizes], [*values]).predict(800)
    with pytest.raises(DataError, match="values has the index of sizes in another order"):
        tf.fit(sizes, values[::-1])
