"""Data of any kind as raw items with labels, for models that bring their own preprocessing.

A ``Data`` goes to the process of every model, so whatever holds the items must pickle; an image
folder sends its paths. Its digest is of the content: moving, copying or touching files changes
nothing, and changing one pixel, one letter or the order of the rows does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_array, instance_of
from ..errors import DataError, DtypeError

__all__ = ["Data", "Picked", "feed", "read_data"]


@dataclass(frozen=True, eq=False)
class Data:
    """Items that a model can read, and what each is labelled with.

    Attributes
    ----------
    kind : {"text", "image", "array"}
        What an item is: a str, a pair of str or a list of words; a picture; anything else.
    items : sequence
        By position; ``content(i)``, where it has that, is what its digest is of.
    labels : sequence
        An entry for each item: one label, a row of targets, a list (a tag for each word) or an
        array (a label for each pixel).
    is_table : bool
        Whether they were chosen among named columns.
    """

    kind: str
    items: Any
    labels: Any
    is_table: bool = False

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items)

    @property
    def is_token(self) -> bool:
        """Tell whether the first item is a list of words."""
        return self.kind == "text" and isinstance(self.items[0], list)

    @property
    def n_given(self) -> int:
        """Count the items before some were picked."""
        return len(self.items.items) if isinstance(self.items, Picked) else len(self)

    def given_row(self, row: int) -> int:
        """Give a row's number before some were picked."""
        return self.items.rows[row] if isinstance(self.items, Picked) else row

    def picked(self, max_samples: int | None, seed: int) -> Data:
        """Keep at most so many rows, drawn with the seed and left in their order."""
        if max_samples is None or max_samples >= len(self):
            return self
        drawn = np.random.default_rng(seed).permutation(len(self))[:max_samples]
        rows = [int(row) for row in np.sort(drawn)]
        labels = self.labels
        if hasattr(labels, "iloc"):
            labels = labels.iloc[rows]
        elif hasattr(labels, "dtype"):
            labels = labels[rows]
        else:
            labels = [labels[row] for row in rows]
        return replace(self, items=Picked(self.items, rows), labels=labels)

    def digest(self) -> str:
        """Hash every item and every label, in their order."""
        state = hashlib.blake2b(f"{self.kind}|{len(self)}|".encode(), digest_size=20)
        content = getattr(self.items, "content", self.items.__getitem__)
        for row in range(len(self)):
            feed(state, content(row))
        labels = self.labels
        feed(state, labels if hasattr(labels, "dtype") else list(labels))
        return state.hexdigest()


class Picked:
    """Some rows of other items."""

    def __init__(self, items: Any, rows: Sequence[int]) -> None:
        self.items, self.rows = items, rows

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        """Give an item by its place among those picked."""
        return self.items[self.rows[i]]

    def content(self, i: int) -> Any:
        """Give what identifies an item."""
        return getattr(self.items, "content", self.items.__getitem__)(self.rows[i])


