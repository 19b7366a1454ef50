"""Intervals of forecasts and plans: coverage on synthetic laws, widths, plans, trouble."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from reference.learning_curves import NAMES, noisy_curves

import transferability.forecast as tf
from transferability import DataError, DtypeError, TransferabilityWarning
from transferability.forecast._posterior import Posterior, _compute_shapes

SIZES = [100, 200, 400, 800, 1600, 3200]
PILOT = [0.52, 0.61, 0.68, 0.735, 0.77, 0.80]

pytestmark = pytest.mark.filterwarnings("ignore:.*decades beyond")


def test_intervals_of_saturating_accuracies_cover() -> None:
    hits: dict[str, list[bool]] = {name: [] for name in NAMES}
    widths, plans = [], []
    for name in NAMES:
        for known, sizes, values, law in noisy_curves(name, 3, seed=11):
            forecast = tf.fit(sizes[:known], values[:known])
            low, high = forecast.interval(sizes[known:])
            assert (low <= forecast.predict(sizes[known:])).all()
            assert (forecast.predict(sizes[known:]) <= high).all()
            hits[name] += list((low <= values[known:]) & (values[known:] <= high))
            widths += list(high - low)
            end = 4 * sizes[known - 1]
            first, last = forecast.plan(float(law(np.array(end)))).interval
            plans.append(first <= end <= last)
    assert len(plans) == 24
    assert 0.80 <= np.mean([hit for every in hits.values() for hit in every]) <= 0.97
    # Of 12 dependent sizes of one law: far enough that a law that is not covered is seen.
    assert min(np.mean(every) for every in hits.values()) >= 0.5
    assert np.median(widths) < 0.1, "and the intervals tell something"
    assert np.mean(plans) > 0.75


def test_the_family_holds_the_laws() -> None:
    n = np.array([50.0, 100, 400, 3200, 1e5])
    from transferability.forecast import _posterior as module

    def shape(beta: float, rate: float, kappa: float) -> np.ndarray:
        before = module._BETA, module._RATE, module._KAPPA
        module._BETA, module._RATE, module._KAPPA = (np.array([p]) for p in (beta, rate, kappa))
        try:
            return _compute_shapes(n, 50.0)[0]
        finally:
            module._BETA, module._RATE, module._KAPPA = before

    t = n / 50
    for found, law in [
        (shape(0.4, 0.4, 1.0), t**-0.4),
        (shape(0.7, 0.1, 1.0), 1 / (1 + (t**0.7 - 1) * 0.1 / 0.7)),
        (shape(1.0, 0.02, 0.0), np.exp(-0.02 * (t - 1))),
        (shape(0.6, 0.3, 0.0), np.exp(-(t**0.6 - 1) * 0.5)),
        (shape(1.0, 0.2, 2.0), ((n + 75) / 125) ** -0.5),
        (shape(0.0, 1 / math.log(50), 1.0), math.log(50) / np.log(n)),
        (shape(0.0, 0.2, -1.0), np.maximum(1 - 0.2 * np.log(t), 0)),
    ]:
        assert found == pytest.approx(law, rel=1e-12, abs=1e-15)


def test_intervals_follow_units_levels_and_pickles() -> None:
    forecast = tf.fit(SIZES, PILOT)
    percent = tf.fit(SIZES, 100 * np.array(PILOT), limit=100)
    assert np.array(percent.interval(9000)) == pytest.approx(
        100 * np.array(forecast.interval(9000))
    )
    ends = [forecast.interval(9000, level) for level in (0.5, 0.8, 0.9, 0.99)]
    # An interval holds the forecast, which may be the upper end of narrow ones.
    assert all(b[0] < a[0] < a[1] <= b[1] for a, b in pairwise(ends))
    assert ends[0][1] < ends[-1][1]
    widths = np.diff(forecast.interval(np.array([3200, 6400, 12800, 32000])), axis=0)[0]
    assert (np.diff(widths) > 0).all()
    assert widths[0] < 0.03, "the size is known"
    twin = pickle.loads(pickle.dumps(forecast))
    assert twin.interval(9000) == forecast.interval(9000)
    fresh = tf.fit(SIZES[::-1], PILOT[::-1])
    assert fresh.interval(9000) == forecast.interval(9000)


def test_a_plateau_is_not_continued_upwards() -> None:
    """A curve that has saturated below the limit, which laws without a floor run away from."""
    n = 50 * 2.0 ** np.arange(9)
    rng = np.random.default_rng(3)
    values = 0.8 - 0.5 * np.exp(-n / 150) + 0.002 * rng.normal(size=9)
    low, high = tf.fit(n, values).interval(16 * n[-1])
    assert low < 0.8 < high
    assert tf.fit(n, values).plan(0.95).probability < 0.3


def test_errors_at_held_out_sizes_widen() -> None:
    n = 200 * 2.0 ** np.arange(8)
    slow_then_fast = np.array([1.0, 0.99, 0.98, 0.96, 0.93, 0.6, 0.35, 0.2])
    steady = Posterior(n, 4 * (n / 200) ** -0.4, 0.0)
    assert steady.factor < Posterior(n, 4 * slow_then_fast, 0.0).factor


def test_intervals_grow_with_the_distance_beyond_the_known_sizes() -> None:
    """By 0.4 once the distance is the span of the known sizes, and not within them."""
    known = Posterior(np.geomspace(100, 3200, 6), 3 * np.geomspace(100, 3200, 6) ** -0.3, 0.0)
    found = known._grow(np.array([100, 3200, 3200 * 32, 3200 * 32**2]))
    assert found == pytest.approx([1, 1, 1.4, 1.8], rel=1e-12)


def test_long_curves_are_cut_at_few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cut takes about as long as the rest of an interval."""
    from transferability.forecast import _posterior as module

    lengths: list[int] = []

    def record(sizes: np.ndarray, *args: Any) -> np.ndarray:
        lengths.append(len(sizes))
        return _compute_shapes(sizes, *args)

    monkeypatch.setattr(module, "_compute_shapes", record)
    n = np.arange(1.0, 121)
    assert Posterior(n, n**-0.3, 0.0).factor >= 1
    assert len(lengths) == 2 * 16  # each cut: its own sizes, then the others
    assert (min(lengths[::2]), max(lengths[::2])) == (3, 119)
    lengths.clear()
    assert Posterior(n[:12], n[:12] ** -0.3, 0.0).factor >= 1
    assert sorted(lengths[::2]) == sorted([3, 4, 5, 6, 7, 8, 9, 10, 11])


