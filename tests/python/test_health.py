"""Health of features: naive transcriptions, splits and merges, null values, bad input, metrics."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from metric_tester import quietly
from numpy.typing import NDArray
from reference.health import (
    entropy_rank,
    naive_alpha,
    naive_effective_rank,
    naive_lidar,
    naive_participation_ratio,
)

import transferability as tx
from transferability import health
from transferability._metric.registry import metric_specs
from transferability.cli import main
from transferability.health._health import tabulate
from transferability.health._null import draw_eigenvalues, null_lidar, null_values
from transferability.health._spectrum import uncentred_spectrum

Array = NDArray[np.float64]
DIAGNOSTICS = ("alpha_req", "effective_rank", "lidar", "participation_ratio")


def make(n: int, d: int, seed: int = 0, offset: float = 0.0) -> Array:
    """Make features whose singular values fall to about 1e-2 of the largest."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, d)) * np.linspace(1, 0.05, d)
    return mixed @ np.linalg.qr(rng.normal(size=(d, d)))[0] + offset


def split(x: Array, at: int, labels: Any = None, **options: Any) -> tx.Stats:
    task = "unlabelled" if labels is None else "classification"
    first, second = tx.Stats(task, **options), tx.Stats(task, **options)
    if labels is None:
        return first.update(x[:at]) + second.update(x[at:])
    return first.update(x[:at], labels[:at]) + second.update(x[at:], labels[at:])


SHAPES = [(400, 40), (60, 60), (50, 90), (41, 40)]


@pytest.mark.parametrize("convention", ["rankme", "covariance", "centred"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_effective_rank(shape: tuple[int, int], convention: str, offset: float) -> None:
    x = make(*shape, offset=offset)
    expected = naive_effective_rank(x, convention)
    found = health.effective_rank(x, convention=convention)
    assert found == pytest.approx(expected, rel=1e-10)
    merged = health.effective_rank(split(x, 23), convention=convention)
    assert merged == pytest.approx(expected, rel=1e-10)
    assert tx.effective_rank(x, convention=convention) == found


def test_singular_values_of_a_millionth_keep_ten_digits() -> None:
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.normal(size=(300, 30)))[0]
    right = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    x = left * np.geomspace(1, 1e-6, 30) @ right
    for convention in ("rankme", "covariance", "centred"):
        expected = naive_effective_rank(x, convention)
        found = health.effective_rank(x, convention=convention)
        assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shape", [(400, 40), (50, 90)])
@pytest.mark.parametrize("offset", [30.0, 1e3, 1e6])
def test_rankme_of_a_large_offset(shape: tuple[int, int], offset: float) -> None:
    x = make(*shape, offset=offset)
    x[:, 3] = -offset
    expected = naive_effective_rank(x, "rankme")
    for given in (x, split(x, 37), tx.Stats.from_moments(split(x, 37).moments())):
        # Of what exceeds the one direction of the offset; an SVD keeps 1e-16 of the largest value.
        assert health.effective_rank(given) - 1 == pytest.approx(expected - 1, rel=1e-7)
    assert tx.effective_rank(x.astype(np.float32), precision="single") == pytest.approx(
        naive_effective_rank(x.astype(np.float32).astype(np.float64), "rankme"), rel=1e-3
    )


@pytest.mark.parametrize("kind", ["plain", "along the offset", "constant", "low rank", "decay"])
@pytest.mark.parametrize("shape", [(300, 30), (31, 30), (300, 2), (300, 1)])
@pytest.mark.parametrize("offset", [30.0, 1e6])
def test_singular_values_of_a_large_offset(
    shape: tuple[int, int], offset: float, kind: str
) -> None:
    rng = np.random.default_rng(0)
    n, d = shape
    mean = offset * rng.normal(size=d)
    about = {
        "plain": rng.normal(size=shape),
        "along the offset": 0.01 * rng.normal(size=(n, 1)) * mean,
        "constant": np.zeros(shape),
        "low rank": rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)),
        "decay": rng.normal(size=shape) * np.geomspace(1, 1e-5, d),
    }[kind]
    x = about + mean
    expected = np.linalg.svd(x, compute_uv=False)
    # Squares are known to d roundings of the scatter's largest; an SVD to those of its largest.
    largest = np.linalg.norm(x - x.mean(axis=0), 2)
    error = np.sqrt(2.3e-16 * d) * largest + 2.3e-16 * n * expected[0]
    for given in (tx.Stats("unlabelled").update(x), split(x, 7)):
        found = np.sqrt(n * uncentred_spectrum(given))
        assert found[0] == pytest.approx(expected[0], rel=1e-13)
        assert found.shape == expected.shape
        assert np.abs(found - expected)[1:].max(initial=0.0) < error
        assert (np.diff(found) <= 0).all()
        if kind in ("along the offset", "constant"):
            one = entropy_rank(np.eye(min(shape))[0], 1e-7)  # a single direction
            assert health.effective_rank(given) == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
