"""Cases that a quick implementation gets wrong in silence: each is a finding of a review."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import transferability as tx

RNG = np.random.default_rng


@pytest.mark.parametrize("scale", [1e3, 3e6, 1e7, 1e9])
@pytest.mark.parametrize("kind", ["classes", "targets"])
@pytest.mark.filterwarnings("ignore:.* resolved to a few digits")
def test_a_large_column_does_not_hide_the_others(scale: float, kind: str) -> None:
    rng = RNG(0)
    features = rng.normal(size=(200, 5))
    features[:, 0] *= scale
    signal_ = features[:, 1] + features[:, 2]
    labels = signal_ > 0 if kind == "classes" else signal_ + 0.1 * rng.normal(size=200)
    by_samples = tx.logme(features, labels, method="svd")
    by_statistics = tx.Stats().update(features, labels).score("logme")
    # The statistics state their own rounding, that of the large column beside the small ones; it
    # is far below what hiding those would cost.
    assert np.max(by_statistics.rounding) < 5e-6
    for score in (by_statistics, tx.logme(features, labels)):
        assert score == pytest.approx(by_samples, abs=1e-9 + 10 * np.max(by_statistics.rounding))


def test_small_columns_count_with_fewer_rows_than_columns() -> None:
    rng = RNG(1)
    features = rng.normal(size=(30, 60))
    features[:, :3] *= 1e8
    labels = np.arange(30) % 3
    features[np.arange(30), 10 + labels] += 3
    expected = tx.logme(features, labels, method="svd")
    score = tx.Stats().update(features, labels).score("logme")
    assert score == pytest.approx(expected, abs=1e-7)


def test_dead_units_do_not_send_every_score_to_the_slow_path() -> None:
    rng = RNG(2)
    features = np.maximum(rng.normal(size=(900, 80)), 0)
    features[:, :20] = 0
    features[:4, :20] = 1e-6 * rng.random((4, 20))
    labels = rng.integers(0, 4, 900)
    score = tx.logme(features, labels)
    assert score == pytest.approx(tx.logme(features, labels, method="svd"), abs=1e-12)
    assert np.max(score.rounding) < 1e-12


def test_offset_of_1e10_keeps_the_digits_of_the_differences() -> None:
    features = (1e10 + np.arange(8.0))[:, None]  # exact in float64
    targets = np.arange(8) + 1e-5 * np.array([1, -1, 1, 1, -1, 1, -1, -1])
    assert tx.logme(features, targets) == pytest.approx(8.14957588810, abs=1e-9)


@pytest.mark.parametrize("power", [-100, -30, -22, 18, 30, 100])
def test_single_precision_does_not_depend_on_the_unit(power: int) -> None:
    rng = RNG(3)
    features, labels = rng.normal(size=(300, 8)), np.arange(300) % 3
    expected = tx.logme(features, labels, precision="single")
    score = tx.logme(features * 10.0**power, labels, precision="single")
    # 10**power is no power of two, so float32 rounds other digits: 6e-8 of each product.
    assert score == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("constant", [1e120, 1e150, 1e300])
@pytest.mark.parametrize("method", ["auto", "tridiagonal", "svd"])
def test_a_huge_constant_column_is_refused(constant: float, method: str) -> None:
    features = np.c_[RNG(4).normal(size=(30, 4)), np.full(30, constant)]
    with pytest.raises(tx.DataError, match=r"overflow float64: rescale"):
        tx.logme(features, np.arange(30) % 3, method=method)


def test_parc_takes_subnormal_features() -> None:
    """The inverse of their largest is beyond float64."""
    labels = np.arange(60) % 3
    features = np.round(1e3 * (RNG(0).normal(size=(60, 8)) + np.eye(8)[labels]))
    assert tx.parc(5e-324 * features, labels) == tx.parc(features, labels)


@pytest.mark.parametrize("shape", [(4, 2**60), (10, 2**36), (2**20, 2**31)])
def test_more_numbers_than_can_be_addressed_are_refused(shape: tuple[int, int]) -> None:
    features = np.broadcast_to(np.int8(1), shape)
    with pytest.raises(tx.DataError, match="more numbers than can be addressed"):
        tx.logme(features, np.arange(shape[0]) % 2)


def test_multilabel_blocks_leave_out_what_the_one_shot_leaves_out() -> None:
    rng = RNG(5)
    features, labels = rng.normal(size=(60, 8)), (rng.random((60, 5)) < 0.4).astype(int)
    labels[:, 1], labels[:, 3] = 1, 0
    stats = tx.Stats()
    for start in range(0, 60, 7):
        stats.update(features[start : start + 7], labels[start : start + 7])
    with pytest.warns(tx.TransferabilityWarning, match="left out"):
        whole = tx.logme(features, labels)
    with pytest.warns(tx.TransferabilityWarning, match="left out"):
        blocks = stats.score("logme")
    assert blocks == pytest.approx(whole, abs=1e-12)
    assert blocks.targets == whole.targets == (0, 2, 4)
    labels[:] = 1
    with pytest.raises(tx.DataError, match="nothing to predict"):
        tx.Stats(task="multilabel").update(features, labels).score("logme")


def test_one_stats_may_be_used_from_several_threads() -> None:
    rng = RNG(6)
    features, labels = rng.normal(size=(4000, 64)), rng.integers(0, 3, 4000)
    stats = tx.Stats().update(features, labels)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                stats.update(features[:200], labels[:200])
                stats.score("logme")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert stats.n_samples == 4000 + 4 * 10 * 200


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_the_models_that_rank_has_under_way() -> None:
    code = textwrap.dedent(
        """
        import time, numpy as np, transferability as tx
        row = np.random.default_rng(0).normal(size=1500).astype("f4")
        models = {name: np.broadcast_to(row, (200_000, 1500)) for name in "abc"}
        print("ready", flush=True)
        try:
            tx.rank(models, np.arange(200_000) % 3, n_threads=2)
        except KeyboardInterrupt:
            start = time.perf_counter()
        else:
            raise SystemExit("not interrupted")
        print(tx.logme(row.reshape(30, 50), np.arange(30) % 3))
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    threading.Event().wait(0.5)
    process.send_signal(signal.SIGINT)
    # To the end, each model takes some ten seconds of two cores.
    output, errors = process.communicate(timeout=8)
    assert process.returncode == 0, errors
    assert float(output) < 0


