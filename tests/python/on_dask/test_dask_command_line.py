"""``transferability rank --dask``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from dask_cluster import Cluster
from dask_data import METRICS, MODELS, N_SHARDS
from numpy.typing import NDArray

from transferability.cli import main


def test_command_line(cluster: Cluster, folder: Path, bits: list[tuple[str, ...]]) -> None:
    command = [sys.executable, "-m", "transferability", "rank", "--dask", cluster.address]
    command += [f"{name}={folder / name}" for name in MODELS]
    command += ["--labels", str(folder / "labels.npy"), "--metrics", ",".join(METRICS), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    found = [(r["name"], *(float(r["scores"][m]).hex() for m in METRICS)) for r in rows]
    assert found == bits


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["m=x.npy", "--source-probs", "."], 2, "leave out --source-probs"),
        (["m=x.npy", "--method", "svd"], 2, "leave out --method"),
        (["m=x.npy", "--threads", "2"], 2, "leave out --threads"),
        (["m=x.npy", "m=y.npy"], 2, "two models are called 'm'"),
        (["m="], 2, "'m=' is not NAME=PATH"),
    ],
)
def test_command_line_errors(options: list[str], code: int, text: str) -> None:
    command = ["rank", "--dask", "tcp://127.0.0.1:1", "--labels", "y.npy", *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code, result.output
    assert text in result.output


def test_command_line_finds_files_here(
    cluster: Cluster, folder: Path, labels: NDArray[np.int64], tmp_path: Path
) -> None:
    """Without NAME= a file is a model, as without --dask; a failing model ends with 4."""
    shard = folder / "first" / "x_0.npy"
    np.savetxt(tmp_path / "y.csv", labels[::N_SHARDS], fmt="%d")
    command = [
        "rank",
        "--dask",
        cluster.address,
        str(shard),
        f"none={folder / 'none.npy'}",
        "--csv",
    ]
    result = CliRunner().invoke(main, [*command, "--labels", str(tmp_path / "y.csv")])
    assert result.exit_code == 4, result.output
    assert "none,nan" in result.output
    assert "1 of 2 models failed" in result.output


def test_nobody_answers() -> None:
    """In a process of its own: a connection that fails leaves a socket to the garbage collector."""
    nowhere = "tcp://127.0.0.1:1"
    command = [sys.executable, "-m", "transferability", "rank", "--dask", nowhere, "m=x.npy"]
    settings = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    result = subprocess.run(
        [*command, "--labels", "y.npy"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert f"no Dask scheduler answers at {nowhere}" in result.stderr
