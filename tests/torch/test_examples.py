"""The examples run from raw data to a table, and the order agrees with the truth."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["text_layers", "vision_models"])
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(2)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    shown = capsys.readouterr().out
    tau = re.search(r"Weighted Kendall tau of LogME with the \w+: (-?[\d.]+\d)", shown)
    assert tau is not None
    # An order that knows nothing of the truth has 0 in the mean.
    assert float(tau[1]) > 0.3, shown


@pytest.mark.timeout(600)  # 20 seconds of two cores, more beside others
def test_b_tuning_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "gains.png"
    program = str(EXAMPLES / "b_tuning" / "run.py")
    command = [sys.executable, program, "--quick", "--plot", str(picture)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    line = re.compile(r"^\| (same|mixed), 5 a class \| (.+?) \| (0\.\d+) ± 0\.\d+ \|", re.M)
    rows = line.findall(done.stdout)
    methods = ["plain", "distillation", *(f"B-Tuning K={k}" for k in (1, 2, 3))]
    assert [row[:2] for row in rows] == [(kind, m) for kind in ("same", "mixed") for m in methods]
    assert len({row[2] for row in rows}) > 2, "the methods differ"
    assert picture.stat().st_size > 1000
