"""Covariances, their shrinkage and spectrum: against scikit-learn, exact fractions, and themselves.

Kinds of cases: values (real features, fewer rows than columns, offsets of a million standard
deviations), inputs (formats, layouts, frames, memory maps), splits and merges, degenerate shapes,
bad arguments, memory.
"""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.covariance as theirs
from numpy.typing import NDArray
from reference.golden import arrays

import transferability as tx
from transferability import Stats, covariance
from transferability.covariance import (
    empirical_covariance,
    ledoit_wolf,
    ledoit_wolf_shrinkage,
    oas,
    shrunk_covariance,
)
from transferability.errors import DataError, DtypeError, TransferabilityWarning

Array = NDArray[Any]
ESTIMATES = ["empirical_covariance", "ledoit_wolf", "oas", "ledoit_wolf_shrinkage"]
#: scikit-learn's and ours on goldens: each is right to about 1e-13 of the largest entry.
EQUAL = 1e-10


def features(n: int = 60, d: int = 8, seed: int = 0) -> Array:
    """Correlated columns of different sizes, away from zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) + rng.standard_normal((n, 2)) @ rng.standard_normal((2, d))
    return np.asarray(x * np.exp(rng.standard_normal(d)) + rng.standard_normal(d))


GOLDEN = sorted(k for k, x in arrays().items() if k.endswith("__F") and np.isfinite(x).all())
SHAPES = [(2, 3), (10, 30), (30, 10), (20, 20), (500, 3), (7, 1), (130, 129)]


def distance(found: Any, expected: Any) -> float:
    """Return the largest difference, relative to the largest expected value.

    scikit-learn computes a shrinkage as a difference of numbers of about 1, so that one below 1e-4
    is right to 1e-14 at best.
    """
    if isinstance(expected, tuple):
        return max(distance(a, b) for a, b in zip(found, expected, strict=True))
    least = 1e-4 if np.ndim(expected) == 0 else 0.0
    largest = max(np.abs(expected).max(), least)
    return float(np.abs(np.asarray(found) - expected).max() / (largest or 1.0))


@pytest.mark.parametrize("assume_centered", [False, True])
@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("source", [*GOLDEN, *SHAPES], ids=str)
def test_values_are_those_of_scikit_learn(
    source: str | tuple[int, int], estimate: str, assume_centered: bool
) -> None:
    x = arrays()[source] if isinstance(source, str) else features(*source)
    wide = x.astype(np.float64)
    expected = getattr(theirs, estimate)(wide, assume_centered=assume_centered)
    found = getattr(covariance, estimate)(x, assume_centered=assume_centered)
    assert distance(found, expected) < EQUAL


@pytest.mark.parametrize("estimate", ["ledoit_wolf", "ledoit_wolf_shrinkage"])
@pytest.mark.parametrize("block_size", [1, 3, 1000])
def test_a_block_size_is_accepted(estimate: str, block_size: int) -> None:
    x = features()
    ours, expected = (getattr(m, estimate)(x, block_size=block_size) for m in (covariance, theirs))
    assert distance(ours, expected) < EQUAL


def test_arguments_may_be_given_by_place_where_scikit_learn_takes_them_so() -> None:
    x = features()
    found = ledoit_wolf_shrinkage(x, True, 4)
    assert distance(found, theirs.ledoit_wolf_shrinkage(x, True, 4)) < EQUAL
    matrix = empirical_covariance(x)
    found = shrunk_covariance(matrix, 0.3)
    assert distance(found, theirs.shrunk_covariance(matrix, 0.3)) < EQUAL


# --- shrunk_covariance --------------------------------------------------------------------------


@pytest.mark.parametrize("shrinkage", [0, 0.1, 0.5, 1, np.float32(0.25)])
def test_a_covariance_or_a_stack_of_them_is_shrunk(shrinkage: float) -> None:
    stack = np.stack([empirical_covariance(features(seed=seed)) for seed in range(3)])
    for matrices in (stack[0], stack, stack[None], stack.astype(np.float32)):
        before = matrices.copy()
        found = shrunk_covariance(matrices, shrinkage)
        expected = theirs.shrunk_covariance(matrices, shrinkage)
        assert found.dtype == expected.dtype
        assert distance(found, expected) < (1e-6 if matrices.dtype == np.float32 else EQUAL)
        assert (matrices == before).all()
    x = features()
    by_name = shrunk_covariance(features=x, shrinkage=shrinkage)
    assert distance(by_name, shrunk_covariance(empirical_covariance(x), shrinkage)) < 1e-14
    assert distance(Stats("unlabelled").update(x).covariance(float(shrinkage)), by_name) < 1e-14


def test_the_default_shrinkage_and_lists() -> None:
    matrix = [[2, 1], [1, 3]]
    assert distance(shrunk_covariance(matrix), theirs.shrunk_covariance(matrix)) < 1e-15


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"emp_cov": features(30, 4)}, r"shape \(30, 4\).*square.*pass features="),
        ({"emp_cov": features(5, 5)}, r"transpose by up to .*symmetric.*pass features="),
        ({"emp_cov": [[1.0, np.nan], [np.nan, 1.0]]}, "NaN or infinity"),
        ({"emp_cov": [1.0, 2.0]}, "square"),
        ({"emp_cov": np.empty((0, 0))}, "square"),
        ({}, "neither of emp_cov and features"),
        ({"emp_cov": [[1.0]], "features": [[1.0]]}, "both of emp_cov and features"),
        ({"emp_cov": [[1.0]], "shrinkage": 1.5}, r"shrinkage is 1\.5; give a number from 0 to 1"),
        ({"emp_cov": [[1.0]], "shrinkage": float("nan")}, "shrinkage is nan"),
    ],
)
def test_matrices_that_are_no_covariances(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        shrunk_covariance(**given)


def test_a_trace_beyond_the_range_of_float16() -> None:
    found = shrunk_covariance(np.full((2, 2), 6e4, dtype=np.float16), 0.5)
    assert found.dtype == np.float16
    assert found.tolist() == [[6e4, 3e4], [3e4, 6e4]]


@pytest.mark.parametrize("given", ["no", 1, None, [True]])
def test_flags_are_true_or_false(given: Any) -> None:
    x = features()
    stats = Stats("unlabelled").update(x)
    for call in (
        *(empirical_covariance, ledoit_wolf, oas, ledoit_wolf_shrinkage),
        lambda x, **flags: shrunk_covariance(features=x, **flags),
        lambda _, **flags: stats.covariance(**flags),
        lambda _, **flags: stats.spectrum(**flags),
    ):
        with pytest.raises(DataError, match=r"assume_centered is .*; choose True or False"):
            call(x, assume_centered=given)  # type: ignore[operator]
    assert distance(oas(x, assume_centered=np.bool_(1)), oas(x, assume_centered=True)) == 0
    labels = np.arange(60) % 2
    for classes in (
        lambda **flags: covariance.class_covariances(x, labels, **flags),
        Stats(class_scatters=True).update(x, labels).class_covariances,
    ):
        with pytest.raises(DataError, match=r"per_class is .*; choose True or False"):
            classes(per_class=given)


def test_values_of_other_types() -> None:
    with pytest.raises(DtypeError, match="emp_cov must hold real numbers, got dtype complex128"):
        shrunk_covariance(np.eye(2) * 1j)
    with pytest.raises(DtypeError, match="shrinkage is of type str"):
        shrunk_covariance(np.eye(2), "oas")  # type: ignore[arg-type]


# --- digits -------------------------------------------------------------------------------------


def exact(x: Array, assume_centered: bool) -> tuple[Array, float, float]:
    """Return the covariance, and the shrinkage of Ledoit and Wolf and of OAS, from fractions."""
    n, d = x.shape
    rows = [[Fraction(float(value)) for value in row] for row in x]
    means = [Fraction(0) if assume_centered else sum(col) / n for col in zip(*rows, strict=True)]
    rows = [[value - mean for value, mean in zip(row, means, strict=True)] for row in rows]
    pairs = [(i, j) for i in range(d) for j in range(d)]
    cov = {(i, j): sum(row[i] * row[j] for row in rows) / n for i, j in pairs}
    trace = sum(cov[i, i] for i in range(d))
    square = sum(value**2 for value in cov.values())
    fourth = sum(sum(value**2 for value in row) ** 2 for row in rows) / n
    unequal = square - trace**2 / d
    lw = min(Fraction(1), (fourth - square) / n / unequal)
    chen = min(Fraction(1), (square / d**2 + (trace / d) ** 2) / (n + 1) / (unequal / d**2))
    return (
        np.array([[float(cov[i, j]) for j in range(d)] for i in range(d)]),
        float(lw),
        float(chen),
    )


@pytest.mark.parametrize("assume_centered", [False, True])
@pytest.mark.parametrize("shape", [(40, 4), (4, 9)])
@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
def test_an_offset_of_a_million_deviations_costs_no_digits(
    offset: float, shape: tuple[int, int], assume_centered: bool
) -> None:
    x = features(*shape) + offset * np.array([(-1) ** j * (1 + j / 3) for j in range(shape[1])])
    matrix, lw, chen = exact(x, assume_centered)
    found, shrinkage = ledoit_wolf(x, assume_centered=assume_centered)
    assert shrinkage == pytest.approx(lw, rel=EQUAL)
    assert distance(empirical_covariance(x, assume_centered=assume_centered), matrix) < EQUAL
    mean = np.trace(matrix) / len(matrix)
    assert distance(found, (1 - lw) * matrix + lw * mean * np.eye(len(matrix))) < EQUAL
    assert oas(x, assume_centered=assume_centered)[1] == pytest.approx(chen, rel=EQUAL)
    for cut in (1, 3, len(x) - 1):
        parts = [Stats("unlabelled").update(part) for part in (x[:cut], x[cut:])]
        for stats in (parts[0] + parts[1], parts[1] + parts[0]):
            again = stats.covariance("ledoit-wolf", assume_centered=assume_centered)
            assert distance(again, found) < EQUAL
    if not assume_centered and offset:  # each entry, though small beside the offset
        assert np.abs(empirical_covariance(x) / matrix - 1).max() < 1e-7


# --- inputs -------------------------------------------------------------------------------------


@functools.cache
def small() -> Array:
    """Values that every format holds exactly."""
    return np.asarray(np.random.default_rng(1).integers(0, 2, (40, 5)), dtype=np.float64)


FORMATS: dict[str, Callable[[Array], Any]] = {
    "float16": lambda x: x.astype(np.float16),
    "float32": lambda x: x.astype(np.float32),
    "int8": lambda x: x.astype(np.int8),
    "uint64": lambda x: x.astype(np.uint64),
    "bool": lambda x: x.astype(bool),
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_and_layouts(kind: str) -> None:
    expected = theirs.ledoit_wolf(small())
    given = FORMATS[kind](small())
    if isinstance(given, np.ndarray):
        given.flags.writeable = False
    assert distance(ledoit_wolf(given), expected) < 1e-13


def test_frames_and_memory_maps(tmp_path: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    np.save(tmp_path / "x.npy", small().astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    frame = pandas.DataFrame(small())
    for given in (mapped, frame, polars.DataFrame(small(), schema=list("abcde"))):
        assert distance(oas(given), theirs.oas(small())) < 1e-13


@pytest.mark.parametrize("estimate", [*ESTIMATES, "coding_rate"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1.0, 2.0], DataError, "features must be 2-D"),
        ([["a"]], DtypeError, "features must hold real numbers"),
        (np.eye(2) * 1j, DtypeError, "complex128"),
        (np.empty((0, 3)), DataError, "empty"),
        ([[1.0, np.nan]], DataError, r"features\[0, 1\] is NaN"),
        ([[1.0, 2.0], [np.inf, 3.0]], DataError, r"features\[1, 0\] is inf"),
        ([[1e200, 1.0], [-1e200, 2.0]], DataError, "squares overflow float64"),
        ([[1e308, 1.0], [-1e308, 2.0]], DataError, "overflow float64"),
        ([[1e-200, 0.0], [0.0, 3e-200]], DataError, "squares underflow float64"),
    ],
)
def test_bad_features(estimate: str, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(covariance, estimate)(given)


def test_far_features_overflow_about_zero_only() -> None:
    x = features() + 1e160
    assert np.isfinite(empirical_covariance(x)).all()
    with pytest.raises(DataError, match="squares overflow float64"):
        empirical_covariance(x, assume_centered=True)
    for scale in (1e90, 1e-90):  # fourth powers leave the range of float64, and the shrinkage not
        for centred in (False, True):
            found = ledoit_wolf(features() * scale, assume_centered=centred)
            expected = ledoit_wolf(features(), assume_centered=centred)
            assert found[1] == pytest.approx(expected[1], rel=1e-12)
            assert distance(found[0] / scale / scale, expected[0]) < 1e-12


@pytest.mark.parametrize("block_size", [0, -3])
def test_bad_block_sizes(block_size: int) -> None:
    with pytest.raises(DataError, match=r"block_size is .*; give at least 1"):
        ledoit_wolf(features(), block_size=block_size)
    with pytest.raises(DtypeError, match="block_size is of type float"):
        ledoit_wolf_shrinkage(features(), block_size=2.5)  # type: ignore[arg-type]


# --- degenerate shapes --------------------------------------------------------------------------


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize(
    "x",
    [
        np.zeros((6, 3)),
        np.full((6, 3), 1.7),
        np.full((6, 1), 1.7),
        np.column_stack([features(9, 2), np.full(9, 0.3)]),
        np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]),  # a multiple of the identity
        features(2, 2),
        features(3, 1),
    ],
    ids=["zeros", "constant", "one constant", "a constant column", "isotropic", "2 rows", "D = 1"],
)
def test_features_that_hardly_vary(estimate: str, x: Array) -> None:
    assert distance(getattr(covariance, estimate)(x), getattr(theirs, estimate)(x)) < 1e-11
    if (x == x[0]).all():  # exactly
        assert (empirical_covariance(x) == 0).all()


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("d", [1, 4])
def test_a_single_row_has_no_spread_of_its_own(estimate: str, d: int) -> None:
    x = features(1, d)
    with pytest.warns(UserWarning, match="Only one sample"):
        expected = getattr(theirs, estimate)(x) if d > 1 else theirs.empirical_covariance(x)
    with pytest.warns(TransferabilityWarning, match="single row"):
        found = getattr(covariance, estimate)(x)
    if d > 1:
        assert distance(found, expected) < 1e-13
    with pytest.warns(TransferabilityWarning, match="single row"):
        assert (Stats("unlabelled").update(x).covariance() == 0).all()
    about_zero = empirical_covariance(x, assume_centered=True)  # no warning
    assert distance(about_zero, x.T @ x) < 1e-15


# --- statistics without labels ------------------------------------------------------------------

SHRINKAGES: list[Any] = [None, "ledoit-wolf", "oas", 0.25]


def direct(x: Array, shrinkage: Any, assume_centered: bool = False) -> Array:
    options: dict[str, Any] = {"assume_centered": assume_centered}
    if shrinkage is None:
        return empirical_covariance(x, **options)
    if shrinkage == "ledoit-wolf":
        return ledoit_wolf(x, **options)[0]
    if shrinkage == "oas":
        return oas(x, **options)[0]
    return shrunk_covariance(features=x, shrinkage=shrinkage, **options)


@pytest.mark.parametrize("assume_centered", [False, True])
@pytest.mark.parametrize("shrinkage", SHRINKAGES, ids=str)
@pytest.mark.parametrize("shape", [(60, 7), (20, 30)])
def test_any_split_and_merge(shape: tuple[int, int], shrinkage: Any, assume_centered: bool) -> None:
    x = features(*shape)
    expected = direct(x, shrinkage, assume_centered)
    for cuts in ([5], [1, 2, 3], [len(x) - 1], [3, 9, 11, 16]):
        parts = [Stats("unlabelled").update(part) for part in np.split(x, cuts)]
        one = Stats("unlabelled")
        for part in np.split(x, cuts):
            one.update(part)
        for stats in (one, sum(parts[::-1]), Stats.merge_all(parts)):
            found = stats.covariance(shrinkage, assume_centered=assume_centered)
            assert distance(found, expected) < 1e-12
            spectrum = stats.spectrum(assume_centered=assume_centered)
            eigenvalues = np.linalg.eigvalsh(direct(x, None, assume_centered))[::-1]
            assert distance(spectrum, eigenvalues[: min(shape)]) < 1e-12


def test_labels_do_not_matter(tmp_path: Path) -> None:
    x, labels = features(), np.arange(60) % 3
    expected = ledoit_wolf(x)[0]
    targets = np.column_stack([x[:, 0], x[:, 1] ** 2])
    for stats in (
        Stats().update(x, labels),
        Stats(class_scatters=True).update(x, labels),
        Stats("regression").update(x, targets),
        Stats("unlabelled", class_scatters=True).update(x),
    ):
        stats.save(tmp_path / "a.stats")
        for again in (stats, Stats.load(tmp_path / "a.stats"), Stats.from_moments(stats.moments())):
            assert distance(again.covariance("ledoit-wolf"), expected) < 1e-13
        nbytes = stats.nbytes
        stats.covariance("oas")
        assert stats.nbytes == nbytes  # the statistics are as before


def test_weights_count_as_repeated_rows() -> None:
    x, weights = features(12, 20), np.arange(12) % 4
    stats = Stats("unlabelled").update(x, sample_weight=weights)
    repeated = x.repeat(weights, axis=0)
    for shrinkage in SHRINKAGES:
        assert distance(stats.covariance(shrinkage), direct(repeated, shrinkage)) < 1e-13
    expected = Stats("unlabelled").update(repeated).spectrum()
    assert stats.spectrum().shape == expected.shape == (18,)
    assert distance(stats.spectrum(), expected) < 1e-13


def test_float32_products() -> None:
    x = features(500, 6).astype(np.float32)
    found = Stats("unlabelled", "single").update(x).covariance("ledoit-wolf")
    assert distance(found, ledoit_wolf(x)[0]) < 1e-5


def test_statistics_without_labels_are_complete() -> None:
    x = features()
    stats = Stats("unlabelled").update(x[:20]).update(x[20:], None)
    assert (stats.task, stats.n_samples, stats.n_features) == ("unlabelled", 60, 8)
    assert stats.classes is None
    assert stats.class_counts is None
    assert stats.task_note == "no labels were given"
    for twin in (
        stats.copy(),
        pickle.loads(pickle.dumps(stats)),
        Stats.from_bytes(stats.to_bytes()),
    ):
        assert (twin.task, twin.to_bytes()) == ("unlabelled", stats.to_bytes())
        assert (twin.update(x).covariance() != stats.covariance()).any()
    assert stats.reset().n_samples == 0
    assert stats.update(x).n_samples == 60
    empty = Stats("unlabelled")
    assert (empty + stats).n_samples == 60
    assert stats.moments()["task"] == "unlabelled"


@pytest.mark.parametrize("task", ["auto", "classification", "regression", "multilabel"])
def test_missing_labels_name_the_task_without_any(task: str) -> None:
    with pytest.raises(DataError, match=r"labels is None; give .*task='unlabelled'"):
        Stats(task).update(features())


def test_labels_and_no_labels_do_not_mix() -> None:
    x, labels = features(), np.arange(60) % 2
    stats = Stats("unlabelled").update(x)
    with pytest.raises(DataError, match="labels were given, but task is 'unlabelled'"):
        stats.update(x, labels)
    with pytest.raises(DataError, match="statistics of unlabelled and those of classification"):
        stats.merge(Stats("classification").update(x, labels))
    with pytest.raises(DataError, match="hold labels, and the task is unlabelled"):
        stats.merge(Stats().update(x, labels))
    with pytest.raises(DataError, match="logme needs labels"):
        stats.logme()
    assert stats.n_samples == 60


def test_before_the_first_block() -> None:
    stats = Stats("unlabelled")
    for call in (
        *(stats.covariance, stats.spectrum, stats.coding_rate, stats.class_covariances),
        stats.coding_rate_reduction,
    ):
        with pytest.raises(DataError, match="hold no rows yet; call update first"):
            call()


@pytest.mark.parametrize("shrinkage", ["lw", "ledoit_wolf", -0.1, 1.01, float("nan")])
def test_unknown_shrinkages(shrinkage: Any) -> None:
    with pytest.raises(DataError, match="give None, 'ledoit-wolf', 'oas' or a number from 0 to 1"):
        Stats("unlabelled").update(features()).covariance(shrinkage)


@pytest.mark.parametrize("shrinkage", [True, [0.1], 1j])
def test_shrinkages_of_other_types(shrinkage: Any) -> None:
    with pytest.raises(DtypeError, match="shrinkage is of type"):
        Stats("unlabelled").update(features()).covariance(shrinkage)


def test_files_without_labels(tmp_path: Path) -> None:
    x, labels = features(), np.arange(60) % 3
    for i, part in enumerate(np.split(x, [25, 40])):
        np.savez(tmp_path / f"x_{i}.npz", features=part, labels=labels[: len(part)])
        np.save(tmp_path / f"x_{i}.npy", part)
    paths = [tmp_path / f"x_{i}.npy" for i in range(3)]
    expected = ledoit_wolf(x)[0]
    for task in ("auto", "unlabelled"):
        stats = tx.io.stats_of(paths, task=task, progress=False)
        assert stats.task == "unlabelled"
        assert distance(stats.covariance("ledoit-wolf"), expected) < 1e-13
    zipped = [tmp_path / f"x_{i}.npz" for i in range(3)]
    source = tx.io.open_features(zipped, key="features", label_column="labels")
    assert tx.io.stats_of(source, progress=False).task == "classification"
    stats = tx.io.stats_of(source, task="unlabelled", progress=False)
    assert (stats.task, stats.n_samples) == ("unlabelled", 60)
    with pytest.raises(DataError, match="labels were given, but task is 'unlabelled'"):
        tx.io.stats_of(paths, labels, task="unlabelled", progress=False)
    with pytest.raises(DataError, match="labels is None"):
        tx.io.stats_of(paths, task="classification", progress=False)


# --- spectrum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("assume_centered", [False, True])
@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (9, 9), (5, 1), (40, 40)])
def test_eigenvalues_are_squares_of_singular_values(
    shape: tuple[int, int], assume_centered: bool
) -> None:
    x = features(*shape)
    centred = x if assume_centered else x - x.mean(axis=0)
    expected = np.linalg.svd(centred, compute_uv=False) ** 2 / len(x)
    found = Stats("unlabelled").update(x).spectrum(assume_centered=assume_centered)
    assert found.shape == (min(shape),)
    assert (np.diff(found) <= 0).all()
    assert distance(found, expected) < 1e-13
    if not assume_centered and shape[0] <= shape[1]:
        assert found[-1] == 0  # centred rows have one direction less, exactly


def test_directions_that_are_missing_are_exactly_zero() -> None:
    rng = np.random.default_rng(3)
    for n, d in ((200, 12), (30, 40)):
        x = rng.standard_normal((n, 5)) @ rng.standard_normal((5, d)) + 7
        found = Stats("unlabelled").update(x).spectrum()
        assert (found > 0).sum() == 5
        assert (Stats("unlabelled").update(np.full((n, d), 0.1)).spectrum() == 0).all()


def test_held_rows_show_small_directions() -> None:
    rng = np.random.default_rng(4)
    basis, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    wanted = np.logspace(0, -11, 12)
    left, _ = np.linalg.qr(rng.standard_normal((25, 12)))
    x = left * wanted @ basis[:12]
    found = Stats("unlabelled").update(x).spectrum(assume_centered=True)
    # A singular value of 1e-11 is right to about 1e-16: 1e-5 of itself.
    assert np.abs(np.sqrt(25 * found[:12]) / wanted - 1).max() < 1e-4


# --- the core -----------------------------------------------------------------------------------


def test_results_own_the_memory_of_the_core() -> None:
    x = features()
    stats = Stats(class_scatters=True).update(x, np.arange(60) % 3)
    of_classes = covariance.class_covariances(x, np.arange(60) % 3, per_class=True)
    for array in (
        *(empirical_covariance(x), ledoit_wolf(x)[0], oas(x)[0], stats.covariance("oas")),
        *(stats.spectrum(), of_classes.within, of_classes.between, of_classes.per_class),
        shrunk_covariance(features=x),
    ):
        assert array is not None
        assert type(array) is np.ndarray
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert type(array.base).__name__ == "PySliceContainer"  # the vector, and not a copy
    matrix = empirical_covariance(x)
    assert (matrix == matrix.T).all()
    matrix[0, 0] = 5  # its own memory


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    for x in (features(6000, 96), features(400, 700)):
        one, two, three = (ledoit_wolf(x, n_threads=n) for n in (1, 2, 3))
        assert one[1] == two[1] == three[1]
        assert (one[0] == two[0]).all()
        assert (one[0] == three[0]).all()
    assert distance(ledoit_wolf(features(6000, 96)), theirs.ledoit_wolf(features(6000, 96))) < EQUAL


PEAK = """
import sys, threading, numpy as np
from transferability.covariance import {name}

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

x = np.memmap(sys.argv[1], dtype=np.float32, mode="r", shape=({n}, {d}))
{name}(x[:2000])  # imports, and starts the threads
stop, seen = threading.Event(), [anonymous()]
before = seen[0]
def watch():
    while not stop.wait(0.001):
        seen.append(anonymous())
watcher = threading.Thread(target=watch)
watcher.start()
{name}(x)
stop.set()
watcher.join()
print((max(seen) - before) * 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["ledoit_wolf", "empirical_covariance"])
def test_features_are_never_copied_whole(tmp_path: Path, name: str) -> None:
    n, d = 1_000_000, 64
    path = tmp_path / "features"
    with path.open("wb") as file:
        file.truncate(n * d * 4)  # 256 MB of zeros, which take no space
    with path.open("r+b") as file:
        file.write(np.random.default_rng(0).standard_normal(4096, dtype=np.float32).tobytes())
    code = PEAK.format(name=name, n=n, d=d)
    command = [sys.executable, "-c", code, str(path)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak <= (tx.get_num_threads() + 1) * d * d * 8 + (32 << 20)
