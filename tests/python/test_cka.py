"""Unbiased CKA against the n x n definition, and CKA between two sets of features.

The package computes it from U-centred products of held rows, or from sums about the mean; the
reference from Gram matrices without diagonal, as Song et al. define it. Both lose about 1e-16 times
the ratio of the largest product to the root of HSIC, below 1e4 on these data: 1e-10 leaves room for
an offset of 1e6 standard deviations, which costs the *data* six of their digits when it is added.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_tester import close, quietly
from numpy.typing import NDArray
from reference import hscore as reference

import transferability as tx
from transferability import DataError, Stats, TransferabilityWarning

Array = NDArray[np.float64]
TASKS = ["classification", "regression", "multilabel"]
SHAPES = [(4, 3), (5, 1), (12, 40), (30, 29), (30, 30), (31, 30), (90, 12), (300, 4)]


def problem(
    shape: tuple[int, int], task: str, seed: int = 0, offset: float = 0.0, width: int = 3
) -> tuple[Array, NDArray[Any], Array]:
    """Return features, labels, and the columns that the definition compares."""
    rng = np.random.default_rng(seed)
    n, d = shape
    classes = np.arange(n) * 7 % (2 if n < 6 else 3)
    features = rng.normal(size=shape) + np.eye(3, d)[classes] + offset
    if task == "classification":
        return features, classes, reference.indicators(classes)
    if task == "multilabel":
        columns = np.stack([classes == 0, np.arange(n) < n // 2], axis=1).astype(float)
        return features, columns, columns
    targets = features[:, :1] - offset + rng.normal(size=(n, width)) + 3 * offset
    return features, targets, targets


def assert_equal(found: float, expected: float) -> None:
    assert close(found, expected, 1e-10), (found, expected)


@settings(deadline=None, max_examples=150)
@given(
    shape=st.sampled_from(SHAPES),
    task=st.sampled_from(TASKS),
    offset=st.sampled_from([0.0, 1e6]),
    width=st.sampled_from([1, 2, 5]),
    cuts=st.lists(st.integers(1, 299), max_size=4),
    seed=st.integers(0, 1000),
)
def test_it_is_the_definition_however_it_is_summed(
    shape: tuple[int, int], task: str, offset: float, width: int, cuts: list[int], seed: int
) -> None:
    features, labels, columns = problem(shape, task, seed, offset, width)
    expected = reference.unbiased_cka(features, columns)
    assert_equal(tx.cka(features, labels, task=task), expected)
    if columns.shape[1] > shape[1] and task != "classification":
        return  # more targets than features: from the targets themselves
    edges = [0, *sorted({cut for cut in cuts if cut < len(features)}), len(features)]
    rows = [slice(a, b) for a, b in itertools.pairwise(edges)]
    blocks = Stats(task)
    for part in rows:
        blocks.update(features[part], labels[part])
    merged = Stats.merge_all(Stats(task).update(features[r], labels[r]) for r in rows)
    for stats in (blocks, merged, Stats.from_bytes(merged.to_bytes())):
        assert_equal(stats.score("cka"), expected)
    assert_equal(Stats.from_moments(blocks.moments()).score("cka"), expected)
    scatters = Stats(task, class_scatters=True).update(features, labels)
    assert_equal(scatters.score("cka"), expected)


@pytest.mark.parametrize("shape", [(20, 40), (60, 8)])
def test_classes_that_turn_out_to_be_targets(shape: tuple[int, int]) -> None:
    features, classes, _ = problem(shape, "classification")
    numbers = 5 * classes - 1.0
    later = numbers + 0.25
    half = shape[0] // 2
    stats = Stats().update(features[:half], numbers[:half])
    for start in (half, half + 2):  # the second block continues as targets
        stop = half + 2 if start == half else shape[0]
        stats.update(features[start:stop], later[start:stop])
    targets = np.concatenate([numbers[:half], later[half:]])[:, None]
    assert stats.task == "regression"
    assert_equal(stats.score("cka"), reference.unbiased_cka(features, targets))


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("shape", [(20, 40), (60, 8)])
def test_columns_that_come_in_another_order(shape: tuple[int, int], task: str) -> None:
    pandas = pytest.importorskip("pandas")
    features, labels, columns = problem(shape, task, offset=5.0)
    frame = pandas.DataFrame(features, columns=[f"f{j}" for j in range(shape[1])])
    half = shape[0] // 2
    first = Stats(task).update(frame[:half], labels[:half])
    second = Stats(task).update(frame[frame.columns[::-1]][half:], labels[half:])
    for merged in (first + second, second + first):
        assert_equal(merged.score("cka"), reference.unbiased_cka(features, columns))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("shape", [(20, 40), (60, 8)])
def test_weights_are_repeated_rows(shape: tuple[int, int], task: str) -> None:
    features, labels, columns = problem(shape, task)
    weights = np.arange(len(labels)) % 4
    expected = reference.unbiased_cka(features.repeat(weights, 0), columns.repeat(weights, 0))
    stats = Stats(task).update(features, labels, sample_weight=weights)
    assert_equal(stats.score("cka"), expected)
    scatters = Stats(task, class_scatters=True).update(features, labels, weights)
    assert_equal(scatters.score("cka"), expected)


@pytest.mark.parametrize("shape", [(20, 40), (60, 8)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_floats(shape: tuple[int, int], dtype: type) -> None:
    features, labels, columns = problem(shape, "classification")
    narrow = features.astype(dtype)
    exact = reference.unbiased_cka(narrow.astype(np.float64), columns)
    assert_equal(tx.cka(narrow, labels), exact)
    single = tx.cka(narrow, labels, precision="single")
    # Products of n rows in float32: n roundings of 6e-8 at most.
    assert close(single, exact, len(labels) * 2.0**-24)


@pytest.mark.parametrize("task", TASKS)
def test_blocks_with_means_far_apart(task: str) -> None:
    """Each block has a shift of its own; merging moves the sums of degree four between them."""
    features, labels, columns = problem((90, 6), task)
    step = np.repeat([0.0, 30.0, -50.0], 30)[:, None]
    features = features + step
    if task == "regression":
        labels = columns = columns - 2 * step
    merged = Stats(task)
    for part in np.array_split(np.arange(90), 3):
        merged = merged + Stats(task).update(features[part], labels[part])
    assert_equal(merged.score("cka"), reference.unbiased_cka(features, columns))


@pytest.mark.parametrize("factor", [-1e-100, 1e-60, 1e60, 1e90])
@pytest.mark.parametrize("shape", [(20, 40), (60, 8)])
def test_units_do_not_matter(shape: tuple[int, int], factor: float) -> None:
    for task in TASKS:
        features, labels, columns = problem(shape, task)
        expected = reference.unbiased_cka(features, columns)
        assert_equal(Stats(task).update(factor * features, labels).score("cka"), expected)
        if task == "regression":
            assert_equal(Stats(task).update(features, factor * labels).score("cka"), expected)


@pytest.mark.parametrize("factor", [1e-139, 1e104, 1e112, 1e140])
@pytest.mark.parametrize("width", [1, 4])
def test_units_of_targets_to_the_ends_of_float64(factor: float, width: int) -> None:
    features, targets, columns = problem((60, 8), "regression", width=width)
    found = Stats("regression").update(features, factor * targets).score("cka")
    assert_equal(found, reference.unbiased_cka(features, columns))


def test_moments_leave_out_what_exceeds_float64() -> None:
    """Fourth powers of targets do, where LogME needs squares only."""
    features, targets, _ = problem((60, 8), "regression", width=1)
    whole = Stats("regression").update(features, 1e100 * targets)
    moments = whole.moments()
    assert not [name for name in moments if name.startswith(("joint", "target_p", "target_c"))]
    found = Stats.from_moments(moments)
    assert found.score("logme") == whole.score("logme")
    with pytest.raises(DataError, match="no joint_quartic"):
        found.score("cka")


def test_products_beyond_float64_are_named() -> None:
    features, labels, _ = problem((60, 8), "regression")
    for factor, word in ((1e80, "overflow"), (1e-80, "underflow")):
        stats = Stats("regression").update(factor * features, factor * labels)
        with pytest.raises(DataError, match=word):
            stats.score("cka")


#: Biased and unbiased values of one draw, as the docstring has them, by the number of rows.
INDEPENDENT = {
    32: (0.257, 0.017),
    64: (0.159, 0.012),
    128: (0.090, 0.002),
    256: (0.048, -0.001),
    1024: (0.013, 0.000),
}


@pytest.mark.parametrize("n", INDEPENDENT)
def test_independent_features_score_zero_on_average(n: int) -> None:
    """64 random features and four balanced classes, as in the documentation of `cka`."""
    draws = 30
    labels = np.arange(n) % 4
    values = np.empty((2, draws))
    for seed in range(draws):
        features = np.random.default_rng(seed).normal(size=(n, 64))
        for row, estimator in enumerate(("biased", "unbiased")):
            values[row, seed] = tx.cka(features, labels, estimator=estimator)
    deviation = values.std(axis=1, ddof=1)
    assert abs(values[1].mean()) < 4 * deviation[1] / draws**0.5
    assert values[1].min() < 0 < values[1].max(), "no value is cut off at 0"
    assert values[0].min() > 0
    assert (np.abs(values.mean(axis=1) - INDEPENDENT[n]) < 4 * deviation).all()


def test_width_does_not_rank_by_chance() -> None:
    """A wide random model is above a narrow good one by the biased estimator alone."""
    labels = np.arange(40) % 4
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 400))
    good = np.eye(4)[labels] + 1.2 * rng.normal(size=(40, 4))
    assert tx.cka(noise, labels, estimator="biased") > tx.cka(good, labels, estimator="biased")
    assert abs(tx.cka(noise, labels)) < 0.1 < tx.cka(good, labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 1], "at least 4 samples, got 3"),
        ([0, 0, 0, 0, 0], "single class"),
        ([0, 1, 2, 3, 4], "class of its own"),
        ([0, 0, 0, 0, 1], "all rows but one"),
    ],
)
@pytest.mark.parametrize("width", [1, 9])
def test_labels_without_a_value(labels: list[int], message: str, width: int) -> None:
    features = np.random.default_rng(0).normal(size=(len(labels), width))
    with pytest.raises(DataError, match=message):
        tx.cka(features, labels, task="classification")
    if "single" not in message:
        assert 0 <= tx.cka(features, labels, task="classification", estimator="biased") <= 1


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, 0, 1, 2], [0, 0, 1, 1, 2]])
@pytest.mark.parametrize("width", [1, 9])
def test_the_fewest_rows_with_a_value(labels: list[int], width: int) -> None:
    features = np.random.default_rng(0).normal(size=(len(labels), width))
    found = tx.cka(features, labels, task="classification")
    columns = reference.indicators(np.array(labels))
    assert_equal(found, reference.unbiased_cka(features, columns))


@pytest.mark.parametrize("task", ["regression", "multilabel"])
@pytest.mark.parametrize("width", [3, 40])
def test_targets_that_differ_in_one_row_are_refused(task: str, width: int) -> None:
    features = np.random.default_rng(0).normal(size=(30, width))
    targets = np.zeros((30, 2))
    targets[7, 1] = 1
    with pytest.raises(DataError, match="differ in one row only"):
        tx.cka(features, targets, task=task)
    with pytest.raises(DataError, match=r"same in all rows|all 0 or all 1"):
        tx.cka(features, 0 * targets, task=task)
    with pytest.raises(DataError, match="got 3"):
        tx.cka(features[:3], [[0.0], [1.0], [1.0]], task=task)


def alike() -> dict[str, Array]:
    """Make features of which every two rows are equally far apart but for their lengths."""
    one = np.zeros((30, 4))
    one[3] = 1e3, 2, -5, 0.1
    corners = np.eye(12) @ np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    return {"one of many": one, "one of few": one[:4], "corners": corners, "lengths": np.eye(9) * 7}


@pytest.mark.parametrize("name", alike())
def test_features_without_pairs_score_zero(name: str) -> None:
    features = alike()[name]
    labels = np.arange(len(features)) % 2
    with pytest.warns(TransferabilityWarning, match="differ in one row only, or every two rows"):
        assert tx.cka(features, labels) == 0.0
    assert tx.cka(features, labels, estimator="biased") > 0
    with pytest.warns(TransferabilityWarning, match="same in all rows"):
        assert tx.cka(0 * features + 3, labels) == 0.0


def extended(features: Array, columns: Array) -> float:
    """U-centre the Gram matrices in extended precision."""
    n = len(features)
    centred = []
    for rows in (features.astype(np.longdouble), columns.astype(np.longdouble)):
        x = rows - rows.mean(axis=0)
        gram = x @ x.T
        gram -= np.diag(np.diag(gram))
        sums = gram.sum(axis=1)
        gram -= (sums[:, None] + sums) / (n - 2) - sums.sum() / ((n - 1) * (n - 2))
        centred.append(gram - np.diag(np.diag(gram)))
    k, m = centred
    return float((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


@pytest.mark.parametrize("large", [1e3, 1e6])
def test_one_row_far_out_leaves_the_others(large: float) -> None:
    """Rows that are held keep the digits."""
    features, labels, columns = problem((20, 40), "classification")
    features[4] *= large
    # The far row's products are `large` times the others', and round by 1e-16 of themselves.
    assert close(tx.cka(features, labels), extended(features, columns), 1e-13 * large)


def test_sums_say_what_a_far_row_costs() -> None:
    """Sums of fourth powers lose the square of the far row's distance, and say so."""
    features, labels, columns = problem((60, 8), "classification")
    features[4] *= 1e3
    assert close(tx.cka(features, labels), extended(features, columns), 1e-9)
    features[4] *= 1e3
    with pytest.warns(TransferabilityWarning, match=r"lose about 1\d of 16 digits"):
        found = tx.cka(features, labels)
    assert close(found, extended(features, columns), 1e-3)


