"""Covariances of classes and coding rates: against definitions, other metrics, scikit-learn."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from operator import mul
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import transferability as tx
from transferability import Stats
from transferability.covariance import (
    class_covariances,
    coding_rate,
    coding_rate_reduction,
    empirical_covariance,
)
from transferability.errors import DataError, DtypeError, TransferabilityWarning

Array = NDArray[Any]


def problem(n: int = 80, d: int = 6, n_classes: int = 4, seed: int = 0) -> tuple[Array, Array]:
    """Classes of different sizes, means and spreads, away from zero."""
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(n_classes, size=n) * rng.integers(2, size=n))
    means = rng.standard_normal((n_classes, d))
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) * (1 + labels[:, None] / 2)
    shuffled = rng.permutation(n)
    return (x + means[labels] + 3)[shuffled], labels[shuffled]


def naive(x: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Return the covariance within, between and of each class, by their definitions."""
    centred, within, between, per_class = x - x.mean(0), 0.0, 0.0, []
    for c in np.unique(labels):
        rows = centred[labels == c]
        own = rows - rows.mean(0)
        per_class.append(own.T @ own / len(own))
        within = within + own.T @ own / len(x)
        between = between + len(rows) / len(x) * np.outer(rows.mean(0), rows.mean(0))
    return np.asarray(within), np.asarray(between), np.stack(per_class)


def close(found: Array, expected: Array, tolerance: float = 1e-12) -> bool:
    return bool(np.abs(found - expected).max() <= tolerance * np.abs(expected).max())


SHAPES = [(80, 6, 4), (12, 30, 3), (300, 3, 2), (40, 1, 3), (500, 70, 20)]


@pytest.mark.parametrize("shape", SHAPES)
def test_covariances_are_those_of_the_definition(shape: tuple[int, int, int]) -> None:
    x, labels = problem(*shape)
    within, between, per_class = naive(x, labels)
    classes, counts = np.unique(labels, return_counts=True)
    for stack in (False, True):
        found = class_covariances(x, labels, per_class=stack)
        assert close(found.within, within)
        assert close(found.between, between)
        assert close(found.pooled, within * len(x) / (len(x) - len(classes)))
        assert (found.classes, found.counts) == (tuple(classes), tuple(counts))
        assert close(found.within + found.between, empirical_covariance(x))
        assert (found.within == found.within.T).all()
        assert (found.between == found.between.T).all()
        if stack:
            assert found.per_class is not None
            assert close(found.per_class, per_class)
        else:
            assert found.per_class is None


