"""Raw items with labels, which models read with their own preprocessing.

A ``Data`` is pickled for the subprocess of every model; an image folder is pickled as paths. Its
digest is a hash of the content. It stays the same when files are moved, copied or touched, and
changes with one pixel, one letter or the order of the rows.
"""

from __future__ import annotations

import hashlib
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._inputs.arrays import as_array, instance_of
from .._util.memory import is_out_of_memory
from ..errors import DataError, DtypeError, MissingDependencyError, TransferabilityError
from .audio import is_sound, is_sound_name
from .pictures import is_picture_name, orientation_of

__all__ = ["MEDIA", "Data", "FileNames", "LazyItems", "Subset", "detect_kind", "find_files"]
__all__ += ["is_thread_safe", "kind_of_file", "name_item"]

#: What is read from files, by kind: a test of their names, and what one of them is called.
MEDIA: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "image": (is_picture_name, "picture"),
    "audio": (is_sound_name, "sound"),
}

#: Part of the digest of pictures. Increment it when equal files are read as other pixels.
_READING = 2


@dataclass(frozen=True, eq=False)
class Data:
    """Items that a model can read, and their labels.

    An item of kind "text" is a str, a pair of str or a list of words; of kind "image" a picture; of
    kind "audio" a sound; of kind "array" anything else. `items` is a sequence; if it has a method
    ``content(i)``, that returns the value to hash in place of item i. `labels` has an entry for
    each item: one label, a row of targets, a list with a tag for each word, or an array with a
    label for each pixel.
    """

    kind: str
    items: Any
    labels: Any
    is_table: bool = False  # whether inputs and labels were selected among named columns
    notes: tuple[str, ...] = ()  # what was decided in reading that the user should know
    bags: Any = None  # the id of each item's bag, whose rows are pooled; equal ids are adjacent

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    @property
    def is_token(self) -> bool:
        """Whether items are lists or arrays of words, or tuples of as many words as labels."""
        if self.kind != "text" or not isinstance(self.items[0], tuple):
            return self.kind == "text" and isinstance(self.items[0], (list, np.ndarray))
        is_pair = True
        for i, own in enumerate(self.labels):
            words = self.items[i]
            if not isinstance(own, (list, tuple, np.ndarray)) or len(own) != len(words):
                return False
            is_pair &= len(words) == 2 and not isinstance(own[0], str)  # with two targets
        return not is_pair

    @property
    def n_original(self) -> int:
        """Number of items before a subset was drawn."""
        return len(self.items.items) if isinstance(self.items, Subset) else len(self)

    def original_row(self, row: int) -> int:
        """Return the position that a row had before a subset was drawn."""
        return self.items.rows[row] if isinstance(self.items, Subset) else row

    def describe_row(self, row: int) -> str:
        """Return how messages name a row: its position in the data, and its file if it has one."""
        file = _file_of(self.items, row)
        return f"data[{self.original_row(row)}]" + ("" if file is None else f" ({file})")

    def sample(self, max_samples: int | None, seed: int) -> Data:
        """Draw a random subset of at most `max_samples` rows, without replacement, in order.

        With bags, whole bags are drawn.
        """
        if max_samples is None or max_samples >= self.n_rows:
            return self
        drawn = np.random.default_rng(seed).permutation(self.n_rows)[:max_samples]
        if self.bags is None:
            return self.select([int(row) for row in np.sort(drawn)])
        starts = self.bag_starts()
        chosen = {self.bags[starts[place]] for place in drawn}
        return self.select([row for row, bag in enumerate(self.bags) if bag in chosen])

    @property
    def n_rows(self) -> int:
        """Number of items, or of bags."""
        return len(self) if self.bags is None else len(self.bag_starts())

    def bag_starts(self) -> list[int]:
        """Return the position of the first row of each bag."""
        bags = self.bags
        return [row for row in range(len(bags)) if row == 0 or bags[row] != bags[row - 1]]

    def number_bags(self) -> list[int]:
        """Return the number of each row's bag, from 0."""
        starts = self.bag_starts()
        sizes = np.diff([*starts, len(self)])
        numbers: list[int] = np.repeat(np.arange(len(starts)), sizes).tolist()
        return numbers

    def with_bags(self, ids: Sequence[Any]) -> Data:
        """Return the items with the ids of their bags, and the rows of each bag together.

        Bags are in the order of their first rows. Items move only where a bag's are not adjacent.
        """
        rows: dict[Any, list[int]] = {}
        for row, bag in enumerate(ids):
            rows.setdefault(bag, []).append(row)
        order = [row for own in rows.values() for row in own]
        moved = self if order == list(range(len(self))) else self.select(order)
        return replace(moved, bags=[ids[row] for row in order])

    def select(self, rows: Sequence[int]) -> Data:
        """Return the items at these positions, with their labels and bags."""
        labels = self.labels
        if hasattr(labels, "iloc"):
            labels = labels.iloc[list(rows)]
        elif hasattr(labels, "dtype") or instance_of(labels, "polars", "DataFrame"):
            labels = labels[rows]
        else:
            labels = [labels[row] for row in rows]
        bags = None if self.bags is None else [self.bags[row] for row in rows]
        if isinstance(self.items, Subset):
            items = Subset(self.items.items, [self.items.rows[row] for row in rows])
        else:
            items = Subset(self.items, rows)
        return replace(self, items=items, labels=labels, bags=bags)

    def digest(self) -> str:
        """Hash every item and every label, in their order."""
        kind = f"{self.kind} {_READING}" if self.kind == "image" else self.kind
        state = hashlib.blake2b(f"{kind}|{len(self)}|".encode(), digest_size=20)
        content = getattr(self.items, "content", self.items.__getitem__)
        for row in range(len(self)):
            try:
                value = content(row)
            except Exception as error:
                raise name_item(error, f"data[{self.original_row(row)}]") from error
            _update_hash(state, value)
        labels = self.labels
        if any(instance_of(labels, library, "DataFrame") for library in ("pandas", "polars")):
            labels = labels.to_numpy()
        _update_hash(state, labels if hasattr(labels, "dtype") else list(labels))
        if self.bags is not None:  # which rows are together; the ids themselves do not matter
            _update_hash(state, ["bags", *self.bag_starts()])
        return state.hexdigest()