def test_what_a_far_row_costs_in_float32() -> None:
    features, labels, columns = problem((600, 8), "classification")
    few = TransferabilityWarning

    def single(factor: float) -> tuple[float, float]:
        far = features.astype(np.float32)
        far[4] *= factor
        found = tx.cka(far, labels, precision="single")
        return found, extended(far, columns)

    found, exact = single(100)  # the square of 100 times 2^-24, and no warning
    assert close(found, exact, 1e-3 * abs(exact))
    with pytest.warns(few, match=r"lose about \d of 7 digits"):
        found, exact = single(1e3)
    assert close(found, exact, 1e-2)
    with pytest.warns(few, match="products in float32 leave no digit"):
        assert single(1e5)[0] == 0.0
    with pytest.warns(few, match="products in float32 leave no digit"):
        tx.cka(np.eye(600, 8), labels, precision="single")


def test_moments_without_class_squares_have_the_biased_estimate() -> None:
    features, labels, _ = problem((60, 8), "classification")
    whole = Stats().update(features, labels)
    moments = whole.moments()
    assert_equal(moments["class_squares"].sum(), np.trace(moments["scatter"]))
    del moments["class_squares"]
    without = Stats.from_moments(moments)
    for stats in (without, without + whole, whole + without, Stats.from_bytes(without.to_bytes())):
        with pytest.raises(DataError, match="no class_squares"):
            stats.score("cka")
    assert without.score("cka", estimator="biased") == whole.score("cka", estimator="biased")
    assert "class_squares" not in (whole + without).moments()


