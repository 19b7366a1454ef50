"""Public modules of classes and functions that are defined in private ones.

The rule: ``__module__`` of a public class or function is the module from which users import it, so
that pickles, reprs and documentation name no private room, and rooms may be rearranged.

- A class of a private room says so in its body: ``__module__ = "transferability"``.
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

    Anything else stays as it is, also what another public module has adopted already.
    """
    if isinstance(thing, (FunctionType, type)):
        defined_in = thing.__module__
        if defined_in.startswith(_PACKAGE) and "._" in defined_in:
            thing.__module__ = module


def set_modules(namespace: Mapping[str, Any]) -> None:
    """Call :func:`set_module` for every name in ``__all__`` of a public module.

    Parameters
    ----------
    namespace : mapping of str to object
        ``globals()`` of that module.
    """
    for name in namespace["__all__"]:
        set_module(namespace[name], namespace["__name__"])