def test_plans() -> None:
    pilot = tf.fit(SIZES, PILOT)
    found = pilot.plan(0.82)
    low, high = found.interval
    assert 3200 < low < found.size < high
    assert (found.known, found.level, found.up_to, found.reached) == (3200, 0.9, 320000, True)
    assert found.rows == math.ceil(found.size) - 3200
    assert found.rows_interval[0] < found.rows < found.rows_interval[1]
    assert 0.9 < found.probability <= 1
    assert tf.plan(0.82, SIZES, PILOT) == found
    text = repr(found)
    assert f"needs {found.rows:g} more rows than the 3200 known" in text
    assert "90% interval" in text
    narrow = pilot.plan(0.82, level=0.5)
    assert low < narrow.interval[0] < narrow.interval[1] < high
    ready = json.loads(json.dumps(pilot.plan(0.99).to_dict()))
    assert (ready["size"], ready["reached"], ready["target"]) == ("inf", False, 0.99)


def test_plans_of_targets_that_are_known_or_out_of_reach() -> None:
    pilot = tf.fit(SIZES, PILOT)
    known = pilot.plan(0.7)
    assert known.rows == 0
    assert known.probability > 0.99
    assert 200 < known.size < 800
    assert "is reached with the 3200 samples known" in repr(known)
    never = pilot.plan(0.97)
    assert (never.rows, never.reached, never.interval[1]) == (math.inf, False, math.inf)
    assert never.probability < 0.1
    assert "0.97 is not reached" in repr(never)
    assert f"probability that at most 320000 samples reach it: {never.probability:.2g}" in repr(
        never
    )
    with pytest.warns(TransferabilityWarning, match="target is 1.5, beyond 1"):
        assert pilot.plan(1.5).probability == 0
    assert pilot.plan(0.82, up_to=3200).probability < 0.1
    chances = [pilot.plan(target).probability for target in (0.81, 0.84, 0.88, 0.93)]
    assert chances == sorted(chances, reverse=True)
    longer = [pilot.plan(0.86, up_to=n).probability for n in (6400, 32000, 320000)]
    assert longer == sorted(longer)


