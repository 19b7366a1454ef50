"""Sweeps that are killed, repeated, run twice at once, or find their cache damaged."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sweep_models import Counted

import transferability as tx
from transferability._util.cache import Cache

N = 300

_SWEEP = """
import sys
import numpy as np
import transferability as tx

inputs = np.random.default_rng(5).normal(size=(300, 12)).astype(np.float32)
ranking = tx.rank_models(
    sys.argv[2].split(","), (inputs, inputs[:, :3].argmax(axis=1)), cache=sys.argv[1]
)
print(",".join(f"{row.name}={float(row.logme)!r}" for row in ranking), flush=True)
"""


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    inputs = np.random.default_rng(5).normal(size=(N, 12)).astype(np.float32)
    return inputs, inputs[:, :3].argmax(axis=1)


def rows_run(counts: Path, tag: str = "") -> int:
    lines = [line.split(" ") for line in counts.read_text().splitlines()]
    return sum(int(rows) for _, of, rows in lines if of == tag)


def ranked(models: Any, data: Any, cache: Path, **options: Any) -> tx.Ranking:
    return tx.rank_models(models, data, cache=cache, **{"isolate": False, **options})


def sweep(cache: Path, models: str) -> subprocess.Popen[str]:
    script = cache.parent / "sweep.py"
    script.write_text(_SWEEP)
    return subprocess.Popen(
        [sys.executable, str(script), str(cache), models], stdout=subprocess.PIPE, text=True
    )


def test_what_is_there_is_not_computed_again(tmp_path: Path, counts: Path, data: Any) -> None:
    cache = tmp_path / "cache"
    first = ranked("sweep_models:good", data, cache, layers="last")
    assert rows_run(counts) == N
    again = ranked("sweep_models:good", data, cache, layers="last", metrics=["logme", "h_score"])
    assert rows_run(counts) == N
    assert float(again[0].logme) == float(first[0].logme)
    made = {entry.meta["layer"]: entry.meta["created"] for entry in Cache(cache).entries()}
    more = ranked("sweep_models:good", data, cache, layers="all")  # one pass for the others
    assert rows_run(counts) == 2 * N
    assert float(more[0].logme) == float(first[0].logme)
    after = {entry.meta["layer"]: entry.meta["created"] for entry in Cache(cache).entries()}
    assert len(after) == 3
    assert {layer: after[layer] for layer in made} == made
    ranked("sweep_models:good", data, cache, layers="all", resume=False)
    assert rows_run(counts) == 3 * N


def test_features_are_added_where_they_are_needed(tmp_path: Path, counts: Path, data: Any) -> None:
    cache = tmp_path / "cache"
    ranked("sweep_models:good", data, cache)
    ranked("sweep_models:good", data, cache, metrics="knn")
    assert rows_run(counts) == 2 * N  # statistics do not serve it
    ranked("sweep_models:good", data, cache, metrics="knn")
    ranked("sweep_models:good", data, cache)  # an entry with features serves this too
    assert rows_run(counts) == 2 * N
    assert len(Cache(cache).keys()) == 1


def test_never_one_model_for_another(tmp_path: Path, counts: Path, data: Any) -> None:
    """Same name, same layer, same data; other weights, other code, other inputs, other options."""
    cache = tmp_path / "cache"

    class Other(Counted):
        def after(self, x: torch.Tensor) -> torch.Tensor:
            return x.sin()  # the weights are those of Counted

    inputs, labels = data
    runs: list[tuple[Any, Any, dict[str, Any]]] = [
        (Counted(seed=0), data, {}),
        (Counted(seed=1), data, {}),
        (Other(seed=0), data, {}),
        (Counted(seed=0), (inputs + np.float32(1e-3), labels), {}),
        (Counted(seed=0), (inputs, labels[::-1].copy()), {}),
        (Counted(seed=0), (inputs, np.array(["a", "b", "c"])[labels]), {}),
        (Counted(seed=0), data, {"dtype": "float64"}),
        (Counted(seed=0), data, {"pool": "max"}),
        (Counted(seed=0), data, {"layers": ["stem"]}),
        (Counted(seed=0), data, {"layers": ["blocks.1"]}),
    ]
    for i, (model, of, options) in enumerate(runs):
        found = ranked({"m": model}, of, cache, **options)[0]
        assert rows_run(counts) == (i + 1) * N, options
        alone = ranked({"m": model}, of, tmp_path / f"alone-{i}", **options)[0]
        counts.write_text(f"Counted  {(i + 1) * N}\n")
        assert float(found.logme) == float(alone.logme)
    for model, of, options in runs:  # and all are found again
        ranked({"m": model}, of, cache, **options)
    assert rows_run(counts) == len(runs) * N


@pytest.mark.parametrize("name", ["stats", "meta.json"])
def test_a_damaged_entry_is_computed_again(
    tmp_path: Path, counts: Path, data: Any, name: str
) -> None:
    cache = tmp_path / "cache"
    first = ranked("sweep_models:good", data, cache)[0]
    (entry,) = Cache(cache).entries()
    path = entry.path / name if name == "meta.json" else entry.file(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(bytes(content))
    if name == "stats":
        assert list(Cache(cache).verify()) == [entry.key]
    again = ranked("sweep_models:good", data, cache)[0]
    assert float(again.logme) == float(first.logme)
    if name == "stats":
        assert rows_run(counts) == 2 * N
        assert any("damaged entry of the cache was computed again" in n for n in again.notes)
    assert Cache(cache).verify() == {}


def test_without_a_cache_nothing_is_left(
    tmp_path: Path, counts: Path, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERABILITY_CACHE", str(tmp_path / "default"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    tx.rank_models("sweep_models:good", data, cache=False, isolate=False)
    assert not (tmp_path / "default").exists()
    assert not list((tmp_path / "tmp").glob("transferability-*"))
    tx.rank_models("sweep_models:good", data, isolate=False)
    assert len(Cache().keys()) == 1
    assert Cache().root == tmp_path / "default"


def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path, counts: Path, data: Any) -> None:
    names = [
        "sweep_models:good?tag=a&seed=1",
        "sweep_models:slow?tag=b&seed=2",
        "sweep_models:good?tag=c&seed=3",
    ]
    running = sweep(tmp_path / "cache", ",".join(names))
    try:
        deadline = time.monotonic() + 90
        while rows_run(counts, "b") < 64:  # the second model has begun
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.05)
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    time.sleep(0.5)
    done = rows_run(counts, "b")
    assert done < N
    time.sleep(0.6)  # three batches of the slow model
    assert rows_run(counts, "b") == done  # its process died with the sweep's
    assert rows_run(counts, "a") == N
    ranking = ranked(names, data, tmp_path / "cache")
    assert not ranking.failed
    assert rows_run(counts, "a") == N  # finished before: no forward pass
    assert rows_run(counts, "b") == done + N
    assert rows_run(counts, "c") == N


def test_two_sweeps_share_their_work(tmp_path: Path, counts: Path) -> None:
    names = "sweep_models:slow?tag=a&seed=1,sweep_models:good?tag=b&seed=2"
    sweeps = [sweep(tmp_path / "cache", names) for _ in range(2)]
    printed = [each.communicate(timeout=100)[0] for each in sweeps]
    assert printed[0] == printed[1] != ""
    assert "nan" not in printed[0]
    assert rows_run(counts, "a") == N
    assert rows_run(counts, "b") == N
    assert Cache(tmp_path / "cache").verify() == {}


def test_a_script_that_calls_itself_is_told_so(tmp_path: Path, counts: Path) -> None:
    """What is defined in a script without a guard must not start the sweep again and again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "import transferability as tx\n"
        "from sweep_models import Counted\n"
        "class Mine(Counted):\n"
        "    pass\n"
        "x = np.random.default_rng(5).normal(size=(300, 12)).astype(np.float32)\n"
        "ranking = tx.rank_models({'mine': Mine()}, (x, x[:, :3].argmax(axis=1)), cache=False)\n"
        "print(ranking[0].error)\n"
    )
    command = [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert "put the call under: if __name__ == '__main__'" in result.stdout
