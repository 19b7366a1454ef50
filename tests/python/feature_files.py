"""Features and labels in every format, and split into shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import transferability as tx

#: Of the arrays that are written.
ROWS, COLUMNS = 300, 7


def write_npy(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.save(path.with_suffix(".npy"), x)
    return {"paths": path.with_suffix(".npy"), "labels": y}


def write_fortran(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.save(path.with_suffix(".npy"), np.asfortranarray(x))
    return {"paths": path.with_suffix(".npy"), "labels": y}


def write_big_endian(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.save(path.with_suffix(".npy"), x.astype(">f4"))
    return {"paths": path.with_suffix(".npy"), "labels": y}


def write_npz(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.savez(path.with_suffix(".npz"), x=x, other=x[:3], y=y)
    return {"paths": path.with_suffix(".npz"), "key": "x", "label_column": "y"}


def write_compressed(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.savez_compressed(path.with_suffix(".npz"), x=np.asfortranarray(x), y=y)
    return {"paths": f"{path.with_suffix('.npz')}:x", "labels": f"{path.with_suffix('.npz')}:y"}


def write_safetensors(path: Path, x: Any, y: Any) -> dict[str, Any]:
    from safetensors.numpy import save_file

    save_file({"x": x, "y": y}, path.with_suffix(".safetensors"))
    return {"paths": path.with_suffix(".safetensors"), "label_column": "y"}


def write_hdf5(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import h5py

    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("layer/x", data=x, chunks=(11, COLUMNS), compression="gzip")
        file["y"] = y
    return {"paths": f"{path.with_suffix('.h5')}:layer/x", "label_column": "y"}


def lists(x: Any, y: Any, fixed: bool = True) -> Any:
    import pyarrow as pa

    values = pa.array(x.reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(values, COLUMNS)
    if not fixed:
        rows = rows.cast(pa.list_(pa.float32()))
    return pa.table({"id": [str(i) for i in range(ROWS)], "x": rows, "y": y})


def write_parquet(path: Path, x: Any, y: Any) -> dict[str, Any]:
    from pyarrow import parquet

    parquet.write_table(lists(x, y), path.with_suffix(".parquet"), row_group_size=77)
    return {"paths": path.with_suffix(".parquet"), "label_column": "y"}


def write_wide(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {f"f{i}": x[:, i] for i in range(COLUMNS)}
    parquet.write_table(pa.table({**columns, "y": y}), path.with_suffix(".parquet"))
    return {"paths": path.with_suffix(".parquet"), "key": "f*", "label_column": "y"}


def write_arrow(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import pyarrow as pa

    table = lists(x, y, fixed=False)
    with (
        pa.OSFile(str(path.with_suffix(".arrow")), "wb") as out,
        pa.ipc.new_file(out, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=41)
    return {"paths": path.with_suffix(".arrow"), "label_column": "y"}


def write_stream(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import pyarrow as pa

    table = lists(x, y)
    with (
        pa.OSFile(str(path.with_suffix(".arrow")), "wb") as out,
        pa.ipc.new_stream(out, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=41)
    return {"paths": path.with_suffix(".arrow"), "labels": y, "key": "x"}


WRITERS: list[Callable[[Path, Any, Any], dict[str, Any]]] = [
    write_npy,
    write_fortran,
    write_big_endian,
    write_npz,
    write_compressed,
    write_safetensors,
    write_hdf5,
    write_parquet,
    write_wide,
    write_arrow,
    write_stream,
]


def moments(stats: tx.Stats) -> list[float]:
    """Numbers that differ if any bit of the statistics does."""
    return [float(stats.score(m)) for m in ("logme", "h_score", "regularized_h_score")]


def write_shards(folder: Path, x: Any, y: Any, count: int = 12) -> None:
    for i, rows in enumerate(np.array_split(np.arange(len(x)), count)):
        np.save(folder / f"x_{i}.npy", x[rows])
        np.save(folder / f"y_{i}.npy", y[rows])