def test_plans_for_losses_metrics_and_single_laws() -> None:
    n = np.array(SIZES, dtype=float)
    losses = tf.plan(0.3, SIZES, 3 * n**-0.3)  # the law reaches it at 2154
    assert losses.size == pytest.approx(2154, rel=0.05)
    further = tf.plan(0.2, SIZES, 3 * n**-0.3)  # at 8325
    assert further.interval[0] < 8325 < further.interval[1]
    metric = tf.plan(1.2, SIZES, 0.2 * np.log(n) - 0.5, limit=None)  # at 4915
    assert metric.interval[0] < 4915 < metric.interval[1]
    line = tf.plan(1.2, SIZES, 0.2 * np.log(n) - 0.5, form="log_linear", limit=None)
    assert line.size == pytest.approx(4915, rel=1e-2)
    assert line.probability == 1
    accuracies = tf.plan(0.84, SIZES, PILOT, form="power_law")
    assert 3200 < accuracies.interval[0] < accuracies.size < accuracies.interval[1]


def test_three_sizes_make_wide_plans() -> None:
    found = tf.plan(0.8, SIZES[:3], PILOT[:3])
    assert found.interval[0] < found.size
    assert found.interval[1] > 10 * found.interval[0]


def test_plans_say_what_is_wrong() -> None:
    pilot = tf.fit(SIZES, PILOT)
    for target in (math.nan, math.inf):
        with pytest.raises(DataError, match=r"target is .*; ask for a finite one"):
            pilot.plan(target)
    for up_to in (3199, math.inf, math.nan):
        with pytest.raises(DataError, match="at least 3200, the largest known"):
            pilot.plan(0.9, up_to=up_to)
    with pytest.raises(DataError, match="level is 90"):
        pilot.plan(0.9, level=90)
    with pytest.raises(DataError, match="needs at least 5 sizes"):
        tf.plan(0.9, SIZES[:4], PILOT[:4], form="rectified")


# --- paths of RFML --------------------------------------------------------------------------------

OPC = np.array([5, 10, 20, 50, 100, 200, 500])
X = np.log10(OPC)
BEND = np.array([0.1, -0.05, -0.1, 0.02, 0.08, -0.03, -0.02])
METRIC = -2 + 0.4 * X + BEND
ACCURACY = 0.3 + 0.1 * X + 0.2 * METRIC


def test_the_direct_path_is_the_line_of_accuracy() -> None:
    found = tf.rfml(OPC, {"logme": METRIC}, ACCURACY, path="direct")
    slope, intercept = np.polyfit(X, ACCURACY, 1)
    assert found.accuracy_by_opc == pytest.approx((intercept, slope), rel=1e-9)
    assert found.r2_opc == pytest.approx(np.corrcoef(X, ACCURACY)[0, 1] ** 2)
    assert found.predict(1000) == pytest.approx(intercept + 3 * slope)
    assert found.opc_for(found.predict(2000)) == pytest.approx(2000)
    low, high = found.interval_for(0.2)
    assert low < found.opc_for(0.2) < high
    alone = tf.rfml(OPC, {}, ACCURACY, path="direct")
    assert (alone.metric, alone.correlations) == (None, {})
    assert alone.predict(1000) == found.predict(1000)
    assert math.isnan(alone.r2_metric)
    assert (found.path, found.accuracy_by_both) == ("direct", None)
    with pytest.raises(DataError, match="metric has no part in the path 'direct'"):
        found.predict(1000, metric=-1.0)


