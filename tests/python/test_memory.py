"""Freed memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from transferability._util.memory import _find_trim

SCRIPT = """
from transferability._util.memory import return_unused_memory

def resident():
    with open("/proc/self/status") as file:
        return int(file.read().split("VmRSS:")[1].split()[0]) // 1024

blocks = [bytes(range(200)) * 100 for _ in range(5000)]  # 100 MB in blocks that malloc keeps
del blocks[::2], blocks[1::2]  # what stays keeps the end of the heap
before = resident()
return_unused_memory()
print(before - resident())
"""


@pytest.mark.skipif(_find_trim() is None, reason="the C library has no malloc_trim")
def test_memory_between_blocks_that_stay_is_returned() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 50
