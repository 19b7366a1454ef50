"""Run calls of each kind under limits of address space, each in a fresh process.

Whatever the limit, import and call must end in time with a result or a named error: no hang, and no
abort. Run by ``make check-deep``; ``tests/python/test_memory_limits.py`` takes a few of the limits.
"""

from __future__ import annotations

import collections
import subprocess
import sys

#: Limits in MB above what the process has when NumPy is imported.
LADDER = (5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 240, 280, 320, 400, 500, 700, 1000)
#: Seconds in which a process must end on an idle machine.
SECONDS = 10.0

#: Calls on features of 2,000 columns, by kind. Not n_leep: it runs in scikit-learn, whose LAPACK
#: ends the process where it finds no memory.
CALLS = {
    "logme": "tx.logme(features, labels)",
    "regression": "tx.logme(features, targets)",
    "metrics": (
        "tx.score(features, labels, metrics=('logme', 'h_score', 'regularized_h_score', 'lfc', "
        "'cka', 'transrate', 'gbc', 'ridge_probe'))"
    ),
    "discriminants": "tx.score(features, labels, metrics=('lda', 'sfda', 'ncti'))",
    "svd": "tx.logme(features, labels, method='svd')",
    "samples": "tx.score(features, labels, metrics=('knn', 'parc', 'energy'))",
    "covariance": "tx.covariance.ledoit_wolf(features)",
    "coding_rate": "tx.covariance.coding_rate(features)",
    "spectrum": "tx.Stats('unlabelled').update(features).spectrum()",
    "state": "tx.Stats.from_bytes(tx.Stats().update(features, labels).to_bytes()).logme()",
    "merge": "tx.Stats().update(features, labels).merge(tx.Stats().update(features, labels))",
    "rank": "tx.rank({'a': features, 'b': features[:, :500]}, labels)",
}

_CHILD = """
import resource, sys
import numpy as np, numpy.linalg
import typing, dataclasses, warnings, importlib, functools, logging

call, megabytes, n_rows = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
labels = rng.integers(5, size=n_rows)
features = rng.normal(size=(n_rows, 2000)).astype(np.float32)
features[:, :5] += np.eye(5)[labels]
targets = rng.normal(size=(n_rows, 3))
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
most = used + int(megabytes * 2**20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
warnings.simplefilter("ignore")
try:
    import transferability as tx
    from transferability import covariance
    eval(call)
except (ImportError, MemoryError, OSError) as error:
    # What holds the frames holds their memory, and printing needs some.
    name = type(error).__name__
    del error
    print(name)
else:
    print("passed")
"""


def run(kind: str, megabytes: float, n_rows: int = 400, seconds: float = SECONDS) -> str:
    """Return how a call of this kind ends: "passed", the name of an error, "hang" or "abort"."""
    command = [sys.executable, "-c", _CHILD, CALLS[kind], str(megabytes), str(n_rows)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "hang"
    words = done.stdout.split()
    if done.returncode == 0 and words:
        return words[-1]
    return f"abort: exit {done.returncode}, {done.stderr.strip()[-300:]}"


def main() -> int:
    """Run every kind at every limit, and return the number of hangs and aborts."""
    bad = 0
    for n_rows in (400, 2500):
        for kind in CALLS:
            # With many rows a matrix of 2,000 x 2,000 is decomposed, which takes seconds.
            ends = [run(kind, mb, n_rows, SECONDS * (1 if n_rows < 2000 else 6)) for mb in LADDER]
            counts = collections.Counter(end.split(":")[0] for end in ends)
            print(f"{kind}, {n_rows} rows: {dict(counts)}", flush=True)
            for mb, end in zip(LADDER, ends, strict=True):
                if end.startswith(("hang", "abort")):
                    print(f"  {mb} MB: {end}", flush=True)
                    bad += 1
    print(f"{bad} hangs and aborts")
    return bad


if __name__ == "__main__":
    sys.exit(min(main(), 1))