def test_moments_without_joint_moments_have_the_biased_estimate() -> None:
    features, targets, _ = problem((60, 8), "regression", width=1)
    whole = Stats("regression").update(features, targets)
    moments = whole.moments()
    names = ("joint_quartic", "joint_features", "joint_targets")
    own = ("target_products", "target_cubic", "target_quartic")
    for name in names + own:
        del moments[name]
    without = Stats.from_moments(moments)
    for stats in (without, without + whole, whole + without, Stats.from_bytes(without.to_bytes())):
        with pytest.raises(DataError, match="no joint_quartic"):
            stats.score("cka")
    assert without.score("cka", estimator="biased") == whole.score("cka", estimator="biased")


@pytest.mark.parametrize(("width", "estimator"), [(1, "unbiased"), (3, "unbiased"), (3, "biased")])
def test_moments_without_those_of_targets_say_so(width: int, estimator: str) -> None:
    features, targets, _ = problem((60, 8), "regression", width=width)
    moments = Stats("regression").update(features, targets).moments()
    for name in ("target_products", "target_cubic", "target_quartic"):
        del moments[name]
    with pytest.raises(DataError, match="moments hold no target_products, target_cubic"):
        Stats.from_moments(moments).score("cka", estimator=estimator)


def test_joint_moments_are_what_they_say() -> None:
    features, targets, _ = problem((60, 8), "regression", offset=100.0)
    for stats in (
        Stats("regression").update(features, targets),
        Stats("regression").update(features[:9], targets[:9]).update(features[9:], targets[9:]),
    ):
        moments = stats.moments()
        x, y = features - moments["shift"], targets - moments["target_shift"]
        q, r = (x * x).sum(axis=1), (y * y).sum(axis=1)
        for name, expected in {
            "joint_quartic": q @ r,
            "joint_features": r @ x,
            "joint_targets": q @ y,
            "target_products": y.T @ y,
            "target_cubic": r @ y,
            "target_quartic": r @ r,
        }.items():
            # Differences of sums that moving the shift makes, of up to 100 times their size.
            np.testing.assert_allclose(moments[name], expected, rtol=1e-10, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("classification", {"class_squares": [1.0]}, r"'class_squares'\] has shape \(1,\)"),
        ("classification", {"class_squares": [1.0, 1.0, 1.0]}, "class_squares add up to 3"),
        ("classification", {"class_squares": [np.nan, 1.0, 1.0]}, "class_squares holds NaN"),
        ("regression", {"joint_quartic": None}, "no 'joint_quartic'"),
        ("regression", {"joint_quartic": -1e6}, "joint_quartic is -1"),
        ("regression", {"joint_quartic": 1e9}, "of at most"),
        ("regression", {"joint_features": [1.0]}, "'joint_features'"),
        ("regression", {"target_products": np.eye(3)}, "target_products has trace 3"),
        ("regression", {"target_quartic": None}, "no 'target_quartic'"),
    ],
)
def test_moments_that_cannot_be(task: str, changes: dict[str, Any], message: str) -> None:
    features, labels, _ = problem((60, 8), task)
    moments = Stats(task).update(features, labels).moments()
    with pytest.raises(DataError, match=message):
        Stats.from_moments(moments | changes)


