"""Shared steps of loading weights: offline mode, errors that name the model, number formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..errors import DataError, TransferabilityError
from ._spec import ModelSpec, suggest

__all__ = ["is_offline", "list_local_folders", "loading", "parse_dtype"]

_DTYPES = ("float32", "float64", "float16", "bfloat16")
#: Errors that libraries raise where weights cannot be loaded; other errors pass through.
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, ImportError)


def is_offline() -> bool:
    """Return whether an environment variable forbids downloads."""
    forbids = ("1", "true", "yes", "on")
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").lower() in forbids for name in names)


@contextmanager
def loading(spec: ModelSpec, quiet: Any = None) -> Iterator[None]:
    """Turn an error while weights are loaded into a DataError that names the model.

    Weights that are drawn at random, because none are requested or a checkpoint lacks some, are
    drawn with a fixed seed; the state of torch's generator is restored afterwards.

    Parameters
    ----------
    spec : ModelSpec
        The model that is loaded.
    quiet : context manager, optional
        Entered while weights are loaded, to hide the library's progress bars.
    """
    import torch

    try:
        with quiet or nullcontext(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    except (TransferabilityError, MemoryError):
        raise
    except Exception as error:
        if not isinstance(error, _FAILURES) and type(error).__module__[:11] != "onnxruntime":
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{spec} cannot be loaded: {first}{_advice(spec, error)}") from error


def parse_dtype(name: str | None) -> Any:
    """Return the torch dtype of a name; None for None."""
    import torch

    if name is not None and name not in _DTYPES:
        raise DataError(f"dtype is {name!r}; choose from {', '.join(map(repr, _DTYPES))}")
    return None if name is None else getattr(torch, name)


def list_local_folders(pattern: str, marker: str) -> list[str]:
    """List the folders that a wildcard matches and that contain a file named `marker`."""
    path = Path(pattern)
    root = Path(path.anchor) if path.is_absolute() else Path()
    relative = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
    found = [folder for folder in root.glob(relative) if (folder / marker).is_file()]
    return [str(folder) for folder in sorted(found)]


def _advice(spec: ModelSpec, error: Exception) -> str:
    """Return a remedy for the error, as the end of its message."""
    names = {type(e).__name__ for e in _chain(error)}
    unreachable = {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError"}
    text = " ".join(str(e) for e in _chain(error)).lower()
    is_away = bool(names & unreachable) or "connect" in text or "offline" in text
    path = Path(spec.name)
    if path.is_absolute() or spec.name.startswith("."):
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        return "" if path.exists() else f"; there is no such path{suggest(path.name, siblings)}"
    if is_offline():
        return (
            "; HF_HUB_OFFLINE is set, so only what is on this machine is used: give a folder, "
            "download the model before, or unset it"
        )
    if is_away:
        return "; the hub cannot be reached: give a folder, or download the model before"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
