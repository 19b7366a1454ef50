"""Set ``__module__`` of public classes and functions to the module that users import them from.

Pickles, reprs and documentation then name no private module, and private modules may move.

- A class in a private room sets it in its body: ``__module__ = "transferability"``.
- A public package that imports its names calls :func:`set_modules` at the end of its ``__init__``.
- A package that imports its names lazily calls :func:`set_module` when it does.

``tests/python/test_public_names.py`` walks all public names, and pickles the public results.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

__all__ = ["set_module", "set_modules"]

_PACKAGE = __name__.partition(".")[0] + "."


def set_module(thing: object, module: str) -> None:
    """Set ``__module__`` of a function or class that a private module of this package defines.

    Other objects stay as they are: modules, constants, names that another public module has set
    already, and classes of other packages.
    """
    if isinstance(thing, (FunctionType, type)):
        defined_in = thing.__module__
        if defined_in.startswith(_PACKAGE) and "._" in defined_in:
            thing.__module__ = module


def set_modules(namespace: Mapping[str, Any]) -> None:
    """Call :func:`set_module` for every public name of a module.

    `namespace` is the ``globals()`` of that module, with ``__all__`` and ``__name__``.
    """
    for name in namespace["__all__"]:
        set_module(namespace[name], namespace["__name__"])
