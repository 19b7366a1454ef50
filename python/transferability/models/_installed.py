"""Separate installed code, which the versions of packages identify, from code of the user."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["LIBRARIES", "find_library", "is_installed", "is_user_module", "library_of"]

#: Packages whose code is identified by their version; the source of other code is hashed.
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "sentence_transformers")
#: Folders of installed code.
_INSTALLED = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
#: Names of folders in which installers put code, wherever they are.
_SITE_FOLDERS = ("site-packages", "dist-packages")


def is_installed(file: str) -> bool:
    """Return whether a file is in a folder of installed packages, by its path."""
    return file.startswith(_INSTALLED) or not {*_SITE_FOLDERS}.isdisjoint(Path(file).parts)


def is_user_module(module: ModuleType) -> bool:
    """Return whether a module is code of the user, which no version of a package identifies.

    Packages are also recognised outside of the usual folders, such as those that ``pip install
    --target`` has put into a folder of ``PYTHONPATH``: they are listed beside themselves.
    """
    file = getattr(module, "__file__", None)
    if file is None:  # a prompt or a notebook; other modules without a file are built in
        return module.__name__ == "__main__"
    top, *below = module.__name__.split(".")
    if top in LIBRARIES or is_installed(file):
        return False
    path = Path(file)
    depth = len(below) + (path.stem == "__init__")
    return len(path.parents) <= depth or top not in _list_packages(path.parents[depth])


@functools.cache
def _list_packages(folder: Path) -> frozenset[str]:
    """List the top-level modules of the distributions that are installed into a folder."""
    found: set[str] = set()
    for record in folder.glob("*.dist-info/RECORD"):
        with suppress(OSError, UnicodeDecodeError):
            paths = record.read_text("utf-8").splitlines()
            found |= {re.split("[/.,]", path, maxsplit=1)[0] for path in paths}
    return frozenset(found)


def library_of(thing: Any) -> str:
    """Return the library of a class, function or module and its version; nothing for other code."""
    name = getattr(thing, "__name__", "") if isinstance(thing, ModuleType) else thing.__module__
    return find_library(str(name).partition(".")[0])


@functools.cache
def find_library(top: str) -> str:
    """Return a library by the name of its package, with its version; nothing for other code."""
    if top in sys.stdlib_module_names or top in ("", "__main__", "transferability"):
        return ""
    with suppress(importlib.metadata.PackageNotFoundError):
        name = "pillow" if top == "PIL" else top  # the list of all names takes a tenth of a second
        return f"{name} {importlib.metadata.version(name)}"
    names = importlib.metadata.packages_distributions().get(top, [])
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted({*names}))
