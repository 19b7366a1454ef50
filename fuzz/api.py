"""Feed ``tests/python/fuzz_api.py`` from atheris, guided by the coverage of the Python code.

``pip install atheris``, then ``python fuzz/api.py -runs=1000000 -max_len=900 -len_control=0``. The
options are libFuzzer's; a folder as the last argument keeps what reaches new code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/python"))
with atheris.instrument_imports(include=["transferability"]):
    import fuzz_api


def run_one(data: bytes) -> None:
    """Run one input; a finding is an exception."""
    fuzz_api.run(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, run_one)
    atheris.Fuzz()
