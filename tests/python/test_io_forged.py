"""Arrow files whose lengths and offsets lie: refused, and never followed to other memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferability import DataError
from transferability.io import open_features

pa = pytest.importorskip("pyarrow")

ROWS, WIDTH = 12, 5
OFFSETS = np.arange(0, WIDTH * ROWS + 1, WIDTH)
TEXT_OFFSETS = np.arange(0, 4 * ROWS + 1, 4)
INDICES = np.arange(ROWS) % 3


def lists(kind: str = "i4") -> Any:
    array = pa.ListArray if kind == "i4" else pa.LargeListArray
    return array.from_arrays(pa.array(OFFSETS.astype(kind)), np.ones(WIDTH * ROWS))


def list_views() -> Any:
    offsets, sizes = pa.array(OFFSETS[:-1].astype("i4")), pa.array(np.full(ROWS, WIDTH, "i4"))
    return pa.ListViewArray.from_arrays(offsets, sizes, np.ones(WIDTH * ROWS))


def words(kind: Any = None) -> Any:
    return pa.array(["aaaa", "bbbb", "cccc"] * (ROWS // 3), kind)


def coded(values: list[Any]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(INDICES.astype("i4")), pa.array(values))


def forgeries() -> dict[str, tuple[Any, Any, bytes, bytes]]:
    """Return features, labels, and bytes of their file with what is put in their place."""

    def change(old: Any, new: Any, kind: str) -> tuple[bytes, bytes]:
        return np.asarray(old).astype(kind).tobytes(), np.asarray(new).astype(kind).tobytes()

    numbers = pa.array(INDICES)
    last = np.append(TEXT_OFFSETS[:-1], 10**9)
    return {
        "lists beyond the values": (lists(), numbers, *change(OFFSETS, OFFSETS + 10**8, "i4")),
        "lists before the values": (lists(), numbers, *change(OFFSETS, OFFSETS - 10**8, "i4")),
        "lists backwards": (lists(), numbers, *change(OFFSETS, -OFFSETS, "i4")),
        "large lists": (lists("i8"), numbers, *change(OFFSETS, OFFSETS + 10**12, "i8")),
        "list views": (list_views(), numbers, *change(OFFSETS[:-1], OFFSETS[:-1] + 10**8, "i4")),
        "text beyond": (lists(), words(), *change(TEXT_OFFSETS, TEXT_OFFSETS + 10**9, "i4")),
        "text before": (lists(), words(), *change(TEXT_OFFSETS, TEXT_OFFSETS - 10**9, "i4")),
        "a long last text": (lists(), words(), *change(TEXT_OFFSETS, last, "i4")),
        "large text": (
            *(lists(), words(pa.large_string())),
            *change(TEXT_OFFSETS, TEXT_OFFSETS + 10**14, "i8"),
        ),
        "no UTF-8": (lists(), words(), b"aaaabbbb", b"\xff\xfe\xfd\xfcbbbb"),
        "codes": (lists(), coded(["x", "y", "z"]), *change(INDICES, INDICES + 10**9, "i4")),
        "codes before": (lists(), coded(["x", "y", "z"]), *change(INDICES, INDICES - 1, "i4")),
        "codes of numbers": (lists(), coded([1.5, 2.5, 3.5]), *change(INDICES, INDICES + 1, "i4")),
    }


def write(folder: Path) -> Iterator[Path]:
    """Write each forgery as a file and as a stream; yield their paths."""
    for name, (features, labels, old, new) in forgeries().items():
        table = pa.table({"features": features, "labels": labels})
        for make in (pa.ipc.new_file, pa.ipc.new_stream):
            sink = pa.BufferOutputStream()
            with make(sink, table.schema) as writer:
                writer.write_table(table)
            data = sink.getvalue().to_pybytes()
            assert old in data, name
            path = folder / f"{name}, {make.__name__}.arrow"
            path.write_bytes(data.replace(old, new, 1))
            yield path


READ = """
import sys, transferability as tx
for path in sys.argv[1:]:
    try:
        source = tx.io.open_features(path, key="features", label_column="labels")
        for block in source:
            pass
        print("accepted", path, source.labels())
    except tx.DataError as error:
        assert path in str(error), error
"""


def test_arrow_files_that_lie_are_refused(tmp_path: Path) -> None:
    """In a process of its own, which a lie would end."""
    paths = [*map(str, write(tmp_path))]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, *paths],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("text", ["-" * 9999, "1" + "+1" * 4900, "[" * 4000, "(" * 150 + ")" * 150])
def test_headers_of_npy_that_are_nested_too_deeply(tmp_path: Path, text: str) -> None:
    path = tmp_path / "forged.npy"
    path.write_bytes(b"\x93NUMPY\2\0" + len(text).to_bytes(4, "little") + text.encode())
    with pytest.raises(DataError, match=r"forged\.npy"):
        open_features(path)
