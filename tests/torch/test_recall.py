"""Models that come from the cache without being opened, and the server that forks others."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from click.testing import CliRunner
from PIL import Image

import transferability as tx
from transferability._sweep import rank_models as sweeps
from transferability._sweep.fork_server import get_server
from transferability._util.cache import Cache
from transferability.cli import main

HERE = Path(__file__).parent
TEXTS = [f"{'the cat' if i % 3 else 'a dog'} sat on {i} mats" for i in range(24)]
LABELS = [(i * i + i // 4) % 3 for i in range(24)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models on disk, old enough to be recognised."""
    root = tmp_path_factory.mktemp("models")
    for i in range(3):
        tiny_models.bert(root / f"bert-{i}")
        rewrite_weights(root / f"bert-{i}", seed=i)
    np.save(root / "rows.npy", np.random.default_rng(0).normal(size=(24, 4)))
    time.sleep(2.1)
    return root


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if str(HERE) not in sys.path:
        monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models for which a process was started."""
    names: list[str] = []
    run = sweeps.run_isolated

    def listen(function: Any, job: Any, *rest: Any) -> Any:
        names.append(job.name)
        return run(function, job, *rest)

    monkeypatch.setattr(sweeps, "run_isolated", listen)
    return names


def rewrite_weights(folder: Path, seed: int) -> None:
    """Write other weights of the same size."""
    from safetensors.torch import load_file, save_file

    torch.manual_seed(seed)
    tensors = {
        name: torch.randn_like(t) for name, t in load_file(folder / "model.safetensors").items()
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def scores(ranking: tx.Ranking) -> dict[str, float]:
    assert not ranking.failed, [row.error for row in ranking.failed]
    return {row.name: float(row.logme) for row in ranking}


def test_a_cached_sweep_opens_no_model(folder: Path, tmp_path: Path, opened: list[str]) -> None:
    names = [f"hf:{folder}/bert-{i}" for i in range(3)]
    names += [f"st:{folder}/bert-0", f"features:{folder}/rows.npy"]
    states: list[Any] = []
    options: dict[str, Any] = {"cache": tmp_path, "layers": "all"}
    first = tx.rank_models(names, (TEXTS, LABELS), **options)
    assert not any(row.from_cache for row in first)
    assert opened == names
    opened.clear()
    again = tx.rank_models(names, (TEXTS, LABELS), progress=states.append, **options)
    assert opened == []
    assert scores(again) == scores(first)
    for row in again:
        assert row.from_cache
        assert row.notes == ("from the cache", *first[row.name].notes)
        assert row.layers == first[row.name].layers
    stages = [state.stage for state in states if state.index == 2]
    assert stages == ["loading", "cached", "scoring", "done"]
    assert states[-1].seconds_left == 0
    again.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    for text in (repr(again), again.to_markdown(), again.to_csv(), page):
        assert "from the cache" in text
    assert all(row["from_cache"] for row in again.to_dict()["rows"])
    assert not any(row["from_cache"] for row in first.to_dict()["rows"])
    one = tx.rank_models(names[:1], (TEXTS, LABELS), cache=tmp_path)  # a layer among those
    assert one[0].from_cache
    assert opened == []


def test_what_is_not_in_the_cache_is_opened(
    folder: Path, tmp_path: Path, opened: list[str]
) -> None:
    name = f"hf:{folder}/bert-0"
    data = (TEXTS, LABELS)
    first = tx.rank_models(name, data, cache=tmp_path)
    changes: list[dict[str, Any]] = [
        {"layers": "all"},
        {"pool": "max"},
        {"max_length": 4},
        {"dtype": "float64"},
        {"resume": False},
        {"metrics": "knn"},
        {"cache": tmp_path / "another"},
    ]
    for change in changes:
        opened.clear()
        ranking = tx.rank_models(name, data, **{"cache": tmp_path, **change})
        assert (ranking[0].error, ranking[0].from_cache) == (None, False), change
        assert opened == [name]
    opened.clear()
    other = tx.rank_models(name, ([f"{text} here" for text in TEXTS], LABELS), cache=tmp_path)
    assert opened == [name]
    assert scores(other) != scores(first)

    for each in Cache(tmp_path).entries():
        content = each.file("stats").read_bytes()
        each.file("stats").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    opened.clear()
    damaged = tx.rank_models(name, data, cache=tmp_path)
    assert opened == [name]
    assert scores(damaged) == scores(first)
    assert any("damaged entry of the cache was computed again" in note for note in damaged[0].notes)


def test_another_model_at_the_same_place(folder: Path, tmp_path: Path, opened: list[str]) -> None:
    name = f"hf:{folder}/bert-2"
    first = tx.rank_models(name, (TEXTS, LABELS), cache=tmp_path)
    before = os.stat(folder / "bert-2/model.safetensors")
    rewrite_weights(folder / "bert-2", seed=7)
    os.utime(folder / "bert-2/model.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = tx.rank_models(name, (TEXTS, LABELS), cache=tmp_path)
    assert os.stat(folder / "bert-2/model.safetensors").st_size == before.st_size
    assert scores(second) != scores(first)
    assert opened == [name, name]
    assert tx.rank_models(name, (TEXTS, LABELS), cache=tmp_path / "a")[0].logme == second[0].logme


def test_models_that_are_code_are_opened(tmp_path: Path, opened: list[str]) -> None:
    """They are not run again: the fingerprint of the open model finds the statistics."""
    inputs = np.random.default_rng(5).normal(size=(60, 12)).astype(np.float32)
    models = {"by name": "sweep_models:good", "given": torch.nn.Linear(12, 3)}
    for i in range(2):
        ranking = tx.rank_models(models, (inputs, inputs[:, 0] > 0), cache=tmp_path)
        assert [row.from_cache for row in ranking] == [bool(i)] * 2
        assert len(opened) == 2 * (i + 1)


def test_random_weights_and_the_command_line(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"photos/{i % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{i % 2}/{i}.png")
    models = ("timm:test_vit?pretrained=false", "timm:test_resnet?pretrained=false")
    arguments = ["rank", *(part for model in models for part in ("--models", model)),
                 "--images", str(tmp_path / "photos"), "--cache", str(tmp_path / "cache"),
                 "--device", "cpu"]  # fmt: skip
    first = CliRunner().invoke(main, [*arguments, "--json"])
    assert first.exit_code == 0, first.output
    assert "came from the cache" not in first.stderr
    again = CliRunner().invoke(main, [*arguments, "--json"])
    assert "2 of 2 models came from the cache" in again.stderr
    assert "came from the cache" not in CliRunner().invoke(main, [*arguments, "--quiet"]).stderr
    rows = [json.loads(result.stdout)["rows"] for result in (first, again)]
    assert [row["scores"] for row in rows[0]] == [row["scores"] for row in rows[1]]
    assert [row["from_cache"] for row in rows[1]] == [True, True]


def test_models_are_forked_from_one_process(folder: Path, tmp_path: Path) -> None:
    """Models are forked with one thread; the second one waits for the end of the parent."""
    models = {f"m{i}": f"hf:{folder}/bert-{i}" for i in range(2)}
    models |= {"s": f"st:{folder}/bert-0", "parent": "sweep_models:parent"}
    ranking = tx.rank_models(models, (TEXTS, LABELS), cache=tmp_path / "cache")
    assert ranking["parent"].error == f"OSError: {get_server().pid} has forked me, 2 threads"
    assert len(ranking.failed) == 1


def test_a_killed_server_costs_one_row(tmp_path: Path) -> None:
    inputs = np.random.default_rng(5).normal(size=(300, 12)).astype(np.float32)
    names = ["sweep_models:good?seed=1", "sweep_models:slow?seed=2", "sweep_models:good?seed=3"]

    def kill(state: Any) -> None:
        if state.stage == "extracting" and state.index == 2 and not killed:
            killed.append(get_server().pid)
            os.kill(killed[0], signal.SIGKILL)

    killed: list[Any] = []
    ranking = tx.rank_models(names, (inputs, inputs[:, 0] > 0), cache=tmp_path, progress=kill)
    assert [row.name for row in ranking.failed] == [names[1]]
    assert "killed by signal 9" in str(ranking[names[1]].error)
    assert killed[0] is not None
    assert get_server().pid != killed[0]


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """A server that answers as the hub does when it is asked for a branch."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"id": "org/name", "sha": "c" * 40}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_the_hub_is_asked_for_the_commit(hub: tuple[str, list[str]]) -> None:
    endpoint, asked = hub
    program = (
        "from transferability.models._unchanged import _ask_commit\n"
        "print(_ask_commit('org/name', 'main'), _ask_commit('org/name', 'branch'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert ran.stdout.split() == ["c" * 40] * 2
    paths = [path.partition("?")[0] for path in asked if path.startswith("/api/models/")]
    assert paths == [f"/api/models/org/name/revision/{name}" for name in ("main", "branch")]
