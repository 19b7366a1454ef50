"""Other implementations of LogME, found by environment variables, to be timed beside ours.

| peer | variable | needs |
|---|---|---|
| thuml/LogME | `LOGME_REPO`, a checkout | numba |
| tllib | `TLLIB_REPO`, a checkout of thuml/Transfer-Learning-Library | numba |
| transformer-ranker | `TRANSFORMER_RANKER_PYTHON`, an interpreter that has 0.2.0 | torch |

A peer whose variable is not set, or that cannot be loaded, is left out with a message.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Peer(NamedTuple):
    name: str
    #: From features, labels and a number of calls in a row to the mean seconds and the score.
    run: Callable[[np.ndarray, np.ndarray, int], tuple[float, float]]
    #: Largest relative difference of its score from ours, by what its source does.
    tolerance: float
    #: Whether it takes D ln alpha but only N of the log terms where N < D, as thuml/LogME does; its
    #: score is then another number, that of our compat.thuml.
    full_determinant: bool = False


def load_peers(threads: int) -> list[Peer]:
    """Load every peer that can be found."""
    found = [
        in_process("thuml/LogME", load_thuml(), 1e-2, full_determinant=True),
        in_process("tllib", load_tllib().get("logme"), 0.05),  # stops after 11 iterations
        load_transformer_ranker(threads),
    ]
    return [peer for peer in found if peer is not None]


def in_process(
    name: str,
    score: Callable[..., float] | None,
    tolerance: float,
    full_determinant: bool = False,
) -> Peer | None:
    if score is None:
        return None

    def run(features: np.ndarray, labels: np.ndarray, number: int) -> tuple[float, float]:
        start = time.perf_counter()
        for _ in range(number):
            value = score(features, labels)
        return (time.perf_counter() - start) / number, float(value)

    return Peer(name, run, tolerance, full_determinant)


def load_module(variable: str, file: str, source: str) -> Any | None:
    """Import a file of a checkout, or return None with a message."""
    repository = os.environ.get(variable)
    reason = f"set {variable} to a checkout of github.com/{source}"
    if repository:
        try:
            path = Path(repository) / file
            spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
            assert spec is not None and spec.loader is not None  # noqa: PT018
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        except (ImportError, OSError) as error:
            reason = f"{error} (numba is needed too)"
    print(f"{source}, {file}, is left out: {reason}", file=sys.stderr)
    return None


def load_thuml() -> Callable[[np.ndarray, np.ndarray], float] | None:
    """Return LogME of thuml/LogME as a function."""
    module = load_module("LOGME_REPO", "LogME.py", "thuml/LogME")
    if module is None:
        return None
    return lambda features, labels: module.LogME().fit(features, labels)


#: Metrics of tllib by our names: file and function.
TLLIB = {
    "logme": ("logme", "log_maximum_evidence"),
    "h_score": ("hscore", "h_score"),
    "regularized_h_score": ("hscore", "regularized_h_score"),
    "transrate": ("transrate", "transrate"),
}


def load_tllib() -> dict[str, Callable[..., float]]:
    """Return tllib's functions by our names; none if they cannot be loaded."""
    found = {}
    for name, (file, function) in TLLIB.items():
        path = f"tllib/ranking/{file}.py"
        module = load_module("TLLIB_REPO", path, "thuml/Transfer-Learning-Library")
        if module is None:
            return {}
        found[name] = getattr(module, function)
    return found


#: Reads a request a line, scores, and prints the mean seconds and the score.
SERVER = """
import json, sys, time
import numpy as np, torch
from transformer_ranker.estimators import LogME
torch.set_num_threads(int(sys.argv[1]))
for line in sys.stdin:
    request = json.loads(line)
    features = torch.from_numpy(np.load(request["features"]))
    labels = torch.from_numpy(np.load(request["labels"]))
    start = time.perf_counter()
    for _ in range(request["number"]):
        value = LogME().fit(embeddings=features, labels=labels)
    seconds = (time.perf_counter() - start) / request["number"]
    print(json.dumps([seconds, float(value)]), flush=True)
"""


def load_transformer_ranker(threads: int) -> Peer | None:
    """Start transformer-ranker's LogME in a process of its own interpreter."""
    python = os.environ.get("TRANSFORMER_RANKER_PYTHON")
    if not python:
        message = "set TRANSFORMER_RANKER_PYTHON to an interpreter with transformer-ranker 0.2.0"
        print(f"transformer-ranker is left out: {message}", file=sys.stderr)
        return None
    command = [python, "-c", SERVER, str(threads)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.terminate)
    sent: list[np.ndarray] = []  # what the files hold

    def run(features: np.ndarray, labels: np.ndarray, number: int) -> tuple[float, float]:
        assert server.stdin is not None
        assert server.stdout is not None
        request: dict[str, Any] = {"number": number}
        is_new = not sent or sent[0] is not features or sent[1] is not labels
        sent[:] = [features, labels]
        for name, array in zip(("features", "labels"), sent, strict=True):
            path = folder / f"{name}.npy"
            if is_new:
                np.save(path, array)
            request[name] = str(path)
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        if not answer:
            raise SystemExit("transformer-ranker stopped; its message is above")
        seconds, value = json.loads(answer)
        return float(seconds), float(value)

    # 11 iterations, with 1e-5 added to sums
    return Peer("transformer-ranker", run, 0.05, full_determinant=True)
