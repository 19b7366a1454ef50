"""Limits of address space and of threads: a result or a named error, and no hang."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from memory_ladder import CALLS
from memory_ladder import run as run_ladder

if not sys.platform.startswith("linux"):
    pytest.skip("limits of address space are Linux's", allow_module_level=True)

#: Leaves so many MB of address space above what NumPy and the imports of the package take.
PREAMBLE = """
import resource, sys
import numpy as np

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limit(megabytes):
    most = used() + int(megabytes * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

rng = np.random.default_rng(0)
features = rng.normal(size=(3000, 200))
labels = rng.integers(5, size=3000)
"""


def run(code: str, *arguments: str, seconds: float = 60.0) -> str:
    """Run code in a fresh process, and return its last line; a hang or an abort fails the test."""
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


IMPORT = """
import numpy.linalg, typing, dataclasses, warnings, importlib, functools, logging
limit(float(sys.argv[1]))
try:
    import transferability as tx
    print(f"{float(tx.logme(features, labels)):.12f}")
except (ImportError, MemoryError, OSError) as error:
    print(type(error).__name__)
"""

CALL = """
import transferability as tx
tx.logme(features[:50, :8], labels[:50])
limit(float(sys.argv[1]))
import warnings
try:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = tx.logme(features, labels, n_threads=4)
    print(f"{float(value):.12f}", *["fewer" for w in caught if "of 4 threads" in str(w.message)])
except tx.errors.OutOfMemoryError:
    print("OutOfMemoryError")
"""


@pytest.fixture(scope="module")
def expected() -> str:
    return run("import transferability as tx; print(f'{float(tx.logme(features, labels)):.12f}')")


@pytest.mark.parametrize("megabytes", [5, 20, 40, 80, 120, 160, 200, 300, 500, 1000])
def test_import_ends_under_a_limit_of_address_space(megabytes: int, expected: str) -> None:
    found = run(IMPORT, str(megabytes))
    assert found in (expected, "ImportError", "MemoryError", "OSError", "OutOfMemoryError")
    assert found == expected or megabytes < 500


@pytest.mark.parametrize("megabytes", [2, 5, 20, 80, 160, 300, 500, 1000])
def test_a_call_ends_under_a_limit_of_address_space(megabytes: int, expected: str) -> None:
    found = run(CALL, str(megabytes)).split()
    assert found[0] in (expected, "OutOfMemoryError")
    assert found[0] == expected or megabytes < 80
    if 20 <= megabytes <= 300:
        assert found[1:] == ["fewer"]  # four threads need four buffers of 128 MB


def test_fewer_threads_than_asked_for_are_noted(expected: str) -> None:
    code = """
        import threading, warnings
        import transferability as tx
        # Threads count for the user: as many as there are now, and none more (root has no limit).
        limit(400)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            values = {f"{float(tx.logme(features, labels, n_threads=16)):.12f}" for _ in range(2)}
        (message,) = [str(w.message) for w in caught if "threads" in str(w.message)]
        assert "of 16 threads" in message and "n_threads=" in message, message
        (value,) = values
        print(value)
    """
    assert run(code) == expected


#: The ends that a user can catch.
NAMED = ("ImportError", "MemoryError", "OSError", "OutOfMemoryError")


@pytest.mark.parametrize("kind", sorted(CALLS))
def test_calls_of_every_kind_end_under_a_limit(kind: str) -> None:
    """Take one step of ``memory_ladder.py``: room for the package and for some calls."""
    end = run_ladder(kind, 200, seconds=60.0)
    assert end in ("passed", *NAMED), end


def test_where_the_package_has_no_room_every_kind_ends_alike() -> None:
    assert run_ladder("metrics", 60, seconds=60.0) in NAMED


def test_conversions_in_python_name_their_size() -> None:
    code = """
        import transferability as tx
        wide = np.broadcast_to(np.float128(1.0) if hasattr(np, "float128") else 1.0, (2**20, 2000))
        limit(500)
        try:
            tx.logme(wide, labels[:1].repeat(2**20))
        except tx.errors.OutOfMemoryError as error:
            print(str(2**20 * 2000 * 8) in str(error), "features" in str(error))
    """
    assert run(code) == "True True"


#: Calls that decompose a matrix of the order of the columns, or of the rows.
DECOMPOSING = (
    "tx.covariance.coding_rate(features)",
    "tx.covariance.coding_rate(features.T)",
    "tx.covariance.coding_rate_reduction(features, labels)",
    "tx.covariance.empirical_covariance(features)",
    "tx.covariance.ledoit_wolf(features)",
    "tx.covariance.class_covariances(features, labels)",
    "tx.health.check(features)",
    "tx.logme(features, labels)",
    "tx.h_score(features, labels)",
    "tx.score(features, labels, metrics=('cka', 'lda', 'transrate'))",
    "tx.Stats('unlabelled').update(features.T)",
)


def test_orders_that_lapack_cannot_address_are_refused_before_rows_are_read() -> None:
    """Reading one row of these broadcast arrays in full would take 4 GB, and all of them years."""
    code = """
        import transferability as tx
        features = np.broadcast_to(np.float32(1.0), (2**17, 2**30))
        labels = np.arange(2**17) % 2
        limit(2000)
        others = []
        for call in sys.argv[1:]:
            try:
                eval(call)
                others.append(call)
            except tx.errors.DataError as error:
                if "largest that LAPACK can address" not in str(error):
                    others.append((call, str(error)))
            except tx.errors.OutOfMemoryError as error:
                others.append((call, str(error)))
        print(others)
    """
    assert run(code, *DECOMPOSING, seconds=30.0) == "[]"