def few_digits() -> dict[str, tuple[np.ndarray, np.ndarray, bool, float]]:
    """Small sets on which statistics or an SVD lose digits, with values of 110-digit arithmetic."""
    rng = RNG(0)
    labels = rng.integers(0, 3, 300)
    leaking = rng.normal(size=(300, 5))
    leaking[:, 0] = (labels == 0) + 1e-8 * rng.normal(size=300)
    exact = RNG(0).normal(size=(200, 3))
    rng = RNG(1)
    left = np.linalg.qr(rng.normal(size=(60, 8)))[0]
    right = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    steep = (left * 10.0 ** -np.linspace(0, 7, 8)) @ right.T
    two = np.array([[1.0, 0.0], [0.0, 1e-8]])
    return {
        "a column that is a class": (leaking, (labels == 0) + 0.0, False, 16.6307969477),
        "targets rounded to float32": (
            exact,
            (exact @ [1.0, 2.0, 3.0]).astype("f4").astype(float),
            False,
            14.466384596746,
        ),
        "singular values over seven decades": (
            steep,
            left @ rng.normal(size=8) + 0.01 * rng.normal(size=60),
            True,
            1.5752795,
        ),
        "a tiny second row": (two, np.array([2.0, 1e-8]), False, 7.33325647),
    }


@pytest.mark.parametrize("name", few_digits())
@pytest.mark.parametrize("path", ["auto", "statistics"])
@pytest.mark.filterwarnings("ignore:.* resolved to a few digits", "ignore:.* limit of zero noise")
def test_lost_digits_are_stated(name: str, path: str) -> None:
    features, targets, intercept, expected = few_digits()[name]
    if path == "auto":
        score = tx.logme(features, targets, task="regression", intercept=intercept)
    else:
        stats = tx.Stats("regression").update(features, targets)
        score = stats.score("logme", intercept=intercept)
    assert abs(score - expected) < 1e-8 + score.rounding[0]
    assert score.rounding[0] < 1e-6 or score.warnings
    assert path == "statistics" or score == pytest.approx(expected, abs=1e-6)


def test_small_columns_count_in_any_order() -> None:
    integers = [
        [1, -1, 2, 0, -1, 1],
        [0.5, 2, -1, -2, 2, 0],
        [-1, 1, 2, 2, 1, 2],
        [0.5, -2, 1, 1, 0, 2],
        [-1, 0, -1, -2, -2, 2],
        [0, 0, 2, 1, 0, 2],
        [0, -1, 2, -1, 1, -2],
    ]
    features = np.array(integers) * [1.47e-5, 5.8e-7, 6.3e2, 0.43, 88, 1.68e7]
    labels = np.array([1, 1, 0, 0, 1, 0, 1])
    for order in ([0, 1, 2, 3, 4, 5], [4, 0, 2, 1, 5, 3], [3, 2, 5, 4, 0, 1]):
        score = tx.logme(features[:, order], labels)
        assert score.per_target[0] == pytest.approx(-0.79724755008546, abs=1e-9)


@pytest.mark.parametrize("method", ["auto", "svd"])
def test_exact_fits_of_few_rows_are_unbounded(method: str) -> None:
    features = np.array(
        [
            [1, -1, 1, 2],
            [1, 1, 1, -2],
            [-1, 0, 2, -2],
            [-1, 1, 1, -2],
            [1, -2, -1, -1.0],
            [-1, -2, 1, -1],
        ]
    )
    targets = np.array([0, 1, 2, 1, 1, 2.0])
    with pytest.warns(tx.TransferabilityWarning, match="unbounded"):
        score = tx.logme(features, targets, task="regression", intercept=False, method=method)
    assert score == np.inf
