"""Optional packages: import them where they are needed, or name the extra that installs them."""

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
        Its full name.
    extra : str
        The extra of this package that installs it.
    what : str
        The feature that needs it, as the start of a sentence: "reading parquet files".

    Returns
    -------
    module : module

    Raises
    ------
    MissingDependencyError
        If it is not installed; the message has the command that installs it.
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