class _Inputs:
    """The inputs of a torch-style data set of (input, label)."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[i][0]


def feed(state: Any, value: Any) -> None:
    """Hash a value with its kind and length, so that no two values run together."""
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        value = value.item() if isinstance(value, np.generic) else value
        _put(state, type(value).__name__, repr(value).encode())
    elif isinstance(value, str):
        _put(state, "str", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray)):
        _put(state, "bytes", bytes(value))
    elif isinstance(value, Mapping):
        _put(state, "dict", str(len(value)).encode())
        for key in sorted(value, key=str):
            feed(state, str(key))
            feed(state, value[key])
    elif isinstance(value, (list, tuple)):
        _put(state, "list", str(len(value)).encode())
        for entry in value:
            feed(state, entry)
    elif isinstance(value, os.PathLike):
        with open(value, "rb") as file:
            _put(state, "bytes", file.read())
    elif instance_of(value, "PIL.Image", "Image"):
        _put(state, f"image|{value.mode}|{value.size}", value.tobytes())
    else:
        if instance_of(value, "torch", "Tensor"):
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
        if array.dtype.kind == "O":
            if array.ndim == 0:
                raise DtypeError(
                    f"data has an item of type {type(value).__name__}, which cannot be told from "
                    f"others by its content; give texts, pictures or arrays"
                )
            feed(state, [array.shape, *array.ravel().tolist()])
        else:
            _put(state, f"array|{array.dtype.str}|{array.shape}", np.ascontiguousarray(array).data)


def _put(state: Any, kind: str, content: Any) -> None:
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    state.update(f"{kind}:{size}:".encode())
    state.update(content)


def read_data(data: Any, label: Any = None, text: Any = None, task: str = "auto") -> Data:
    """Make ``Data`` of anything that holds inputs and labels.

    Parameters
    ----------
    data : tuple, datasets.Dataset, torch Dataset, DataFrame, or path
        (inputs, labels); a data set of (input, label); a table with named columns; a folder with
        one subfolder of pictures for each class; a .csv, .tsv, .jsonl or .parquet file.
    label, text : str or list of str, optional
        Columns of a table. Two columns of text are a pair.
    task : str
        "token" wants lists of words.

    Raises
    ------
    DataError, DtypeError
        If there are no items, columns are missing or open, or a label is missing.
    """
    from . import tables as tables

    _check_columns(label=label, text=text)
    if isinstance(data, Data):
        made = data
    elif isinstance(data, (str, os.PathLike)):
        made = tables.from_path(os.fspath(data), label, text)
    elif instance_of(data, "datasets", "Dataset"):
        made = tables.from_dataset(data, label, text)
    elif instance_of(data, "datasets", "DatasetDict"):
        raise DataError(f"data has splits; pass one of them: data[{next(iter(data), 'train')!r}]")
    elif instance_of(data, "pandas", "DataFrame"):
        made = tables.from_columns({str(c): data[c].tolist() for c in data}, label, text, "data")
    elif isinstance(data, tuple) and len(data) == 2:
        made = _from_arrays(*data)
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        made = _from_torch(data)
    else:
        raise DtypeError(
            f"data is of type {type(data).__name__}; give (inputs, labels), a data set with "
            f"lengths and positions, a table, or the path of a folder of pictures or of a table"
        )
    if (label is not None or text is not None) and not made.is_table:
        raise DataError("label and text name columns of a table, and these data have none")
    if len(made) == 0:
        raise DataError("data is empty; give at least a few labelled rows")
    if len(made.labels) != len(made):
        raise DataError(f"data has {len(made)} inputs but {len(made.labels)} labels")
    if task == "token" and not made.is_token:
        raise DataError("task='token' needs lists of words as inputs, with one tag for each word")
    return made


def _check_columns(**columns: Any) -> None:
    for name, value in columns.items():
        several = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        if value is not None and not isinstance(value, str) and not several:
            raise DtypeError(
                f"{name} names a column of a table, got {type(value).__name__}; inputs and labels "
                f"are one argument: data=(inputs, labels)"
            )


def _from_arrays(inputs: Any, labels: Any) -> Data:
    for name, value in (("inputs", inputs), ("labels", labels)):
        is_listed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if not is_listed or isinstance(value, (str, bytes, Mapping)):
            raise DtypeError(f"data: {name} is of type {type(value).__name__}; give one a row")
    if instance_of(labels, "torch", "Tensor"):
        labels = labels.detach().cpu().numpy()
    if instance_of(inputs, "pandas", "Series"):
        inputs = inputs.tolist()
    elif any(instance_of(inputs, library, "DataFrame") for library in ("pandas", "polars")):
        inputs = as_array(inputs, "inputs")[0]
    if hasattr(labels, "iloc"):  # rows go by their place, whatever a filter or a shuffle left
        labels = labels.reset_index(drop=True)
    return Data(kind_of(inputs), inputs, labels)


def kind_of(inputs: Any) -> str:
    """Tell texts and pictures from other inputs, by the first of them."""
    first = inputs[0] if len(inputs) else None
    words = isinstance(first, (list, tuple)) and first and isinstance(first[0], str)
    if isinstance(first, str) or words:
        return "text"
    return "image" if instance_of(first, "PIL.Image", "Image") else "array"


def _from_torch(dataset: Any) -> Data:
    """Take (input, label) pairs; labels come from the pairs, so that transforms count."""
    labels: list[Any] = []
    for i in range(len(dataset)):
        pair = dataset[i]
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise DtypeError(
                f"data[{i}] is of type {type(pair).__name__}; a data set must give (input, label)"
            )
        value = pair[1]
        if instance_of(value, "torch", "Tensor"):
            value = value.detach().cpu().numpy()
        labels.append(value.item() if getattr(value, "ndim", 1) == 0 else value)
    inputs = _Inputs(dataset)
    return Data(kind_of(inputs), inputs, _stacked(labels))


def _stacked(labels: list[Any]) -> list[Any] | NDArray[Any]:
    """Make one array of rows of targets of one shape."""
    arrays = all(hasattr(label, "shape") for label in labels)
    same = arrays and len({label.shape for label in labels}) == 1
    return np.stack(labels) if same else labels
