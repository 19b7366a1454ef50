"""Optional dependencies: import them on first use, or name the extra that installs them.

A short file, because every room that has optional dependencies imports it.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import MissingDependencyError

__all__ = ["need"]


def need(module: str, *, extra: str, what: str) -> Any:
    """Import an optional module by its full name.

    If it is missing, the ``MissingDependencyError`` has the command that installs `extra` of this
    package. `what` starts the message: the feature that needs it, such as "reading parquet files".
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is installed, and one of its own dependencies is not
        raise MissingDependencyError(
            f"{what} needs {package}: pip install 'transferability[{extra}]'"
        ) from error
