"""Shared steps of loading weights: offline mode, errors that name the model, number formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from .._inputs.arguments import suggest
from ..errors import DataError, TransferabilityError
from ..torch._names import check_dtype
from ._spec import ModelSpec

__all__ = ["is_offline", "list_paths", "loading", "parse_dtype", "suggest_path"]

#: Errors that libraries raise if weights cannot be loaded; other errors are not converted.
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, ImportError)
#: Names of errors of the hub's client if a file is neither cached nor reachable.
_UNREACHABLE = ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError")


def is_offline() -> bool:
    """Return whether an environment variable forbids downloads."""
    forbids = ("1", "true", "yes", "on")
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").lower() in forbids for name in names)


@contextmanager
def loading(spec: ModelSpec, quiet: Any = None) -> Iterator[None]:
    """Convert an error of loading weights to a DataError that names the model.

    Random weights, of untrained models and of parts that a checkpoint lacks, are drawn with a fixed
    seed; the state of torch's generator is restored afterwards. `quiet` is a context manager that
    hides the library's progress bars.
    """
    import torch

    try:
        with quiet or nullcontext(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed also seeds every GPU
            yield
    except (TransferabilityError, MemoryError):
        raise
    except Exception as error:
        if not isinstance(error, _FAILURES) and type(error).__module__[:11] != "onnxruntime":
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"{spec} cannot be loaded: {first}{_advice(spec, error)}") from error


def parse_dtype(name: str | None) -> Any:
    """Return the torch dtype of a name; None for None."""
    import torch

    check_dtype(name)
    return None if name is None else getattr(torch, name)


def list_paths(pattern: str, marker: str = "") -> list[str]:
    """List the paths that a wildcard matches; with `marker`, the folders that have such a file."""
    root = Path(Path(pattern).anchor)
    found = sorted(root.glob(str(Path(pattern).relative_to(root))))
    return [str(path) for path in found if not marker or (path / marker).is_file()]


def suggest_path(path: Path, pattern: str = "*") -> str:
    """Return " (did you mean …?)" with similar names in the folder of a path that is not there."""
    return suggest(path.name, [sibling.name for sibling in path.parent.glob(pattern)])


def _advice(spec: ModelSpec, error: Exception) -> str:
    """Return a remedy for the error, as the end of its message."""
    path = Path(spec.name)
    if path.is_absolute() or spec.name.startswith("."):
        return "" if path.exists() else f"; there is no such path{suggest_path(path)}"
    if is_offline():
        return (
            "; HF_HUB_OFFLINE is set, so nothing is downloaded: give a folder, download the model "
            "before, or unset it"
        )
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause).lower()
        if type(cause).__name__ in _UNREACHABLE or "connect" in text or "offline" in text:
            return "; the hub cannot be reached: give a folder, or download the model before"
        cause = cause.__cause__ or cause.__context__
    return ""