def test_the_joint_path_is_the_plane() -> None:
    rng = np.random.default_rng(0)
    metrics = {"noise": rng.normal(size=7), "logme": METRIC}
    found = tf.rfml(OPC, metrics, ACCURACY, path="joint")
    assert found.metric == "logme"
    assert found.accuracy_by_both == pytest.approx((0.3, 0.1, 0.2))
    assert found.r2_both == pytest.approx(1)
    assert found.predict(1000, metric=-0.5) == pytest.approx(0.3 + 0.3 - 0.1)
    # With the metric's own line the plane is the line of accuracy, by least squares.
    direct = tf.rfml(OPC, metrics, ACCURACY, path="direct")
    f0, f1, f2 = found.accuracy_by_both
    c0, c1 = found.metric_by_opc
    assert f0 + 3 * f1 + f2 * (c0 + 3 * c1) == pytest.approx(direct.predict(1000))
    assert found.predict(1000) == direct.predict(1000)
    assert found.interval_for(0.2) == direct.interval_for(0.2)


def test_the_chain_takes_a_measured_metric() -> None:
    found = tf.rfml(OPC, {"logme": METRIC}, ACCURACY)
    assert found.path == "chain"
    d0, d1 = found.accuracy_by_metric
    c0, c1 = found.metric_by_opc
    assert found.predict(1000, metric=-0.5) == pytest.approx(d0 - 0.5 * d1)
    assert found.predict(1000, metric=c0 + 3 * c1) == pytest.approx(found.predict(1000))
    assert tf.rfml(OPC, {"logme": METRIC}, ACCURACY, path="chain").predict(900) == found.predict(
        900
    )
    with pytest.raises(DataError, match="metric is nan"):
        found.predict(1000, metric=math.nan)
    with pytest.warns(TransferabilityWarning, match="ten times the most seen"):
        found.predict(6000, metric=-0.5)


def test_paths_say_what_is_wrong() -> None:
    with pytest.raises(DataError, match="path"):
        tf.rfml(OPC, {"logme": METRIC}, ACCURACY, path="line")
    for path in ("chain", "joint"):
        with pytest.raises(DataError, match="must map"):
            tf.rfml(OPC, {}, ACCURACY, path=path)
    with pytest.raises(DataError, match=r"logme is a line in log10 of opc.*use path='chain'"):
        tf.rfml(OPC, {"logme": -2 + 0.4 * X}, ACCURACY, path="joint")
    with pytest.raises(DataError, match="needs 4 rows, there are 3"):
        tf.rfml(OPC[:3], {"logme": METRIC[:3]}, ACCURACY[:3], path="joint")


def test_the_joint_path_passes_over_lines_and_names_them_where_all_are() -> None:
    metrics = {"line": -2 + 0.4 * X, "logme": METRIC}
    assert tf.rfml(OPC, metrics, ACCURACY, path="joint").metric == "logme"
    with pytest.raises(DataError, match="a and b is a line in log10 of opc"):
        tf.rfml(OPC, {"a": X, "b": 1 - X}, ACCURACY, path="joint")


@pytest.mark.parametrize("path", ["chain", "direct", "joint"])
def test_no_observations_suffice_where_accuracy_falls(path: str) -> None:
    found = tf.rfml(OPC, {"logme": METRIC}, ACCURACY[::-1], path=path)
    with pytest.warns(TransferabilityWarning, match="accuracy falls with more observations"):
        assert found.opc_for(0.2) == math.inf
    assert found.interval_for(0.2) == (math.inf, math.inf)


def test_a_plan_of_shares_of_a_data_set_warns() -> None:
    shares = [n / SIZES[-1] for n in SIZES]
    with pytest.warns(TransferabilityWarning, match="sizes are at most 1, .* multiply them"):
        of_shares = tf.plan(0.82, shares, PILOT)
    assert of_shares.size * SIZES[-1] == pytest.approx(tf.plan(0.82, SIZES, PILOT).size)