@pytest.mark.parametrize("scatters", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_statistics_have_them_too(shape: tuple[int, int, int], scatters: bool) -> None:
    x, labels = problem(*shape)
    within, between, per_class = naive(x, labels)
    for cuts in ([], [1], [7, 10]):
        pieces = zip(np.split(x, cuts), np.split(labels, cuts), strict=True)
        parts = [Stats("classification", class_scatters=scatters).update(*p) for p in pieces]
        found = sum(parts).class_covariances(per_class=scatters)  # type: ignore[union-attr]
        assert close(found.within, within)
        assert close(found.between, between)
        if scatters:
            assert close(found.per_class, per_class)


def test_classes_far_apart_cost_no_digits() -> None:
    x, labels = problem(30, 3, 3)
    x = x + 1e8 * labels[:, None]
    rows: dict[int, list[list[Fraction]]] = {}
    for row, label in zip(x, labels, strict=True):
        rows.setdefault(int(label), []).append([Fraction(float(value)) for value in row])
    exact = [[Fraction(0)] * 3 for _ in range(3)]
    for members in rows.values():
        means = [sum(column) / len(members) for column in zip(*members, strict=True)]
        for row in members:
            for i in range(3):
                for j in range(3):
                    exact[i][j] += (row[i] - means[i]) * (row[j] - means[j]) / len(x)
    expected = np.array([[float(value) for value in row] for row in exact])
    # Values near 1e8 have 1e-8 left; the sums do not lose more.
    assert close(class_covariances(x, labels).within, expected, 1e-7)
    assert close(class_covariances(x, labels, per_class=True).within, expected, 1e-7)
    stats = Stats().update(x, labels)  # knows them relative to the covariance only
    with pytest.warns(TransferabilityWarning, match=r"rounding may change .*far apart"):
        found = stats.class_covariances()
    assert np.abs(found.within - expected).max() < 1e-14 * np.abs(found.between).max()


@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_warning_bounds_what_statistics_lose(precision: Any) -> None:
    x, labels = problem(400, 3, 4)
    far = x + (1e3 if precision == "single" else 1e6) * labels[:, None]
    exact = class_covariances(far, labels, per_class=True)
    assert exact.per_class is not None
    for per_class in (False, True):
        stats = Stats("classification", precision, class_scatters=True).update(far, labels)
        with pytest.warns(TransferabilityWarning, match=r"by about .*far apart") as caught:
            found = stats.class_covariances(per_class=per_class)
        bound = float(str(caught[0].message).split("about ")[1].split()[0])
        errors = [np.abs(found.within - exact.within).max() / np.trace(exact.within)]
        if found.per_class is not None:
            errors += [
                np.abs(ours - theirs).max() / np.trace(theirs)
                for ours, theirs in zip(found.per_class, exact.per_class, strict=True)
            ]
        assert 1e-6 < max(errors) < bound


@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_tight_class_far_from_the_others_is_named(precision: Any) -> None:
    x, labels = problem(400, 3, 4)
    tight = np.where((labels == 1)[:, None], 100 + 1e-5 * x, x)
    stats = Stats("classification", precision, class_scatters=True)
    stats.update(x[labels == 0][:8], [0] * 8).update(tight, labels)
    with pytest.warns(TransferabilityWarning, match="covariance of a class by about"):
        stats.class_covariances(per_class=True)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("gap", [0.0, 10.0])
def test_classes_at_usual_distances_are_no_warning(precision: Any, gap: float) -> None:
    x, labels = problem(400, 3, 4)
    x = x + gap * labels[:, None]
    labels[7] = 9  # a class of one row
    stats = Stats("classification", precision, class_scatters=True).update(x, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stats.class_covariances()
        stats.class_covariances(per_class=True)


def test_conventions_of_lda_and_of_the_h_score() -> None:
    x, labels = problem()
    found = class_covariances(x, labels)
    lda = LinearDiscriminantAnalysis(store_covariance=True).fit(x, labels)
    assert close(found.within, lda.covariance_)
    value = np.trace(np.linalg.pinv(found.within + found.between) @ found.between)
    assert value == pytest.approx(float(tx.h_score(x, labels)), rel=1e-10)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a", "b", "a", "c"], ("a", "b", "c")),
        ([True, False, True, False, True], (False, True)),
        (np.array([5, -1, 5, -1, 9]), (-1, 5, 9)),
    ],
)
def test_kinds_of_labels(labels: Any, classes: tuple[Any, ...]) -> None:
    x, _ = problem(5, 2)
    stats = Stats("classification", class_scatters=True).update(x, labels)
    for found in (class_covariances(x, labels), stats.class_covariances()):
        assert found.classes == classes
        assert list(map(type, found.classes)) == list(map(type, classes))
        assert sum(found.counts) == 5
    for rates in (coding_rate_reduction(x, labels), stats.coding_rate_reduction()):
        assert rates.classes == classes
        assert list(map(type, rates.classes)) == list(map(type, classes))


def test_classes_of_one_row() -> None:
    x, _ = problem(5, 3)
    found = class_covariances(x, [0, 0, 0, 1, 2], per_class=True)
    assert found.per_class is not None
    assert (found.per_class[1:] == 0).all()
    assert close(found.within, 3 / 5 * found.per_class[0])
    lone = class_covariances(x, np.arange(5) + 0)
    assert (lone.within == 0).all()
    assert close(lone.between, empirical_covariance(x))
    with pytest.raises(DataError, match=r"the 5 rows less the 5 classes, which is 0; give a class"):
        _ = lone.pooled
    single = class_covariances(x, np.zeros(5, int))
    assert close(single.within, empirical_covariance(x))
    assert np.abs(single.between).max() < 1e-30
    one = class_covariances(x[:1], [4])
    assert (one.within == 0).all()
    assert (one.between == 0).all()


