"""The examples run from raw data to a table, and the order agrees with the truth."""

from __future__ import annotations

import re
import runpy
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
