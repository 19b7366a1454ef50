"""Types of arguments, under the names that ``help()`` and editors show in signatures.

What an argument may hold is checked when it is read, because most libraries of tensors and tables
state no protocol that a type checker knows. So every alias ends in ``Any``: no type checker refuses
a call that works.

The names stand in public signatures alone. Private functions, which pass such arguments on to the
functions that read them, take ``object``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy.typing as npt

from .inputs import RowSource

__all__ = ["ArrayLike", "ByName", "DataLike", "DeviceLike", "ModelsLike", "PathLike"]

#: NumPy arrays, torch and other tensors, pandas and polars frames and series, Arrow tables, nested
#: lists, and the features in files that ``transferability.io.open_features`` returns.
ArrayLike: TypeAlias = npt.ArrayLike | Sequence[Any] | RowSource | Any

#: The name of a file or a folder.
PathLike: TypeAlias = str | os.PathLike[str]

#: An array, or a mapping of names to numbers or arrays: the views of labels by name, and the scores
#: and accuracies of models by name.
ByName: TypeAlias = npt.ArrayLike | Mapping[str, Any] | Any

#: "cpu", "cuda", "cuda:1" or a ``torch.device``; None for the default.
DeviceLike: TypeAlias = str | Any

#: Names of models, a model in memory, or a mapping of names to either.
ModelsLike: TypeAlias = str | Sequence[str] | Mapping[str, Any] | Any

#: ``(inputs, labels)``, a data set, a table, or the path of a table or of a folder.
DataLike: TypeAlias = tuple[Any, Any] | PathLike | Mapping[str, Any] | Any