# --- what is not a number -------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["0.9", [0.9], None, 1j, 10**400])
def test_what_is_not_one_number_is_named(wrong: Any) -> None:
    pilot = tf.fit(SIZES, PILOT)
    lines = tf.rfml(OPC, {"logme": METRIC}, ACCURACY)
    calls: dict[str, list[Callable[[], object]]] = {
        "target": [lambda: pilot.plan(wrong), lambda: tf.plan(wrong, SIZES, PILOT)],
        "value": [lambda: pilot.size_for(wrong), lambda: pilot.size_interval(wrong)],
        "level": [
            lambda: pilot.interval(9000, wrong),
            lambda: pilot.plan(0.9, level=wrong),
            lambda: pilot.plot(level=wrong),
            lambda: lines.interval_for(0.2, wrong),
        ],
        "accuracy": [lambda: lines.opc_for(wrong), lambda: lines.interval_for(wrong)],
        "opc": [lambda: lines.predict(wrong)],
    }
    if wrong is not None:
        calls["up_to"] = [lambda: pilot.plan(0.9, up_to=wrong), lambda: pilot.plot(up_to=wrong)]
        calls["metric"] = [lambda: lines.predict(100, wrong)]
    for name, every in calls.items():
        for call in every:
            with pytest.raises(DtypeError, match=f"^{name} must be one number"):
                call()


def test_arrays_that_are_not_numbers_are_named() -> None:
    pilot = tf.fit(SIZES, PILOT)
    for wrong in ("many", np.array([1 + 1j]), np.array([9000], "datetime64[s]")):
        for call in (pilot.predict, pilot.interval):
            with pytest.raises(DtypeError, match=r"^size must be numbers"):
                call(wrong)
    with pytest.raises(DtypeError, match=r"^values must be numbers.*complex128"):
        tf.fit(SIZES, np.array(PILOT) + 1j)
    with pytest.raises(DtypeError, match=r"^sizes must be numbers.*datetime64"):
        tf.fit(np.array(SIZES, "datetime64[s]"), PILOT)
    with pytest.raises(DtypeError, match=r"^metrics is of type list; map names"):
        tf.rfml(OPC, [METRIC], ACCURACY)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"^forecasts must map names"):
        tf.compare([pilot, pilot])  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"^forecasts must map names"):
        tf.compare(pilot)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"^size must be one number"):
        tf.compare({"a": pilot, "b": pilot}, size=[3200])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"logme\[1\] is nan; leave out"):
        tf.rfml(OPC, {"logme": [0.1, math.nan, *METRIC[2:]]}, ACCURACY)


def test_sizes_in_any_shape() -> None:
    pilot = tf.fit(SIZES, PILOT)
    sizes = np.array([[4000, 5000, 6000], [7000, 8000, 9000]])
    assert (pilot.predict(sizes) == pilot.predict(sizes.ravel()).reshape(2, 3)).all()
    for end, flat in zip(pilot.interval(sizes), pilot.interval(sizes.ravel()), strict=True):
        assert (end == flat.reshape(2, 3)).all()
    assert pilot.predict([]).shape == (0,)


def test_plots_refuse_ends_that_leave_nothing_to_show() -> None:
    pilot = tf.fit(SIZES, PILOT)
    for up_to in (0, 100, math.inf, math.nan):
        with pytest.raises(DataError, match="finite size above 100, the smallest known"):
            pilot.plot(up_to=up_to)


def test_fits_compare_by_identity_and_hide_their_draws() -> None:
    pilot, lines = tf.fit(SIZES, PILOT), tf.rfml(OPC, {"logme": METRIC}, ACCURACY)
    assert pilot == pilot
    assert pilot != tf.fit(SIZES, PILOT)
    assert lines != tf.rfml(OPC, {"logme": METRIC}, ACCURACY)
    assert len({pilot, lines}) == 2
    assert "_draws" not in repr(lines)
