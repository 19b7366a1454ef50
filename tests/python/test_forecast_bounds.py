"""Forecasts within bounds: curves that reach their limit, explicit bounds, values beyond them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability.forecast as tf
from transferability import DataError, DtypeError, TransferabilityWarning, register_metric
from transferability._metric import registry

SIZES = [100, 200, 400, 800, 1600]
ACCURACIES = np.array([0.8, 0.9, 0.95, 0.98, 1.0])
LATER = np.array([1600.0, 6400.0, 16000.0, 1e6, 1e9])

pytestmark = pytest.mark.filterwarnings("ignore:.*decades beyond", "ignore:.*ten times the most")


def within(forecast: tf.Forecast, low: float, high: float, sizes: Any = LATER) -> None:
    """Check predictions and both ends of intervals."""
    found = forecast.predict(sizes)
    ends = forecast.interval(sizes)
    assert (low <= ends[0]).all()
    assert (ends[0] <= found).all()
    assert (found <= ends[1]).all()
    assert (ends[1] <= high).all()


@pytest.mark.parametrize("form", tf.FORMS)
@pytest.mark.parametrize("limit", ["auto", "given"])
def test_a_curve_that_reaches_its_bound_stays_there(form: str, limit: str) -> None:
    up = tf.fit(SIZES, ACCURACIES, form, limit=1 if limit == "given" else "auto")
    down = tf.fit(SIZES, 1 - ACCURACIES, form, limit=0 if limit == "given" else "auto")
    assert (up.limit, up.bounds, down.limit, down.bounds) == (1, (0, 1), 0, (0, 1))
    within(up, 0, 1)
    within(down, 0, 1)
    assert up.predict(6400) > 0.99, "the curve has arrived"
    assert up.interval(6400)[1] == 1, "as was measured already"
    # Errors are accuracies upside down, up to the end of iterations.
    assert down.predict(LATER) == pytest.approx(1 - up.predict(LATER), abs=1e-6)
    assert "reached at 1600" in repr(up)
    assert "of the range" in repr(up)
    assert json.loads(json.dumps(up.to_dict()))["bounds"] == [0, 1]


def test_the_specimen_arrives() -> None:
    forecast = tf.fit(SIZES, ACCURACIES)
    assert forecast.predict(6400) == 1
    assert tf.fit(SIZES, 1 - ACCURACIES).predict(6400) == 0
    size = forecast.size_for(1.0)
    assert 1600 < size < 3200
    assert forecast.predict(size) == 1
    assert forecast.predict(0.999 * size) < 1, "the smallest size at which it is reached"
    assert forecast.size_for(1.001) == math.inf
    ax = forecast.plot()
    low, high = ax.get_lines()[0].get_ydata().min(), ax.get_lines()[0].get_ydata().max()
    assert 0 <= low < high == 1


def test_percent_and_other_limits() -> None:
    percent = tf.fit(SIZES, 100 * ACCURACIES, limit=100)
    assert percent.predict(6400) == 100
    assert percent.bounds == (0, 100)
    within(percent, 0, 100)
    same = tf.fit(SIZES, 100 * ACCURACIES, bounds=(0, 100))
    assert (same.limit, same.predict(3200)) == (100, percent.predict(3200))
    losses = tf.fit(SIZES, [7.5, 5.0, 2.0, 0.5, 0.0])
    assert (losses.limit, losses.bounds) == (0, (0, None))
    within(losses, 0, math.inf)
    assert losses.predict(6400) < 0.5
    correlations = tf.fit(SIZES, [-0.2, 0.3, 0.6, 0.9, 1.0], bounds=(-1, 1))
    within(correlations, -1, 1)


def test_a_top_that_is_reached_is_the_limit() -> None:
    """Percentages, correlations and negative errors: none goes beyond 100, 1 and 0."""
    for values, top in (
        (100 * ACCURACIES, 100),
        ((100 * ACCURACIES).astype(np.float32), 100),
        (100 * ACCURACIES - 1e-14, 100),  # but for rounding
        ([80, 90, 95, 98, 100], 100),
        ([-0.2, 0.3, 0.6, 0.9, 1.0], 1),
        (ACCURACIES - 1, 0),  # such as negative mean squared errors
    ):
        message = f"exactly {top} and was taken for the limit; give limit={top} if none"
        with pytest.warns(TransferabilityWarning, match=message):
            found = tf.fit(SIZES, values)
        assert (found.limit, found.predict(6400)) == (top, top)
        within(found, -math.inf, top)
        same = tf.fit(SIZES, values, limit=top)
        assert (same.bounds, same.predict(3200)) == (found.bounds, found.predict(3200))
        tf.fit(SIZES, values, limit=None)
        tf.fit(SIZES, values, bounds=None)
        tf.fit(SIZES, values, direction="decreasing")
    with pytest.warns(TransferabilityWarning, match=r"79.2 to 99, .*percent, .*; give limit=100"):
        tf.fit(SIZES, 99 * ACCURACIES)
    tf.fit(SIZES, 99 * ACCURACIES, limit=100)
    tf.fit(SIZES, 9 * ACCURACIES)  # of no usual unit


@pytest.mark.parametrize(
    "values",
    [
        [0.9, 0.95, 1.0, 0.98, 0.99],  # reached by chance, then lost
        [0.5, 1.0, 1.0, 1.0, 1.0],
        [0.2, 1.0, 1.0, 1.0, 0.9999],
        [1.0, 0.9, 0.99, 1.0, 1.0],
        [0.0, 0.25, 0.5, 0.75, 1.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.5, 0.6, 0.7, 0.8, 1 - 2.0**-53],  # equal to 1 but for rounding
    ],
)
def test_other_curves_that_touch_their_bounds(values: list[float]) -> None:
    for form in tf.FORMS:
        up = tf.fit(SIZES, values, form, direction="increasing")
        assert up.limit == 1
        within(up, 0, 1)
        within(tf.fit(SIZES, 1 - np.array(values), form, direction="decreasing"), 0, 1)
    assert tf.fit(SIZES, values, direction="increasing").predict(6400) > 0.9


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), min_size=4, max_size=7),
    st.sampled_from(tf.FORMS),
    st.sampled_from(["increasing", "decreasing"]),
    st.sampled_from([1, 100]),
)
def test_no_forecast_leaves_the_bounds(
    values: list[float], form: str, direction: str, unit: int
) -> None:
    if len(set(values)) == 1:
        values[0] = 1 - values[0] if values[0] != 0.5 else 1.0
    n = 50 * 2.0 ** np.arange(len(values))
    forecast = tf.fit(n, unit * np.array(values), form, direction=direction, bounds=(0, unit))
    sizes = n[-1] * np.array([1.0, 2.0, 10.0, 1e5])
    found = forecast.predict(sizes)
    assert ((found >= 0) & (found <= unit)).all()
    if form == "auto" or forecast._law.cuts:
        within(forecast, 0, unit, sizes)
    assert not math.isnan(forecast.size_for(float(unit)))


def test_intervals_far_out_stay_between_both_bounds() -> None:
    values = np.array([0.5, 0.2, 0.4, 0.3])
    down = tf.fit(SIZES[:4], values)
    up = tf.fit(SIZES[:4], 1 - values)
    for level in (0.9, 0.9999):
        low, high = down.interval(1e5, level)
        assert 0 <= low < 0.1
        assert 0.3 < high <= 1
        assert up.interval(1e5, level) == pytest.approx((1 - high, 1 - low))
    # Losses have no upper bound, also where they are below 1: a single law may cross it.
    lines = [[0.5, 0.2, 0.4, 0.3, 0.6], [0.9, 0.2, 0.8, 0.3, 0.7]]
    for line in lines:
        options = {"form": "log_linear", "direction": "decreasing"}
        assert tf.fit(SIZES, line, **options).interval(1e5)[1] == 1
        assert tf.fit(SIZES, line, **options, bounds=(0, None)).interval(1e5)[1] > 1


def test_no_bound_where_there_is_none() -> None:
    """LogME is unbounded: its curves pass 1 and 0."""
    rising = 0.2 * np.log(np.array(SIZES)) - 0.5  # 0.42 to 0.98
    for forecast in (
        tf.Curve(np.array(SIZES, float), {"logme": rising}).fit("logme"),
        tf.fit(SIZES, rising, bounds=None),
        tf.fit(SIZES, rising, limit=None),
    ):
        assert (forecast.limit, forecast.bounds) == (None, (None, None))
        assert forecast.predict(16000) == pytest.approx(0.2 * math.log(16000) - 0.5, abs=0.01)
        assert forecast.predict(16000) > 1
    falling = tf.Curve(np.array(SIZES, float), {"logme": 1.4 - rising}).fit("logme")
    assert falling.predict(1e6) < 0
    signed = tf.fit(SIZES, rising - 0.7)  # -0.28 to 0.28
    assert signed.bounds == (None, None)
    assert signed.predict(1e9) > 1
    curve = tf.Curve(np.array(SIZES, float), {"h_score": rising})
    assert curve.fit("h_score", bounds=(0, 1)).predict(1e5) == 1
    assert curve.fit("h_score", limit=1).predict(1e5) < 1


def test_bounds_without_a_limit() -> None:
    forecast = tf.fit(SIZES, [0.5, 0.6, 0.7, 0.75, 0.8], limit=None, bounds=(0, 0.81))
    assert (forecast.limit, forecast.bounds) == (None, (0, 0.81))
    assert forecast.predict(6400) == 0.81
    within(forecast, 0, 0.81)
    tighter = tf.fit(SIZES, [0.5, 0.6, 0.7, 0.75, 0.8], limit=0.9, bounds=(0, 1))
    assert tighter.bounds == (0, 0.9)
    within(tighter, 0, 0.9)


def test_constant_beginnings_without_a_limit() -> None:
    """Cuts of equal values have no range to scale by."""
    for values in ([0.5, 0.5, 0.5, 0.6], [0.0, 0.0, 0.0, 0.0, 0.6]):
        forecast = tf.fit(SIZES[: len(values)], values, limit=None)
        assert np.isfinite(forecast.interval(3200)).all()


def test_rounding_is_not_beyond_a_limit() -> None:
    over = [0.5, 0.7, 0.9, 0.95, 1 + 2.0**-52]
    assert tf.fit(SIZES, over).predict(6400) <= 1
    assert tf.fit(SIZES, over, limit=1).values.max() == 1
    single = np.array([0.5, 0.7, 0.9, 0.95, 1 + 2.0**-23], dtype=np.float32)
    assert tf.fit(SIZES, single).limit == 1
    # Small losses are not rounding of 0.
    small = tf.fit(SIZES, 1e-20 * np.array([5.0, 4.0, 3.0, 2.5, 2.2]))
    assert small.predict(3200) > 1e-20
    assert "of the distance to the limit" in repr(small)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"limit": 1}, DataError, "below the limit 1, but one is 1.02 at size 400; give another"),
        ({"bounds": (0, 1)}, DataError, "bounds 0 to 1, but one is 1.02 at size 400; give other"),
        ({"bounds": (0.6, None)}, DataError, "bounds 0.6 to inf, but one is 0.5 at size 100"),
        ({"limit": math.nan}, DataError, "limit is nan; give a finite number"),
        ({"limit": math.inf}, DataError, "limit is inf; give a finite number"),
        ({"limit": [1]}, DtypeError, "limit is .*; give a number"),
        ({"limit": "one"}, DataError, "limit is 'one'"),
        ({"bounds": "share"}, DataError, "bounds is 'share'"),
        ({"bounds": (1, 0)}, DataError, "the first must be below the second"),
        ({"bounds": (0, math.nan)}, DataError, "the first must be below the second"),
        ({"bounds": 1}, DataError, "give a pair such as"),
        ({"bounds": ("a", None)}, DataError, "give a pair such as"),
        ({"limit": 3, "bounds": (0, 2)}, DataError, "limit is 3, outside the bounds 0 to 2"),
    ],
)
def test_wrong_bounds_say_what_to_do(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tf.fit(SIZES, [0.5, 0.6, 1.02, 0.8, 0.9], **options)


def test_values_that_are_no_numbers() -> None:
    with pytest.raises(DtypeError, match="values must be numbers"):
        tf.fit([1, 2, 3], ["a", "b", "c"])
    with pytest.raises(DtypeError, match="accuracy must be numbers"):
        tf.rfml([1, 2, 3], {"m": [1, 2, 3]}, ["a", "b", "c"])


def test_comparisons_of_curves_that_arrive() -> None:
    found = tf.compare(
        {
            "clean": tf.fit(SIZES, ACCURACIES),
            "slow": tf.fit(SIZES, [0.5, 0.7, 0.8, 0.9, 0.94]),
            "fast": tf.fit(SIZES, [0.9, 0.97, 1.0, 1.0, 1.0]),
        },
        6400,
    )
    assert found.values["clean"] == found.values["fast"] == 1
    assert all(0 <= low <= high <= 1 for low, high in found.intervals.values())
    assert found.samples_needed["clean"] == found.samples_needed["fast"] == 6400
    assert found.samples_needed["slow"] == math.inf


def test_rfml_stays_within_bounds() -> None:
    opc, metric = [10, 100, 1000], [-1.0, -0.5, 0.01]
    found = tf.rfml(opc, {"logme": metric}, [0.5, 0.75, 1.0])
    assert found.bounds == (0, 1)
    assert found.predict(1e5) == 1
    assert found.predict(1e-6) == 0
    assert found.opc_for(1.01) == math.inf
    assert found.interval_for(1.01) == (math.inf, math.inf)
    assert found.opc_for(0.9) < 1000
    percent = tf.rfml(opc, {"logme": metric}, [50, 75, 100])
    assert percent.bounds == (None, None)
    assert percent.predict(1e5) > 100
    bounded = tf.rfml(opc, {"logme": metric}, [50, 75, 100], bounds=(0, 100))
    assert bounded.predict(1e5) == 100
    assert tf.rfml(opc, {"logme": metric}, [0.5, 0.75, 1.0], bounds=None).predict(1e5) > 1
    with pytest.raises(DataError, match=r"accuracy must lie within the bounds 0 to 1.*1.2 at"):
        tf.rfml(opc, {"logme": metric}, [0.5, 0.75, 1.2], bounds=(0, 1))
    for wrong in (math.nan, math.inf):
        for call in (found.opc_for, found.interval_for):
            with pytest.raises(DataError, match="accuracy is"):
                call(wrong)
    for wrong in (math.nan, math.inf, 0, -1):
        with pytest.raises(DataError, match=r"opc is .*; give a positive number"):
            found.predict(wrong)


def test_curves_refuse_registered_metrics_that_need_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_specs", {**registry.metric_specs(), **registry._specs})

    @register_metric(name="of_samples_for_a_curve")
    def of_samples(features: Any, labels: Any) -> float:
        return float(features.mean())

    x = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(DataError, match=r"^of_samples_for_a_curve needs samples, and a curve"):
        tf.curve(x, x[:, 0] > 0, "of_samples_for_a_curve")
