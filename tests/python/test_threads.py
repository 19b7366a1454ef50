"""Same bits whoever asks, however many ask at once, and however many threads answer.

A BLAS whose scratch buffers race returns wrong numbers without a crash; this is the test that
caught one (ARCHITECTURE.md, "How BLAS is linked").
"""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import transferability as tx
from transferability.errors import DataError

# Fewer rows than columns is part of the test, whatever the score says about it.
pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

N_CALLERS = 16
CALLS_PER_CALLER = 150
SHAPES = [(300, 48), (40, 120), (200, 200), (900, 64)]


def make(n_samples, n_features, *, rank=None, n_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n_samples)
    features = rng.normal(size=(n_samples, n_features)) + rng.normal(size=(n_classes, 1))[labels]
    if rank is not None:
        features = features[:, :rank] @ rng.normal(size=(rank, n_features))
    return features.astype(np.float32), labels


@pytest.fixture(scope="module")
def cases():
    data = [make(*shape, seed=i) for i, shape in enumerate(SHAPES)]
    data.append(make(400, 60, rank=20, seed=9))  # rank-deficient
    data.append(make(50, 80, rank=12, seed=10))  # and with fewer rows than columns
    return data


def fingerprint(score):
    """Every number of a score, bit by bit."""
    return [np.float64(score).tobytes()] + [
        np.asarray(part).tobytes() for part in (score.per_target, score.alpha, score.beta)
    ]


@pytest.mark.parametrize("method", ["auto", "svd"])
def test_sixteen_callers_get_the_bits_of_one(cases, method):
    expected = [fingerprint(tx.logme(x, y, method=method, n_threads=1)) for x, y in cases]
    start = threading.Barrier(N_CALLERS)

    def call(caller):
        start.wait(timeout=60)
        wrong = []
        for i in range(CALLS_PER_CALLER):
            which = (caller + i) % len(cases)
            got = fingerprint(tx.logme(*cases[which], method=method, n_threads=2))
            if got != expected[which]:
                wrong.append(which)
        return wrong

    with ThreadPoolExecutor(N_CALLERS) as pool:
        wrong = [case for found in pool.map(call, range(N_CALLERS)) for case in found]
    assert not wrong, f"{len(wrong)} of {N_CALLERS * CALLS_PER_CALLER} calls differ: {set(wrong)}"


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_bits_do_not_depend_on_the_thread_count(n_threads):
    for seed, shape in enumerate([(5000, 64), (64, 900), (1500, 300)]):
        features, labels = make(*shape, seed=seed)
        one = tx.logme(features, labels, n_threads=1)
        many = tx.logme(features, labels, n_threads=n_threads)
        assert fingerprint(one) == fingerprint(many)


def test_the_gil_is_released():
    features, labels = make(20_000, 256)
    stop = threading.Event()
    ticks = []

    def tick():
        while not stop.wait(0.002):
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    n_calls = 0
    begin = time.perf_counter()
    try:
        while time.perf_counter() - begin < 0.5:
            tx.logme(features, labels, n_threads=1)
            n_calls += 1
    finally:
        stop.set()
        ticker.join()
    # A held GIL would let through a tick or two a call; a free one, one every 2 ms.
    assert len(ticks) > 4 * n_calls


def test_thread_count_is_argument_then_setting_then_environment():
    code = (
        "import transferability as tx; print(tx.get_num_threads());"
        "tx.set_num_threads(2); print(tx.get_num_threads());"
        "tx.set_num_threads(None); print(tx.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "TRANSFERABILITY_NUM_THREADS": "3"},
    )
    assert done.stdout.split() == ["3", "2", "3"]


@pytest.mark.parametrize("n_threads", [0, -1])
def test_impossible_thread_counts_are_refused(n_threads):
    features, labels = make(30, 4)
    with pytest.raises(DataError, match="n_threads"):
        tx.logme(features, labels, n_threads=n_threads)
    with pytest.raises(DataError, match="n_threads"):
        tx.set_num_threads(n_threads)


def test_interrupt_is_answered_between_tiles():
    # In its own interpreter, where an unanswered signal cannot stop pytest.
    code = """
import signal, time
import numpy as np
import transferability as tx

features = np.random.default_rng(0).normal(size=(40_000, 768)).astype(np.float32)
labels = np.arange(len(features)) % 10
tx.logme(features[:2000], labels[:2000], n_threads=1)
begin = time.perf_counter()
tx.logme(features, labels, n_threads=1)
whole = time.perf_counter() - begin

signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, whole / 5)
begin = time.perf_counter()
try:
    tx.logme(features, labels, n_threads=1)
    print("not interrupted")
except KeyboardInterrupt:
    print((time.perf_counter() - begin) / whole)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(done.stdout) < 0.7