def test_rankme_of_a_large_offset_at_any_scale(scale: float) -> None:
    x = make(200, 20, offset=100.0)
    assert health.effective_rank(scale * x) == pytest.approx(health.effective_rank(x), rel=1e-10)


def test_rankme_of_few_rows_needs_no_scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = make(20, 300, offset=100.0)
    stats = tx.Stats("unlabelled").update(x)
    monkeypatch.setattr(tx.Stats, "feature_moments", None)  # which would multiply the rows out
    expected = naive_effective_rank(x, "rankme")
    assert health.effective_rank(stats) == pytest.approx(expected, rel=1e-12)


def test_directions_below_the_resolution_change_the_rank_within_the_stated_bound() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 10)) @ rng.normal(size=(10, 30))
    x += 1e-9 * rng.normal(size=x.shape)
    share = np.sqrt(2e-16 * 30)  # of each direction that counts as 0, at most
    bound = 20 * share * (1 - np.log(share))  # of the entropy
    expected = naive_effective_rank(x, "centred")
    assert health.effective_rank(x, convention="centred") == pytest.approx(expected, rel=bound)


def test_an_offset_leaves_what_is_about_the_mean() -> None:
    x = make(200, 30)
    plain, moved = health.check(x), health.check(x + 1e6)
    for name in ("covariance_rank", "centred_rank", "participation_ratio"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-8)
    assert moved.rankme < 1.01 < plain.rankme
    assert moved.variance_share < 1e-9
    assert any("an offset that all rows share is 100.00%" in note for note in moved.notes)


def test_more_features_than_rows_limit_the_rank() -> None:
    x = np.random.default_rng(0).normal(size=(20, 500))
    found = health.check(x)
    assert found.rank == 19
    assert found.rankme < 20
    assert found.null["rankme"] == pytest.approx(found.rankme, rel=0.01)
    assert any("20 rows span at most 19 directions" in note for note in found.notes)
    assert "no more rows than features" in tx.effective_rank(x).explain()


@pytest.mark.parametrize("shape", SHAPES)
def test_participation_ratio(shape: tuple[int, int]) -> None:
    x = make(*shape, offset=1.0)
    expected = naive_participation_ratio(x)
    for given in (x, split(x, 17)):
        assert health.participation_ratio(given) == pytest.approx(expected, rel=1e-10)
    assert tx.participation_ratio(x) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("shape", "rank"), [((400, 40), 40), ((60, 60), 59), ((50, 90), 49), ((500, 120), 120)]
)
def test_alpha_req(shape: tuple[int, int], rank: int) -> None:
    x = make(*shape, offset=1.0)
    expected = naive_alpha(x, rank)
    for given in (x, split(x, 31)):
        assert health.alpha_req(given) == pytest.approx(expected, rel=1e-9, abs=1e-10)
    score = tx.alpha_req(x)
    assert score == pytest.approx(expected, rel=1e-9, abs=1e-10)
    assert score.n_points == min(100, rank) - 10


def test_alpha_req_needs_twenty_points() -> None:
    x = make(200, 30)
    assert tx.alpha_req(x).n_points == 20
    x[:, 1] = x[:, 0]
    with pytest.raises(tx.DataError, match=r"rank of these features is 29, .* leaves 19 points"):
        health.alpha_req(x)
    with pytest.raises(tx.DataError, match="leaves 0 points, fewer than 20"):
        tx.alpha_req(x[:, :5])
    assert "leaves 19 points" in health.check(x).missing["alpha_req"]


VIEWS = {
    "three views": np.arange(60).repeat(3),
    "unequal": np.arange(60).repeat(1 + np.arange(60) % 4),
    "two samples": np.arange(2).repeat(70),
}


@pytest.mark.parametrize(
    ("views", "width"), [*((name, 12) for name in VIEWS), ("three views", 190)]
)
def test_lidar(views: str, width: int) -> None:
    samples = VIEWS[views]
    n = len(samples)
    images = make(int(samples.max()) + 1, width, seed=1)
    x = images[samples] + 0.3 * make(n, width, seed=2) + 0.5
    order = np.random.default_rng(3).permutation(n)
    expected = naive_lidar(x, samples)
    for given in (
        health.lidar(x, samples),
        health.lidar(x[order], samples[order]),
        health.lidar(x, [f"image {name}" for name in samples]),
        health.lidar(split(x, 50, samples)),
        health.lidar(split(x, 50, samples, class_scatters=True)),
        tx.lidar(x, samples),
        tx.score(x, samples, "lidar", task="classification"),
        health.check(x, samples).lidar,
    ):
        assert given == pytest.approx(expected, rel=1e-10)


def test_class_scatters_are_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    x = make(120, 40, offset=2.0)
    stats = tx.Stats("classification", class_scatters=True).update(x, np.arange(120) % 4)
    expected = health.check(x)
    monkeypatch.setattr(tx.Stats, "moments", None)  # has C matrices of (D, D)
    found = health.check(stats)
    assert found.rankme == pytest.approx(expected.rankme, rel=1e-12)
    assert found.norms.variation == pytest.approx(expected.norms.variation, rel=1e-9)
    assert health.duplicate_units(stats) == ()