@pytest.mark.parametrize("function", [class_covariances, coding_rate_reduction])
@pytest.mark.parametrize(
    ("features", "labels", "error", "message"),
    [
        (np.eye(4), None, DataError, "labels is None; give one class for each row"),
        (np.eye(4), [0, 1], DataError, "labels has 2 entries but features has 4 rows"),
        (np.eye(4), [0.5, 1, 2, 3], DataError, "not whole numbers"),
        (np.eye(4)[0], [0], DataError, "features must be 2-D"),
        ([[np.nan], [1.0]], [0, 1], DataError, r"features\[0, 0\] is NaN"),
        ([[1.0], [np.inf]], [0, 1], DataError, r"features\[1, 0\] is inf"),
        ([["a"]], [0], DtypeError, "real numbers"),
    ],
)
def test_bad_input(
    function: Any, features: Any, labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(features, labels)


def test_statistics_that_do_not_have_them() -> None:
    x, labels = problem()
    with pytest.raises(DataError, match="hold no classes; update them with class labels"):
        Stats("unlabelled").update(x).class_covariances()
    with pytest.raises(DataError, match="hold no classes; update them with class labels"):
        Stats("regression", class_scatters=True).update(x, x[:, 0]).coding_rate_reduction()
    with pytest.raises(DataError, match=r"per_class needs .*class_scatters=True"):
        Stats().update(x, labels).class_covariances(per_class=True)
    with pytest.raises(DataError, match=r"coding rates of classes need .*class_scatters=True"):
        Stats().update(x, labels).coding_rate_reduction()


# --- coding rates -------------------------------------------------------------------------------


def naive_rate(z: Array, eps: float, convention: str) -> float:
    """Return the coding rate by its definition, of rows that are centred as they should be."""
    n, d = z.shape
    t = n * eps if convention == "transrate" else n * eps**2 / d
    if n < d:  # the same determinant, of a matrix of full rank
        z = z.T
    return float(np.linalg.slogdet(np.eye(min(n, d)) + z.T @ z / t)[1] / 2)


CONVENTIONS = [("transrate", None, 1e-4), ("mcr2", None, 0.5)]
CONVENTIONS += [("transrate", 0.03, 0.03), ("mcr2", 0.03, 0.03)]


@pytest.mark.parametrize(("convention", "given", "eps"), CONVENTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rates_are_those_of_the_definition(
    shape: tuple[int, int, int], convention: str, given: float | None, eps: float
) -> None:
    x, labels = problem(*shape)
    z = x - x.mean(0) if convention == "transrate" else x
    options: dict[str, Any] = {"eps": given, "convention": convention}
    total = naive_rate(z, eps, convention)
    assert coding_rate(x, **options) == pytest.approx(total, rel=1e-10)
    classes, counts = np.unique(labels, return_counts=True)
    rates = np.array([naive_rate(z[labels == c], eps, convention) for c in classes])
    weights = counts / len(x) if convention == "mcr2" else np.full(len(classes), 1 / len(classes))
    found = coding_rate_reduction(x, labels, **options)
    assert found.total == pytest.approx(total, rel=1e-10)
    assert close(found.per_class, rates, 1e-10)
    assert found.difference == pytest.approx(total - weights @ rates, rel=1e-10, abs=1e-10 * total)
    assert found.classes == tuple(classes)
    if convention == "transrate":
        assert found.difference == pytest.approx(float(tx.transrate(x, labels, eps=eps)), rel=1e-12)
    for cut in (1, len(x) // 2):
        parts = [
            Stats("classification", class_scatters=True).update(x[part], labels[part])
            for part in (slice(cut), slice(cut, None))
        ]
        stats = parts[1] + parts[0]
        assert stats.coding_rate(given, convention=convention) == pytest.approx(total, rel=1e-10)
        again = stats.coding_rate_reduction(given, convention=convention)
        assert again.difference == pytest.approx(found.difference, rel=1e-9, abs=1e-10 * total)


def exact_rate(z: list[list[Fraction]], t: Fraction) -> float:
    """Return ½ ln det(I + ZᵀZ/t), by elimination in fractions."""
    if len(z) < len(z[0]):
        z = [list(column) for column in zip(*z, strict=True)]
    columns = list(zip(*z, strict=True))
    matrix = [
        [sum(map(mul, a, b), Fraction(0)) / t + (i == j) for j, b in enumerate(columns)]
        for i, a in enumerate(columns)
    ]
    rate = 0.0
    for k, row in enumerate(matrix):
        rate += math.log(row[k]) / 2
        for below in matrix[k + 1 :]:
            part = below[k] / row[k]
            below[:] = [value - part * other for value, other in zip(below, row, strict=True)]
    return rate


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e8])
@pytest.mark.parametrize("shape", [(40, 4), (300, 3), (5, 9), (30, 1)])
@pytest.mark.parametrize(
    ("convention", "eps"), [("transrate", 1e-4), ("mcr2", 0.5), ("mcr2", 1e-3)]
)
def test_an_offset_costs_a_rate_no_digits(
    shape: tuple[int, int], offset: float, convention: str, eps: float
) -> None:
    rng = np.random.default_rng(0)
    x = np.round(1024 * (rng.standard_normal(shape) + offset)) / 1024
    labels = np.arange(len(x)) % 2
    z = [[Fraction(float(value)) for value in row] for row in x]
    t = len(z) * Fraction(eps)
    if convention == "transrate":
        mean = [sum(column, Fraction(0)) / len(z) for column in zip(*z, strict=True)]
        z = [[value - other for value, other in zip(row, mean, strict=True)] for row in z]
    else:
        t *= Fraction(eps) / shape[1]
    # Held rows keep 1e-16 of the largest: 1e-8 of the spread at an offset of 1e8.
    tolerance = 1e-10 if offset < 1e8 or shape[0] > shape[1] else 1e-8
    expected = exact_rate(z, t)
    options: dict[str, Any] = {"eps": eps, "convention": convention}
    assert coding_rate(x, **options) == pytest.approx(expected, rel=tolerance)
    for cut in (1, len(x) // 2):
        parts = [Stats("unlabelled").update(part) for part in (x[:cut], x[cut:])]
        assert (parts[1] + parts[0]).coding_rate(**options) == pytest.approx(
            expected, rel=tolerance
        )
    found = coding_rate_reduction(x, labels, **options)
    for c in (0, 1):
        own = [row for row, label in zip(z, labels, strict=True) if label == c]
        assert found.per_class[c] == pytest.approx(
            exact_rate(own, t * len(own) / len(z)), rel=tolerance
        )


@pytest.mark.parametrize("convention", ["transrate", "mcr2"])
@pytest.mark.parametrize("gap", [1e3, 1e6, 1e8])
def test_rates_of_classes_far_apart_say_how_certain_they_are(gap: float, convention: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    x = rng.standard_normal((300, 3)) + gap * labels[:, None] * rng.standard_normal(3)
    z = [[Fraction(float(value)) for value in row] for row in x]
    eps = 1e-4 if convention == "transrate" else 0.5
    t = 300 * Fraction(eps)
    if convention == "transrate":
        mean = [sum(column, Fraction(0)) / 300 for column in zip(*z, strict=True)]
        z = [[value - other for value, other in zip(row, mean, strict=True)] for row in z]
    else:
        t *= Fraction(eps) / 3
    expected = exact_rate(z, t)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = coding_rate(x, convention=convention)
    error = abs(found - expected)
    if caught:  # of a scatter that does not know the directions within classes
        bound = float(str(caught[0].message).split("about ")[1].split(":")[0])
        # One rounding for each entry of the scatter, a sum of 300 products: at most √300 by chance,
        # and how many depends on the kernels of the processor.
        assert error < np.sqrt(300) * bound
        assert gap > 1e3
    else:
        assert error < 1e-6 * max(expected, 1.0)
        assert gap < 1e8


def test_rates_of_squares_beyond_the_range_of_float64() -> None:
    x = problem()[0]
    near, far = (coding_rate(scale * x, eps=1e-25, convention="mcr2") for scale in (1e130, 1e140))
    assert far - near == pytest.approx(6 * 10 * np.log(10), rel=1e-9)


def test_frames_whose_rows_are_in_another_order() -> None:
    pandas = pytest.importorskip("pandas")
    x, labels = problem()
    frame, series = pandas.DataFrame(x), pandas.Series(labels, index=np.arange(80)[::-1])
    for function in (class_covariances, coding_rate_reduction):
        with pytest.raises(DataError, match="labels has the index of features in another order"):
            function(frame, series)
        function(frame, pandas.Series(labels))
    with pytest.raises(DataError, match="samples has the index of features in another order"):
        tx.health.lidar(frame, series)
    with pytest.raises(DataError, match="other_features has the index of features in another"):
        tx.cka(frame, other_features=frame[::-1])


def test_rates_that_are_zero() -> None:
    constant = np.full((6, 3), 0.7)
    assert coding_rate(constant) == 0
    assert coding_rate(np.zeros((6, 3)), convention="mcr2") == 0
    assert coding_rate(np.full((1, 3), 0.7)) == 0
    one = coding_rate_reduction(problem()[0], np.zeros(80, int))
    assert one.difference == 0
    assert one.total == one.per_class[0]


@pytest.mark.parametrize("eps", [0, -1e-4, np.nan, np.inf, 1e-30])
@pytest.mark.parametrize("convention", ["transrate", "mcr2"])
def test_bad_distortions(convention: str, eps: float) -> None:
    with pytest.raises(DataError, match=r"eps is .*; give a number from 1e-25 to 1e25"):
        coding_rate(np.eye(3), eps=eps, convention=convention)


def test_bad_conventions_and_types() -> None:
    with pytest.raises(DataError, match="convention"):
        coding_rate(np.eye(3), convention="MCR2")
    with pytest.raises(DtypeError, match="eps is of type str"):
        coding_rate(np.eye(3), eps="1e-4")  # type: ignore[arg-type]


def test_a_rate_with_few_certain_digits_is_a_warning() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((50, 2)) @ rng.standard_normal((2, 6))).astype(np.float32)
    stats = Stats("unlabelled", "single").update(1000 * x)
    with pytest.warns(TransferabilityWarning, match="rounding may change the coding rate"):
        stats.coding_rate(1e-9)


def test_directions_lost_to_single_products_count_in_the_warning() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 6)) + 1e4 * (np.arange(4000) // 1000)[:, None]
    stats = Stats("unlabelled", "single")
    for block in np.array_split(x, 8):
        stats.update(block)
    with pytest.warns(TransferabilityWarning, match="rounding may change") as caught:
        found = stats.coding_rate()
    bound = float(str(caught[0].message).split("about ")[1].split(":")[0])
    error = abs(found - coding_rate(x))
    assert 1 < error < bound
