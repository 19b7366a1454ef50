"""The estimate of the memory of a call is an upper bound of its peak, and not far above it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: Prints the peak of each metric above the memory before the call, in a fresh process, beside the
#: estimate. The heap is trimmed before, so that no memory is reused.
CODE = """
import ctypes, json, sys, warnings
from dataclasses import replace
import numpy as np
import transferability as tx
from transferability import _core
from transferability._inputs.inputs import read_inputs
from transferability._metric.registry import metric_specs
from transferability._metric.spec import Size
from transferability._scoring.footprint import estimate_bytes

warnings.simplefilter("ignore")
libc = ctypes.CDLL("libc.so.6")
n, d, c, n_threads = json.loads(sys.argv[1])
name_of_options, options = json.loads(sys.argv[2])
slow = {"n_leep", "pactran"} if n * c > 20_000 else set()

def status(field):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))

rng = np.random.default_rng(0)
classes = rng.permutation(np.arange(n) % c)
features = rng.normal(size=(n, d)).astype(np.float32)
features += rng.normal(scale=0.3, size=(c, d)).astype(np.float32)[classes]
targets = rng.normal(size=(n, c))
beside = {"source_probs": rng.dirichlet(np.ones(10), size=n)}
beside["source_labels"] = beside["source_probs"].argmax(axis=1)
beside["label_embeddings"] = rng.normal(size=(n, 4, 2))
found = []
for name, spec in metric_specs().items():
    for task, labels in (("classification", classes), ("regression", targets)):
        if task not in spec.tasks or name in slow or name_of_options not in (None, name):
            continue
        engine = tx.Engine(name, task=task, n_threads=n_threads, **options)
        needs = {"source_stats": "source_probs"}
        read = {needs.get(need, need) for need in spec.needs}
        own = {key: array for key, array in beside.items() if key in read}
        small = {key: array[:40] for key, array in own.items()}
        tx.score(features[:40, :20], np.arange(40) % 2 if task[0] == "c" else targets[:40, 0],
                 name if name != "alpha_req" else "cka", task=task, **small)  # imports, warms up
        _core.release_memory()
        libc.malloc_trim(0)
        open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
        before = status("VmRSS")
        try:
            engine.score(features, labels, **own)
        except tx.DataError:
            continue
        peak = status("VmHWM") - before
        inputs = read_inputs(features, labels, task, **own)
        requests, _ = engine._call.plan(inputs)
        estimate = estimate_bytes(Size.of(inputs, c), requests, engine._settings)
        # These features need no SVD, which others of the shape may.
        settings = replace(engine._settings, method="tridiagonal")
        usual = estimate_bytes(Size.of(inputs, c), requests, settings)
        found.append((f"{name}, {task}", peak, usual, estimate))
print(json.dumps(found))
"""


Shape = tuple[int, int, int, int]
Found = list[tuple[str, int, int, int]]


def peaks(
    shape: Shape, metric: str | None = None, options: dict[str, object] | None = None
) -> Found:
    arguments = (json.dumps(shape), json.dumps((metric, options or {})))
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    found: Found = json.loads(done.stdout)
    assert not [one for one in found if one[1] > one[2] or one[2] > one[3]]
    return found


@pytest.mark.parametrize(
    "shape", [(2000, 300, 20, 1), (250, 1200, 8, 2), (9000, 80, 40, 2), (1500, 120, 500, 1)]
)
def test_the_estimate_is_above_the_peak_and_not_far(shape: Shape) -> None:
    found = peaks(shape)
    assert len(found) > 20
    # Metrics share one estimate, so the least of them hold a part of it.
    assert max(peak / usual for _, peak, usual, _ in found) > 1 / 3
    assert sum(one[1] for one in found) > 0.15 * sum(one[2] for one in found)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((250, 600, 4, 1), {"n_components": None}),  # Gaussians in all D directions
        ((250, 1200, 8, 2), {"n_components": 60}),
        ((2500, 40, 4, 1), {"n_mixture": 100, "covariance": "diag"}),
    ],
)
def test_the_options_of_a_mixture_count(shape: Shape, options: dict[str, object]) -> None:
    assert len(peaks(shape, "n_leep", options)) == 1