def test_lidar_counts_weights_as_rows() -> None:
    samples = np.arange(30).repeat(4)
    x = make(30, 12)[samples] + 0.3 * make(120, 12, seed=2)
    weights = np.arange(120) % 3
    weights[:4] = 0  # a sample that does not occur
    stats = tx.Stats("classification").update(x, samples, sample_weight=weights)
    expected = naive_lidar(x.repeat(weights, axis=0), samples.repeat(weights))
    assert health.lidar(stats) == pytest.approx(expected, rel=1e-10)


def test_lidar_of_classes_is_another_number() -> None:
    samples = np.arange(60).repeat(3)
    x = make(60, 12)[samples] + 0.1 * make(180, 12, seed=2)
    assert abs(health.lidar(x, samples) - health.lidar(x, samples % 3)) > 1
    assert "class labels give another number" in tx.lidar(x, samples).explain()


def test_lidar_tells_of_its_rounding() -> None:
    samples = np.arange(20).repeat(4)
    x = 1e6 * make(20, 10)[samples] + make(80, 10, seed=2) * 1e-3
    for function in (health.lidar, tx.lidar):
        with pytest.warns(tx.TransferabilityWarning, match="scale the features down"):
            assert function(x, samples) == pytest.approx(naive_lidar(x, samples), rel=0.1)
    scaled = health.lidar(1e-4 * x, samples)  # without a warning
    assert scaled == pytest.approx(naive_lidar(1e-4 * x, samples), rel=1e-6)


def test_equal_samples_have_rank_zero() -> None:
    x = np.tile([[1.0, 2.0], [2.0, 1.0]], (5, 1))
    samples = np.arange(5).repeat(2)
    assert health.lidar(x, samples) == 0
    with pytest.warns(tx.TransferabilityWarning, match="means of all samples are equal"):
        assert tx.lidar(x, samples) == 0


# --- units and norms ------------------------------------------------------------------------------


def test_dead_units_are_exact() -> None:
    x = make(90, 8)
    x[:, 1], x[:, 4], x[:, 6] = 0.1, -1e9, 0.0
    x[:, 7] = 5.0
    x[-1, 7] += 1e-9
    for given in (x, x.astype(np.float32).astype(np.float64)[:, :7], split(x, 40), x[:6]):
        found = health.dead_units(given)
        expected = [1, 4, 6] if np.shape(given) != (6, 8) else [1, 4, 6, 7]
        assert found.tolist() == expected
    x[:40, 1] = 0.2  # constant in each block, and not in all rows
    assert health.dead_units(split(x, 40)).tolist() == [4, 6]


def test_duplicate_units() -> None:
    x = make(200, 9, offset=2.0)
    x[:, 3] = -7.5 * x[:, 0] + 100
    x[:, 8] = x[:, 0]
    x[:, 5] = x[:, 2] * 1e-8
    x[:, 6] = 4.0  # a dead unit is no duplicate
    x[:, 7] = x[:, 1] + 1e-5 * x[:, 4]  # close, and no copy
    for given in (x, split(x, 90), x[:8]):
        assert health.duplicate_units(given)[:2] == ((0, 3, 8), (2, 5))
    assert health.duplicate_units(x) == ((0, 3, 8), (2, 5))
    single = np.float32(3) * x.astype(np.float32)[:, :1] + np.float32(1)
    pair = np.concatenate([x.astype(np.float32)[:, :1], single], axis=1)
    assert health.duplicate_units(pair) == ((0, 1),)
    assert health.duplicate_units(np.ones((5, 3))) == ()