def test_class_squares_too_small_for_their_sums() -> None:
    features, labels, _ = problem((60, 8), "classification")
    moments = Stats().update(features + 10 * np.eye(3, 8)[labels], labels).moments()
    squares = moments["class_squares"]
    moved = [squares[0] * 0.05, squares[1] + squares[0] * 0.95, squares[2]]
    with pytest.raises(DataError, match=r"class_squares\[0\] is .*, too little"):
        Stats.from_moments(moments | {"class_squares": moved})


SETS = [(20, 40, 30), (60, 8, 5), (60, 5, 8), (30, 8, 50), (8, 50, 3), (40, 6, 6)]


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("sizes", SETS)
def test_two_sets_of_features(sizes: tuple[int, int, int], estimator: str) -> None:
    n, d, other = sizes
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(n, d)) + 1e4, rng.normal(size=(n, other))
    z[:, 0] += 2 * (x[:, 0] - 1e4)
    defined = reference.unbiased_cka if estimator == "unbiased" else reference.cka

    def cka(a: Any, b: Any) -> tx.Score:
        return tx.cka(a, other_features=b, estimator=estimator)

    expected = defined(x - 1e4, z)
    found = cka(x, z)
    assert close(found, expected, 1e-10)
    assert close(cka(z, x), expected, 1e-10)
    assert close(tx.cka(x, z, task="regression", estimator=estimator), expected, 1e-10)
    turn = [np.linalg.qr(rng.normal(size=(k, k)))[0] for k in (d, other)]
    # An offset of 1e4 rotates into other digits.
    assert close(cka(-3e5 * (x - 1e4) @ turn[0] + 7, 1e-4 * z @ turn[1]), expected, 1e-9)
    assert close(cka(x, -2 * (x - 1e4) @ turn[0]), 1.0, 1e-12)
    assert close(cka(x.astype(np.float32), z.tolist()), defined(x.astype(np.float32), z), 1e-10)
    # In blocks, exactly: no average over minibatches.
    wide, narrow = (x, z) if d >= other else (z, x)
    blocks = Stats("regression")
    for part in np.array_split(np.arange(n), 4):
        blocks.update(wide[part], narrow[part])
    assert close(blocks.score("cka", estimator=estimator), expected, 1e-10)
    if min(d, other) >= 2:
        assert found == cka(np.asfortranarray(x), z[::-1][::-1])
    assert found.task_note == "two sets of features"


