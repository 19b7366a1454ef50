"""Optional dependencies: import them on first use, or name the extra that installs them."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import MissingDependencyError

__all__ = ["need"]


def need(module: str, *, extra: str, what: str) -> Any:
    """Import an optional module.

    Parameters
    ----------
    module : str
        Its full name, such as "pyarrow.parquet".
    extra : str
        The extra of this package that installs it.
    what : str
        The feature that needs it, which starts the message: "reading parquet files".

    Returns
    -------
    module : module

    Raises
    ------
    MissingDependencyError
        If the package is not installed; the message has the command that installs it. If it is
        installed but lacks one of its own dependencies, the original error is raised.
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