@pytest.mark.parametrize("shape", [(200, 5), (8, 30), (1, 4)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_norms(shape: tuple[int, int], offset: float) -> None:
    x = np.random.default_rng(0).normal(size=shape) + offset
    squares = (x**2).sum(axis=1)
    for given in (x, split(x, shape[0] // 2)) if shape[0] > 1 else (x,):
        found = health.norms(given)
        assert found.rms == pytest.approx(np.sqrt(squares.mean()), rel=1e-12)
        assert found.variation == pytest.approx(squares.std() / squares.mean(), rel=1e-8, abs=1e-7)


def test_norms_count_weights_and_unit_rows() -> None:
    x = make(40, 6)
    weights = np.arange(40) % 3
    stats = tx.Stats("unlabelled").update(x, sample_weight=weights)
    expected = health.norms(x.repeat(weights, axis=0))
    assert health.norms(stats).rms == pytest.approx(expected.rms, rel=1e-12)
    assert health.norms(stats).variation == pytest.approx(expected.variation, rel=1e-10)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert health.norms(unit).rms == pytest.approx(1)
    assert health.norms(unit).variation < 1e-7


# --- null values and the verdict ------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(300, 20), (20, 300), (40, 40)])
def test_null_values_are_those_of_random_features(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    null = null_values(*shape)
    draws = [health.check(rng.normal(size=shape)) for _ in range(12)]
    names = ["rankme", "covariance_rank", "centred_rank", "participation_ratio"]
    if shape == (40, 40):
        names.append("alpha_req")
    for name in names:
        found = [getattr(draw, name) for draw in draws]
        # Both are means of draws with this spread: 8 there, 12 here; five standard errors.
        margin = 5 * np.std(found, ddof=1) * np.sqrt(1 / 8 + 1 / 12)
        assert null[name] == pytest.approx(np.mean(found), abs=margin), name
    variation = np.mean([draw.norms.variation for draw in draws])
    assert null["norm_variation"] == pytest.approx(variation, rel=0.2)
    assert null["rank"] == draws[0].rank


def test_eigenvalues_of_random_features_have_the_right_moments() -> None:
    rng = np.random.default_rng(0)
    draws = np.array([draw_eigenvalues(50, 8, rng) for _ in range(2000)])
    assert draws.sum(axis=1).mean() == pytest.approx(50 * 8, rel=0.01)  # E tr W
    assert (draws**2).sum(axis=1).mean() == pytest.approx(50 * 8 * (50 + 8 + 1), rel=0.02)
    assert (np.diff(draws, axis=1) <= 0).all()
    assert draw_eigenvalues(0, 8, rng).size == 0


@pytest.mark.parametrize(("views", "width"), [(3, 30), (2, 50)])
def test_the_null_value_of_lidar(views: int, width: int) -> None:
    rng = np.random.default_rng(1)
    samples = np.arange(40).repeat(views)
    draws = [health.lidar(2 * rng.normal(size=(len(samples), width)), samples) for _ in range(12)]
    margin = 5 * np.std(draws, ddof=1) * np.sqrt(1 / 8 + 1 / 12)
    found = null_lidar((views,) * 40, width, 4.0)
    assert found == pytest.approx(np.mean(draws), abs=margin)


def test_verdicts() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 64))
    assert health.check(x).verdict.startswith("no collapse")
    assert health.check(x * np.r_[np.ones(20), np.zeros(44)]).verdict.startswith("narrow spectrum")
    low = health.check(x[:, :2] @ rng.normal(size=(2, 64)))
    assert low.verdict.startswith("dimensional collapse: the effective rank about the mean is 2.0")
    assert any("vary in 2 of 64 directions" in note for note in low.notes)
    dead = health.check(np.full((500, 64), 3.0))
    assert dead.verdict == "complete collapse: every row is the same"
    assert len(dead.dead_units) == 64
    assert dead.rankme == pytest.approx(1, abs=1e-3)  # the common row is one direction


def test_check_has_what_the_functions_return() -> None:
    x = make(200, 40, offset=0.3)
    x[:, 3], x[:, 5] = 1.0, x[:, 4]
    samples = np.arange(50).repeat(4)
    for found in (health.check(x, samples), health.check(split(x, 77))):
        assert found.rankme == pytest.approx(health.effective_rank(x), rel=1e-12)
        for name, convention in (("covariance_rank", "covariance"), ("centred_rank", "centred")):
            expected = health.effective_rank(x, convention=convention)
            assert getattr(found, name) == pytest.approx(expected, rel=1e-12)
        assert found.participation_ratio == pytest.approx(health.participation_ratio(x), rel=1e-12)
        assert found.alpha_req == pytest.approx(health.alpha_req(x), rel=1e-9)
        assert found.dead_units == (3,)
        assert found.duplicate_units == ((4, 5),)
        assert found.norms.rms == pytest.approx(health.norms(x).rms, rel=1e-12)
        assert found.rank == 38
    assert found.lidar is None
    assert "call lidar(stats)" in found.missing["lidar"]
    assert "samples were not given" in health.check(x).missing["lidar"]


def test_health_is_shown_saved_and_pickled() -> None:
    found = health.check(make(60, 40), np.arange(20).repeat(3))
    text = repr(found)
    assert "LiDAR" in text
    assert found.verdict in text
    assert "No evidence supports ranking models of different architectures" in text
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["rankme"] == found.rankme
    assert facts["norms"]["rms"] == found.norms.rms
    assert facts["null"]["lidar"] == found.null["lidar"]
    assert found._repr_html_().count("<tr>") == text.split("\n\n")[0].count("\n") + 1
    again = pickle.loads(pickle.dumps(found))
    assert again.to_dict() == found.to_dict()
    assert b"_check" not in pickle.dumps(found)
    with pytest.raises(AttributeError):
        found.rank = 3  # type: ignore[misc]


# --- bad input ------------------------------------------------------------------------------------


def test_edges_are_defined() -> None:
    one = np.array([[3.0, 4.0]])
    assert health.effective_rank(one) == pytest.approx(1, abs=1e-4)
    assert health.norms(one) == health.Norms(5.0, 0.0)
    column = np.arange(10.0)[:, None]
    found = health.check(column)
    assert found.centred_rank == found.participation_ratio == found.rank == 1
    assert found.duplicate_units == ()
    assert health.check(column[:2]).rank == 1
    zero = health.check(np.zeros((10, 4)))
    assert zero.rankme == zero.covariance_rank == zero.participation_ratio == zero.rank == 0
    assert zero.norms == health.Norms(0.0, 0.0)
    for metric in ("effective_rank", "participation_ratio"):
        with pytest.warns(tx.TransferabilityWarning, match="no feature varies"):
            assert tx.score(np.zeros((10, 4)), None, metric) == 0
    for scale in (1e-70, 1e70):  # fourth powers stay in range
        assert health.effective_rank(make(90, 6) * scale) == pytest.approx(
            health.effective_rank(make(90, 6)), rel=1e-9
        )


@pytest.mark.parametrize(
    "function",
    [
        health.participation_ratio,
        health.alpha_req,
        health.dead_units,
        health.duplicate_units,
        health.check,
        tx.participation_ratio,
        tx.alpha_req,
        lambda x: health.effective_rank(x, convention="centred"),
        lambda x: tx.effective_rank(x, convention="covariance"),
    ],
)
def test_one_row_has_no_variance(function: Any) -> None:
    with pytest.raises(tx.DataError, match=r"features has 1 row, and .* needs at least 2"):
        function([[1.0, 2.0, 3.0]])


ALL = (
    *(health.effective_rank, health.participation_ratio, health.alpha_req, health.dead_units),
    *(health.duplicate_units, health.norms, health.check),
)


@pytest.mark.parametrize("function", ALL, ids=lambda function: function.__name__)
def test_bad_features_are_refused(function: Any) -> None:
    with pytest.raises(tx.DataError, match=r"NaN|finite"):
        function([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(tx.DataError, match="2-D"):
        function([1.0, 2.0])
    with pytest.raises(tx.DtypeError):
        function([["a", "b"], ["c", "d"]])
    with pytest.raises(tx.DataError, match=r"hold no rows yet|holds no rows"):
        function(tx.Stats("unlabelled"))
    with pytest.raises(tx.DataError):
        function(make(20, 3) * 1e160)


def test_fourth_powers_out_of_range_are_named() -> None:
    for scale in (1e80, 1e-80):
        with pytest.raises(tx.DataError, match=r"fourth powers leave .* scale them to about 1"):
            health.norms(make(90, 6) * scale)


def test_bad_samples_are_refused() -> None:
    x = make(12, 3)
    stats = tx.Stats("unlabelled").update(x)
    with pytest.raises(tx.DataError, match="samples is None"):
        health.lidar(x)
    with pytest.raises(tx.DataError, match="samples has 3 entries but features has 12 rows"):
        health.lidar(x, [1, 2, 3])
    with pytest.raises(tx.DataError, match="a single sample"):
        health.lidar(x, np.zeros(12, int))
    with pytest.raises(tx.DataError, match="each of the 12 samples has one row"):
        health.check(x, np.arange(12))
    with pytest.raises(tx.DataError, match="hold no classes"):
        health.lidar(stats)
    with pytest.raises(tx.DataError, match="samples were given with Stats"):
        health.check(stats, np.arange(12))
    with pytest.raises(tx.DataError, match="convention is 'roy'"):
        health.effective_rank(x, convention="roy")
    with pytest.raises(tx.DataError, match="convention is 'roy'"):
        tx.effective_rank(x, convention="roy")


# --- files, number formats ------------------------------------------------------------------------


def test_samples_match_files_in_natural_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = np.repeat(np.arange(20), 4)
    features = rng.normal(size=(20, 8))[samples] + 0.1 * rng.normal(size=(80, 8))
    for number, half in ((2, features[:40]), (10, features[40:])):
        np.save(tmp_path / f"part{number}.npy", half)
    whole = tx.io.open_features([tmp_path / "part2.npy", tmp_path / "part10.npy"])
    assert health.lidar(whole, samples) == pytest.approx(health.lidar(features, samples), rel=1e-9)
    turned = tx.io.open_features([tmp_path / "part10.npy", tmp_path / "part2.npy"])
    for call in (health.lidar, health.check, tx.lidar):
        with pytest.raises(tx.DataError, match=r"part10\.npy comes before .*part2\.npy"):
            call(turned, samples)
    health.check(turned)


def test_formats_and_files_give_the_same(tmp_path: Path) -> None:
    x = make(200, 12).astype(np.float16)
    samples = np.arange(50).repeat(4)
    for i in range(2):
        np.save(tmp_path / f"x_{i}.npy", x[i * 100 : (i + 1) * 100])
    source = tx.io.open_features(str(tmp_path / "x_*.npy"))
    expected = health.check(x.astype(np.float64), samples)
    for given in (x, x.astype(np.float32), np.asfortranarray(x), source):
        found = health.check(given, samples)
        assert found.rankme == pytest.approx(expected.rankme, rel=1e-12)
        assert found.lidar == pytest.approx(expected.lidar, rel=1e-10)
    assert health.effective_rank(source) == pytest.approx(expected.rankme, rel=1e-12)


# --- metrics of their own name --------------------------------------------------------------------


def test_no_set_of_metrics_has_diagnostics() -> None:
    specs = metric_specs()
    assert {name for name, spec in specs.items() if spec.diagnostic} == {*DIAGNOSTICS}
    assert not any(specs[name].baseline or specs[name].recommended for name in DIAGNOSTICS)
    x, labels = make(120, 40), np.arange(120) % 3
    found = quietly(tx.score, x, labels, "all")
    assert not {*DIAGNOSTICS} & ({*found} | {*found.skipped})
    assert not {*DIAGNOSTICS} & {*quietly(tx.score, x, None, "all")}
    stats = tx.Stats(class_scatters=True).update(x, labels)
    assert not {*DIAGNOSTICS} & {*quietly(stats.score, "all")}
    ranking = tx.rank({"a": x, "b": x[::-1]}, labels, "recommended", baselines=True)
    assert not {*DIAGNOSTICS} & {*ranking.metrics}


def test_diagnostics_have_no_vote() -> None:
    x, labels = make(120, 40), np.arange(120) % 3
    models = {"a": x, "b": x + np.eye(3, 40)[labels], "c": x[:, :35]}
    names = ["logme", *DIAGNOSTICS]
    ranking = tx.rank(models, labels, names)
    assert ranking.metrics == tuple(names)
    assert ranking.best.effective_rank == pytest.approx(health.effective_rank(models["b"]))
    assert ranking.consensus().best.scores["consensus"].members == ("logme",)
    with pytest.raises(tx.DataError, match=r"'lidar', a diagnostic of features .* from logme"):
        ranking.consensus(["logme", "lidar"])
    only = tx.rank(models, labels, ["effective_rank"])
    assert "higher is better" not in repr(only)
    with pytest.raises(tx.DataError, match="members is empty"):
        only.consensus()


def test_rankings_without_labels(tmp_path: Path) -> None:
    models = {"a": make(120, 40), "b": make(120, 40, seed=1)[:, :7]}
    for name, x in models.items():
        np.save(tmp_path / f"{name}.npy", x)
    files = {name: tmp_path / f"{name}.npy" for name in models}
    opened = {name: tx.io.open_features(path) for name, path in files.items()}
    states = {name: tx.Stats("unlabelled").update(x) for name, x in models.items()}
    for given in (models, files, opened, states, {**models, "c": tmp_path / "none.npy"}):
        ranking = tx.rank(given, None, ["effective_rank", "participation_ratio"])
        assert ranking.names[:2] == ("a", "b")
        assert ranking.task == "unlabelled"
        assert ranking.best.effective_rank == pytest.approx(health.effective_rank(models["a"]))
    for broken in ({"c": tmp_path / "none.npy"}, {"c": None}):
        with pytest.raises((tx.DataError, tx.DtypeError)):
            tx.rank(broken, None, "effective_rank")
    with pytest.raises(tx.DataError, match="logme needs labels, and there are none"):
        tx.rank(models, None)


def test_scores_of_diagnostics_explain_themselves() -> None:
    x = make(120, 40)
    for name in DIAGNOSTICS:
        score = tx.score(x, np.arange(120) // 2, name, task="classification")
        text = score.explain()
        assert "No evidence supports ranking" in text
        assert "higher is better" not in text
    assert tx.score(x, None, "effective_rank").task == "unlabelled"
    stats = tx.Stats("unlabelled").update(x)
    assert stats.effective_rank(convention="centred") == tx.effective_rank(x, convention="centred")


def test_the_report_has_a_table_of_diagnostics() -> None:
    x, labels = make(120, 40), np.arange(120) % 3
    plain = tx.report.html(tx.rank({"a": x}, labels, ["logme"]))
    assert "Diagnostics of features" not in plain
    ranking = tx.rank({"a": x, "b": x[:, :8]}, labels, ["logme", "effective_rank", "alpha_req"])
    page = tx.report.html(ranking, stability=quietly(ranking.stability, n_boot=20))
    table = page.partition("<h2>Diagnostics of features</h2>")[2].partition("</section>")[0]
    assert "No evidence supports ranking" in table
    assert table.count(">random<") == 2
    assert f"{health.effective_rank(x):.4f}" in table
    assert f"{null_values(120, 40)['rankme']:.4f}" in table
    numbers = page.partition("<h2>All numbers</h2>")[2].partition("</section>")[0]
    assert "Effective rank" not in numbers
    assert "Higher is better for all scores here" in page
    alone = tx.report.html(tx.rank({"a": x}, None, ["participation_ratio"]))
    assert "<h2>Diagnostics" in alone
    assert "igher is better" not in alone


# --- the command line -----------------------------------------------------------------------------


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_command(tmp_path: Path) -> None:
    x = make(100, 40)
    np.save(tmp_path / "one.npy", x)
    np.savez(tmp_path / "more.npz", two=x[:, :5], three=x[:50])
    np.save(tmp_path / "samples.npy", np.arange(25).repeat(4))
    tx.Stats().update(x, np.arange(100) % 2).save(tmp_path / "four.stats")
    shown = run("health", tmp_path / "one.npy")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0].split() == ["one", "(random)"]
    assert f"{health.effective_rank(x):.4g}" in shown.stdout
    assert "No evidence" in shown.stdout
    paths = [tmp_path / name for name in ("one.npy", "more.npz", "four.stats")]
    found = json.loads(run("health", *paths, "--json").stdout)
    assert list(found) == ["one", "two", "three", "four"]
    assert found["one"]["rankme"] == pytest.approx(health.effective_rank(x), rel=1e-12)
    assert found["four"]["rankme"] == pytest.approx(found["one"]["rankme"], rel=1e-12)
    assert found["three"]["n_samples"] == 50
    table = run("health", *paths).stdout
    names = [word for name in found for word in (name, "(random)")]
    assert table.splitlines()[0].split() == names
    assert "three: " in table
    checks = {f"model {name}": health.check(x) for name in "abcd"}
    blocks = tabulate(checks).to_text(80).split("\n\n")
    heads = [block.splitlines()[0].split() for block in blocks[:2]]
    assert heads[0] == ["model", "a", "(random)", "model", "b", "(random)"]
    assert heads[1] == ["model", "c", "(random)", "model", "d", "(random)"]
    views = run("health", tmp_path / "one.npy", "--samples", tmp_path / "samples.npy", "--json")
    expected = health.lidar(x, np.arange(25).repeat(4))
    assert json.loads(views.stdout)["one"]["lidar"] == pytest.approx(expected, rel=1e-12)


def test_command_refuses(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones((1, 4)))
    tx.Stats("unlabelled").update(make(9, 4)).save(tmp_path / "a.stats")
    assert run("health").exit_code == 2
    assert run("health", tmp_path / "none.npy").exit_code == 2
    assert run("health", tmp_path / "one.npy").exit_code == 3
    refused = run("health", tmp_path / "a.stats", "--samples", tmp_path / "one.npy")
    assert refused.exit_code == 2
    assert "holds no rows" in refused.output


def test_the_list_of_metrics_has_a_group_of_diagnostics() -> None:
    listed = run("metrics").stdout
    before, _, after = listed.partition("Diagnostics of features")
    for name in DIAGNOSTICS:
        assert f"\n{name}\t" in after
        assert f"\n{name}\t" not in before
    assert json.loads(run("metrics", "--json").stdout)["lidar"]["diagnostic"] is True


def test_command_shows_the_rest_where_some_features_are_bad(tmp_path: Path) -> None:
    x = make(60, 6)
    np.save(tmp_path / "good.npy", x)
    np.save(tmp_path / "bad.npy", np.where(x > 1, np.nan, x))
    np.save(tmp_path / "worse.npy", np.full((9, 2), np.inf))
    some = run("health", tmp_path / "bad.npy", tmp_path / "good.npy", "--json")
    assert some.exit_code == 4
    assert [*json.loads(some.stdout)] == ["good"]
    assert "bad.npy, row 1, column 5 is nan" in some.stderr.partition("error: bad: ")[2]
    none = run("health", tmp_path / "bad.npy", tmp_path / "worse.npy")
    assert none.exit_code == 3
    assert none.stdout == ""
    assert none.stderr.count("error: ") == 2


def test_commands_without_labels(tmp_path: Path) -> None:
    x = make(100, 40)
    for name, part in {"a": x, "b": x[:, :5], "a_0": x[:30], "a_1": x[30:]}.items():
        np.save(tmp_path / f"{name}.npy", part)
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    names = ("--metrics", "effective_rank,participation_ratio", "--json")
    scored = json.loads(run("score", a, *names).stdout)
    assert scored["effective_rank"]["value"] == health.effective_rank(x)
    assert scored["effective_rank"]["task"] == "unlabelled"
    ranked = run("rank", b, a, *names)
    assert ranked.exit_code == 0
    assert [row["name"] for row in json.loads(ranked.stdout)["rows"]] == ["a", "b"]
    np.savez(tmp_path / "two.npz", one=x, two=x[:, :5])
    np.savez(tmp_path / "three.npz", one=x, two=x[:, :5], labels=np.arange(100) % 2)
    for file, task in (("two.npz", "unlabelled"), ("three.npz", "classification")):
        found = json.loads(run("rank", tmp_path / file, *names).stdout)
        assert [row["name"] for row in found["rows"]] == ["one", "two"]
        assert found["task"] == task
    for metrics in ("effective_rank,logme", "lidar", "all", "recommended"):
        for command in ("score", "rank"):
            refused = run(command, a, "--metrics", metrics)
            assert refused.exit_code == 2
            assert "such as" in refused.stderr
    for name in ("a_0", "a_1"):
        made = run("stats", tmp_path / f"{name}.npy", "--task", "unlabelled", "-o", f"{a}.{name}")
        assert made.exit_code == 0, made.output
        Path(f"{a}.{name}").rename(tmp_path / f"{name}.stats")
    parts = (tmp_path / "a_0.stats", tmp_path / "a_1.stats")
    assert run("merge", *parts, "-o", tmp_path / "whole.stats").exit_code == 0
    merged = json.loads(run("health", tmp_path / "whole.stats", "--json").stdout)["whole"]
    assert merged["rankme"] == pytest.approx(health.effective_rank(x), rel=1e-12)
    both = run("stats", a, "--labels", b, "--task", "unlabelled", "-o", tmp_path / "no.stats")
    assert both.exit_code == 2
    assert "leave them out" in both.stderr


def test_errors_name_samples() -> None:
    x = make(12, 3)
    for bad, words in (
        ([None, *"abcdefghijk"], "samples has 1 missing value"),
        ([np.nan, *range(11)], "samples has 1 missing value"),
        (np.zeros((12, 2)), r"samples must be 1-D, one name for each row, got shape \(12, 2\)"),
        ([], "samples is empty"),
    ):
        with pytest.raises(tx.DataError, match=words):
            health.lidar(x, bad)
    expected = health.lidar(x, np.arange(12) // 3)
    for names in ((np.arange(12) // 3) / 7, np.repeat([-0.5, 1e9, 3.25, 2.0], 3)):
        assert health.lidar(x, names) == pytest.approx(expected, rel=1e-12)


def test_files_of_another_length_than_samples_name_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", make(12, 3))
    source = tx.io.open_features(tmp_path / "x.npy")
    with pytest.raises(tx.DataError, match="samples has 3 entries but features has 12 rows"):
        health.check(source, [1, 1, 2])


def test_explanations_have_the_null_value() -> None:
    x, samples = make(120, 40), np.arange(120) // 3
    for name, title in (
        ("effective_rank", "rankme"),
        ("participation_ratio", "participation_ratio"),
        ("alpha_req", "alpha_req"),
    ):
        score = tx.score(x, None, name)
        null = null_values(120, 40)[title]
        assert f"Random features of the same shape have {null:.4f}." in score.explain()
        assert "(3 rows for each); no labels were given." in score.explain()
    null = health.check(x, samples).null["lidar"]
    score = tx.lidar(x, samples)
    assert f"Random features of the same shape have {null:.4f}." in score.explain()
    page = tx.report.html(tx.rank({"a": x}, samples, ["lidar"], task="classification"))
    table = page.partition("<h2>Diagnostics of features</h2>")[2].partition("</section>")[0]
    assert f"{null:.4f}" in table
    short = tx.score(x[:1], None, "effective_rank").explain()
    assert "Random features" not in short


@pytest.mark.parametrize("smallest", [1e-2, 1e-4, 2e-6])
@pytest.mark.parametrize("kind", ["one large", "half large", "power"])
def test_small_eigenvalues_are_within_the_stated_bound(kind: str, smallest: float) -> None:
    n, d = 300, 40
    rng = np.random.default_rng(0)
    scales = {
        "one large": np.r_[1, np.full(d - 1, smallest)],
        "half large": np.repeat([1, smallest], d // 2),
        "power": np.geomspace(1, smallest, d),
    }[kind]
    left = rng.normal(size=(n, d))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    x = left * scales @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    for convention in ("rankme", "covariance", "centred"):
        expected = naive_effective_rank(x, convention)
        assert health.effective_rank(x, convention=convention) == pytest.approx(expected, rel=1e-8)
    bound = d * np.finfo(float).eps / smallest**2
    assert health.alpha_req(x) == pytest.approx(naive_alpha(x, d), abs=bound, rel=0)
    rows = naive_alpha(x[:35], 34)  # held as rows, whose singular values lose nothing
    assert health.alpha_req(x[:35]) == pytest.approx(rows, abs=1e-15 * d / smallest, rel=1e-10)


@pytest.mark.parametrize("shape", [(30, 8, 3), (12, 40, 3), (60, 20, 2), (5, 1, 4)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_lidar_has_the_bits_of_one_thread_and_the_naive_value(
    shape: tuple[int, int, int], scale: float
) -> None:
    n_samples, width, views = shape
    samples = np.arange(n_samples).repeat(views)
    x = scale * (make(n_samples, width)[samples] + make(len(samples), width, seed=2))
    one = health.lidar(x, samples, n_threads=1)
    assert one == health.lidar(x, samples, n_threads=3)
    assert one == pytest.approx(naive_lidar(x, samples), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-140, 1e-60, 1e6, 1e148])
@pytest.mark.filterwarnings("ignore::transferability.TransferabilityWarning")
def test_lidar_of_any_scale_is_a_rank(scale: float) -> None:
    samples = np.arange(20).repeat(4)
    x = scale * (make(20, 10)[samples] + make(80, 10, seed=2))
    assert 1 <= health.lidar(x, samples) <= 10.001
    between_alone = scale * make(20, 10)[samples]  # rounding is all that is within
    assert 1 <= health.lidar(between_alone, samples) <= 10.001
