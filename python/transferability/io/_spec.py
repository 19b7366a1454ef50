"""The contract of a file format: each module of a format has one frozen ``FormatSpec``.

To add a format, write a module with an instance ``FORMAT`` and list the module in
``_formats.py``. Everything else follows: ``open_features``, ``rank``, ``score``, the command line,
its help texts and the error messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ._reader import Reader

__all__ = ["FormatSpec", "Selection"]


@dataclass(frozen=True)
class Selection:
    """The array of a file that a caller asks for.

    Attributes
    ----------
    key : str or None
        A container's array; a table's column, or a pattern of column names such as ``"f*"``.
        None where the caller named nothing: then there must be only one candidate.
    label_column : str or None
        The array or column that holds the labels, and so is none of the features.
    is_labels : bool
        Whether labels are read: of a table a single column, of numbers or text.
    """

    key: str | None = None
    label_column: str | None = None
    is_labels: bool = False


@dataclass(frozen=True)
class FormatSpec:
    """One file format that features and labels are read from.

    Attributes
    ----------
    title : str
        Name in messages, such as "HDF5".
    suffixes : tuple of str
        Lower case, with the dot. The suffix of a file decides its format.
    kind : {"array", "container", "table"}
        "array": one array without a name; `open` never gets a key.
        "container": arrays by name; `open` passes the key to ``_reader.choose``, which also finds
        the only array where the key is None.
        "table": columns by name; `open` passes the columns and the selection to
        ``_columns.choose_columns``, which says whether to join columns to a matrix.
    open : callable
        ``open(path, selection)`` returns a :class:`~transferability.io._reader.Reader` of an
        existing file, and reads no more than the shape needs. Values keep the type that the file
        has: labels that are numbers are numbers, other labels are strings. It may raise anything:
        the caller turns foreign exceptions into a ``DataError`` that names the file.
    names : callable, optional
        ``names(path)`` returns the names of the arrays of a container; None for other kinds.
    package, extra : str, optional
        The package that `open` and `names` import, and the extra of this package that installs it.
        It is checked before either is called. None: nothing beyond NumPy is needed.
    """

    title: str
    suffixes: tuple[str, ...]
    kind: str
    open: Callable[[Path, Selection], Reader]
    names: Callable[[Path], list[str]] | None = None
    package: str | None = None
    extra: str | None = None
