"""Threads, forks and Ctrl-C at sizes at which the pool works (N D min(N, D) > 2e7).

`test_threads.py` has many small problems at once; these are few and large.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import transferability as tx

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_signals = pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")

PRELUDE = """
import os, signal, sys, threading, time, warnings
import numpy as np
import transferability as tx
warnings.simplefilter("ignore")  # CPython >= 3.12 warns of fork in a process with threads

def sample(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d), dtype=np.float32), rng.integers(0, 5, n)

def score(n_threads=2):
    return tx.logme(*data, n_threads=n_threads).per_target.tobytes()
"""


def run(code: str) -> str:
    """Run in another interpreter, where what hangs takes nothing else with it."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sample(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d), dtype=np.float32), rng.integers(0, 5, n)


def numbers(score: tx.Score) -> list[bytes]:
    names = ("per_target", "alpha", "beta", "coef")
    return [np.asarray(getattr(score, name)).tobytes() for name in names]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_eight_threads_get_the_bits_of_one(n_threads: int) -> None:
    data = [sample(12_000, 96, 0), sample(320, 320, 1), sample(200, 900, 2), sample(3000, 160, 3)]

    def score(which: int) -> list[bytes]:
        return numbers(tx.logme(*data[which], n_threads=n_threads, keep_coef=True))

    serial = [score(which) for which in range(len(data))]
    start = threading.Barrier(8)

    def caller(first: int) -> list[bool]:
        start.wait(timeout=60)
        turns = [(first + i) % len(data) for i in range(8)]
        return [score(which) == serial[which] for which in turns]

    with ThreadPoolExecutor(8) as pool:
        assert all(all(same) for same in pool.map(caller, range(8)))


def test_stats_from_eight_threads_merge_to_the_bits_of_one() -> None:
    features, labels = sample(24_000, 96, 4)
    parts = [slice(first, first + 3000) for first in range(0, len(features), 3000)]

    def update(part: slice) -> tx.Stats:
        return tx.Stats(n_threads=2).update(features[part], labels[part])

    def merged(stats: Any) -> list[bytes]:
        return numbers(sum(stats).score(keep_coef=True))

    with ThreadPoolExecutor(8) as pool:
        assert merged(pool.map(update, parts)) == merged(map(update, parts))


@needs_fork
def test_children_of_a_fork_get_pools_of_their_own() -> None:
    run(
        """
data = sample(12_000, 96)
expected = score()
for generation in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a hang is a failure
        threads = [threading.Thread(target=score) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        grandchild = os.fork()
        if grandchild == 0:
            signal.alarm(20)
            os._exit(score() != expected)
        status = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
        os._exit(status != 0 or score() != expected)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert score() == expected
"""
    )


@needs_fork
def test_fork_while_another_thread_scores() -> None:
    run(
        """
data = sample(12_000, 96)
expected = score()
stop = threading.Event()
def work():
    while not stop.is_set():
        score()
worker = threading.Thread(target=work)
worker.start()
codes = []
for _ in range(20):
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(score() != expected)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
worker.join()
assert codes == [0] * 20, codes
assert score() == expected
"""
    )


INTERRUPTED = """
if case == "tall":    # the pass over the features
    data = sample(60_000, 1024)
elif case == "wide":  # the products of rows, and their decomposition
    data = sample(2000, 6000)
elif case == "pairs":  # every row beside all others, of few columns
    data = sample(120_000, 8)
small = sample(12_000, 96, 1)
expected = tx.logme(*small, n_threads=2)
stats = tx.Stats(n_threads=n_threads)
try:
    print("ready", flush=True)
    while True:
        if case == "update":
            stats.update(*small)
        else:
            (tx.knn if case == "pairs" else tx.logme)(*data, n_threads=n_threads)
except KeyboardInterrupt:
    print(time.time(), flush=True)
assert tx.logme(*small, n_threads=2) == expected  # and can score again
if case == "update":  # of which some were whole, and the last did not happen
    times, rest = divmod(stats.n_samples, 12_000)
    assert rest == 0
    repeated = tx.Stats().update(*small, np.full(12_000, times)).score()
    assert np.allclose(stats.score().per_target, repeated.per_target, rtol=0, atol=1e-10)
"""


@needs_signals
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("case", ["tall", "wide", "update", "pairs"])
def test_control_c_stops_a_large_call(case: str, n_threads: int) -> None:
    code = f"{PRELUDE}\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    code += f"\ncase, n_threads = {case!r}, {n_threads}{INTERRUPTED}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.15)  # in the middle of a call, wherever that is
            sent = time.time()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert float(out) - sent < 1.0  # tiles take milliseconds