class LazyItems:
    """Items that are computed on access, as ``read(source[i])``, and can be pickled.

    ``identify(source[i])`` is the value to hash in place of an item, such as the bytes of a file,
    so that an item need not be decoded for that; by default the item.
    """

    def __init__(
        self,
        source: Any,
        read: Callable[[Any], Any],
        identify: Callable[[Any], Any] | None = None,
    ) -> None:
        self.source, self.read, self.identify = source, read, identify or read

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.source)

    def __getitem__(self, i: int) -> Any:
        """Read an item."""
        return self.read(self.source[i])

    def content(self, i: int) -> Any:
        """Return the value that identifies an item: the path of a file, whose bytes are hashed."""
        entry = self.source[i]
        return entry if isinstance(entry, os.PathLike) else self.identify(entry)


class FileNames:
    """Names of files of pictures or sounds, which are given as they are and hashed as files."""

    def __init__(self, names: Sequence[Any], folder: Path) -> None:
        self.names, self.folder = names, folder

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.names)

    def __getitem__(self, i: int) -> Any:
        """Return the name of a file; one that is relative to a table is a path."""
        return self.names[i] if self.folder == Path() else self.content(i)

    def content(self, i: int) -> Path:
        """Return the path of a file."""
        path: Path = self.folder / self.names[i]
        return path


class Subset:
    """Some of the items of a sequence, by position."""

    def __init__(self, items: Any, rows: Sequence[int]) -> None:
        self.items, self.rows = items, rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        """Return an item by its position in the subset."""
        return self.items[self.rows[i]]

    def content(self, i: int) -> Any:
        """Return the value that identifies an item."""
        return getattr(self.items, "content", self.items.__getitem__)(self.rows[i])


def name_item(error: Exception, name: str) -> Exception:
    """Return the error of an item that cannot be read or prepared, with its name in front."""
    is_general = is_out_of_memory(error) or isinstance(error, MissingDependencyError)
    if is_general or str(error).startswith(name):
        return error
    if isinstance(error, TransferabilityError):
        return type(error)(f"{name}: {error}")
    return DataError(f"{name} cannot be prepared: {type(error).__name__}: {error}")


def is_thread_safe(items: Any) -> bool:
    """Return whether threads may read items at once: files and arrays, but no user's own objects.

    A data set may share an open file between its items, and a list may hold one picture twice.
    """
    if isinstance(items, Subset):
        return is_thread_safe(items.items)
    if isinstance(items, LazyItems):
        files = (str, os.PathLike, bytes, Mapping)  # a mapping has the bytes or the path of one
        return type(items.source) is list and all(isinstance(own, files) for own in items.source)
    if isinstance(items, np.ndarray):
        return bool(items.dtype.kind != "O")
    return isinstance(items, FileNames)


def _file_of(items: Any, row: int) -> str | None:
    """Return the path of the file that an item is read from; None if it is not one of its own."""
    if isinstance(items, Subset):
        return _file_of(items.items, items.rows[row])
    if isinstance(items, FileNames):
        return os.fspath(items.content(row))
    is_listed = isinstance(items, LazyItems) and type(items.source) is list
    content = items.content(row) if is_listed else None  # of a data set, it might be decoded
    return os.fspath(content) if isinstance(content, os.PathLike) else None


