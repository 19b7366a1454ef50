"""Where torch is not installed, ``transferability.torch`` says what to do."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import transferability as tx
assert "torch" not in sys.modules
sys.modules["torch"] = None  # as if it were not installed
import transferability.torch
assert tx.torch.__all__ and "extract" in dir(tx.torch)
try:
    tx.torch.extract
except tx.MissingDependencyError as error:
    assert isinstance(error, ImportError)
    print(error)
assert not hasattr(tx.torch, "no_such_name")
"""


def test_it_names_the_extra() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "transferability.torch.extract needs torch: pip install 'transferability[torch]'"
    )