def test_two_sets_that_are_wrong() -> None:
    x, z = np.random.default_rng(0).normal(size=(2, 30, 4))
    bad = z.copy()
    bad[3, 2] = np.nan
    wide = np.hstack([bad, z])
    for other, message in (
        (z[:20], "other_features has 20 rows but features has 30"),
        (z[:, 0], "other_features must be 2-D"),
        (bad, r"other_features\[3, 2\] is NaN"),
        (wide, r"other_features\[3, 2\] is NaN"),
    ):
        with pytest.raises(DataError, match=message):
            tx.cka(x, other_features=other)
    with pytest.raises(DataError, match=r"features\[3, 2\] is"):
        tx.cka(bad, other_features=np.hstack([z, z]))
    one_row = np.eye(30)[:, :1]
    for first, second in ((x, one_row), (one_row, x)):
        with pytest.raises(DataError, match="or one of two sets of features, differ in one row"):
            tx.cka(first, other_features=second)
    with pytest.raises(DataError, match="with labels or with other_features; give one"):
        tx.cka(x, np.arange(30) % 2, other_features=z)
    with pytest.raises(DataError, match="with other_features leave it out"):
        tx.cka(x, other_features=z, task="classification")
    with pytest.raises(
        DataError, match="cka needs labels, and there are none; give one label for each row"
    ):
        tx.cka(x)
    stats = Stats("regression").update(x, np.hstack([z, z]))
    with pytest.raises(DataError, match="no more targets than features"):
        stats.score("cka")


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("width", [2, 4, 9])
def test_a_constant_set_scores_zero_on_either_side(width: int, estimator: str) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    dead = np.full((30, width), 0.1)
    for first, second in ((x, dead), (dead, x)):
        with pytest.warns(TransferabilityWarning, match="every feature is the same in all rows"):
            assert tx.cka(first, other_features=second, estimator=estimator) == 0.0