def find_files(inputs: Any, folder: Path | None = None) -> tuple[str, FileNames] | None:
    """Return inputs that are names of files, with their kind; None if they are anything else.

    Most must have a suffix of pictures, or most of sounds, and one of them must exist: in the
    current folder, or in `folder`, where the table is that has the names. Raises DataError if
    another one does not exist, or is no name of such a file.
    """
    if isinstance(inputs, np.ndarray) and (inputs.ndim != 1 or inputs.dtype.kind not in "OUT"):
        return None
    names: dict[str, dict[int, Any]] = {kind: {} for kind in MEDIA}
    others: dict[int, Any] = {}
    for i in range(len(inputs)):
        entry = inputs[i]
        kind = kind_of_file(entry)
        (others if kind is None else names[kind])[i] = entry
        if i > 2 * max(map(len, names.values())):  # no more of the inputs are read
            return None
    kind = max(MEDIA, key=lambda kind: len(names[kind]))
    found = [*names.pop(kind).values()]
    others = {row: odd for part in (others, *names.values()) for row, odd in part.items()}
    if len(others) >= len(found):
        return None
    return _locate(kind, found, others, folder or Path())


def kind_of_file(entry: Any) -> str | None:
    """Return the kind of files that have a suffix as this name; None if it is no such name."""
    if not isinstance(entry, (str, os.PathLike)):
        return None
    name = os.fspath(entry)
    return next((kind for kind, (is_name, _) in MEDIA.items() if is_name(name)), None)


def _locate(
    kind: str, names: list[Any], others: Mapping[int, Any], folder: Path
) -> tuple[str, FileNames] | None:
    """Find the folder that has the files with these names, among which are no others."""
    noun = MEDIA[kind][1]
    for place in (Path(), folder):
        missing = [name for name in names if not (place / name).is_file()]
        if not missing and not others:
            return kind, FileNames(names, place)
        if others and len(missing) < len(names):
            row, odd = min(others.items())
            raise DataError(
                f"row {row} is {reprlib.repr(odd)}, and the others name files of {noun}s; drop "
                f"that row, or give the name of a {noun}"
            )
        if len(missing) < len(names) or isinstance(missing[0], os.PathLike):
            raise DataError(
                f"there is no file {place / missing[0]}; {len(missing):,} of the {len(names):,} "
                f"{noun}s are missing"
            )
    return None


def detect_kind(inputs: Any) -> str:
    """Return the kind of the first input that is not empty: "text", "image", "audio", "array"."""
    first = inputs[0] if len(inputs) else None
    if is_sound(first):
        return "audio"
    if isinstance(first, (list, tuple, np.ndarray)) and not len(first):
        first = next((inputs[i] for i in range(len(inputs)) if len(inputs[i])), first)
    is_listed = isinstance(first, (list, tuple)) or getattr(first, "ndim", 0) == 1
    words = is_listed and first is not None and len(first) and isinstance(first[0], str)
    if isinstance(first, str) or words:
        return "text"
    return "image" if instance_of(first, "PIL.Image", "Image") else "array"


def _update_hash(state: Any, value: Any) -> None:
    """Add a value to a ``hashlib`` hash, prefixed by its kind and length.

    The value is a number, text, bytes, PIL image, array, tensor, a path (hashed as the bytes of
    its file), or a list or mapping of these; others raise DtypeError. The prefix distinguishes
    sequences whose concatenated contents are equal.
    """
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        value = value.item() if isinstance(value, np.generic) else value
        _update(state, type(value).__name__, repr(value).encode())
    elif isinstance(value, str):
        _update(state, "str", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray)):
        _update(state, "bytes", bytes(value))
    elif isinstance(value, Mapping):
        _update(state, "dict", str(len(value)).encode())
        for key in sorted(value, key=str):
            _update_hash(state, str(key))
            _update_hash(state, value[key])
    elif isinstance(value, (list, tuple)):
        _update(state, "list", str(len(value)).encode())
        for entry in value:
            _update_hash(state, entry)
    elif isinstance(value, os.PathLike):
        try:
            _update(state, "bytes", Path(value).read_bytes())
        except OSError as error:
            raise DataError(f"{value} cannot be read: {error.strerror or error}") from error
    elif instance_of(value, "PIL.Image", "Image"):
        # Colours and orientation that are not among the pixels.
        beside = value.getpalette(), value.info.get("transparency"), orientation_of(value)
        _update_hash(state, [str(entry) for entry in beside])
        _update(state, f"image|{value.mode}|{value.size}", value.tobytes())
    else:
        is_tensor = instance_of(value, "torch", "Tensor")
        array = as_array(value, "data")[0] if is_tensor else np.asarray(value)
        if array.dtype.kind != "O":
            content = np.ascontiguousarray(array).data
            _update(state, f"array|{array.dtype.str}|{array.shape}", content)
        elif array.ndim:
            _update_hash(state, [array.shape, *array.ravel().tolist()])
        else:
            raise DtypeError(
                f"data has an item of type {type(value).__name__}, which cannot be told from "
                f"others by its content; give texts, pictures or arrays"
            )


def _update(state: Any, kind: str, content: Any) -> None:
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    state.update(f"{kind}:{size}:".encode())
    state.update(content)