def test_two_frames_whose_rows_are_in_another_order() -> None:
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).normal(size=(30, 4))
    frame = pandas.DataFrame(x, index=[f"row {i}" for i in range(30)])
    with pytest.raises(DataError, match="other_features has the index of features in another"):
        tx.cka(frame, other_features=frame[::-1])
    assert close(tx.cka(frame, other_features=-frame), 1.0, 1e-12)


@pytest.mark.parametrize("sizes", [(60, 8, 5), (60, 5, 8), (20, 40, 30)])
def test_two_sets_in_files(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    n, d, other = sizes
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(n, d)), "z": rng.normal(size=(n, other))}
    arrays["z"][:, 0] += arrays["x"][:, 0]
    for name, array in arrays.items():
        for i, part in enumerate(np.array_split(array, 2)):
            np.save(tmp_path / f"{name}-{i}.npy", part)
    x, z = (tx.io.open_features(str(tmp_path / f"{name}-*.npy")) for name in arrays)
    expected = reference.unbiased_cka(arrays["x"], arrays["z"])
    for first, second in ((x, z), (z, x), (x, arrays["z"]), (arrays["x"], z)):
        assert close(tx.cka(first, other_features=second), expected, 1e-10)
    with pytest.raises(DataError, match=f"has 7 rows but features has {n}"):
        tx.cka(x, other_features=arrays["z"][:7])
    with pytest.warns(TransferabilityWarning, match="same in all rows"):
        assert tx.cka(x, other_features=0 * arrays["z"]) == 0.0


@pytest.mark.parametrize("estimator", ["Unbiased", "", True, None, 1])
def test_estimators_are_named(estimator: Any) -> None:
    features, labels, _ = problem((30, 4), "classification")
    with pytest.raises(DataError, match=r"estimator is .*; choose 'unbiased' or 'biased'"):
        tx.cka(features, labels, estimator=estimator)


def test_explanations() -> None:
    labels = np.arange(40) % 4
    scores = [
        tx.cka(np.random.default_rng(seed).normal(size=(40, 8)), labels) for seed in range(20)
    ]
    low, high = min(scores), max(scores)
    assert low < 0 < high
    assert "below 0 by chance" in low.explain()
    assert "below 0" not in high.explain()
    assert "40 rows x 8 features (5 rows for each), 4 classes;" in high.explain()
    features = np.random.default_rng(0).normal(size=(40, 3))
    two = tx.cka(features, other_features=features**2).explain()
    assert "features (13.3 rows for each); two sets of features." in two


def test_rankings_take_the_estimator() -> None:
    features, labels, columns = problem((60, 8), "classification")
    ranking = tx.rank({"a": features, "b": features[:, ::-1] ** 2}, labels, "cka", progress=False)
    assert_equal(ranking["a"].value("cka"), reference.unbiased_cka(features, columns))
    biased = quietly(tx.rank, {"a": features}, labels, "cka", progress=False, estimator="biased")
    assert_equal(biased["a"].value("cka"), reference.cka(features, columns))
