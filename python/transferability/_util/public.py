"""Present the public names of a module as its own: in ``__module__``, ``dir()`` and ``help()``.

Pickles, reprs and documentation then name no private module, and private modules may move.
``dir()`` and the completion of editors offer no imports.

- A class in a private room sets its module in its body: ``__module__ = "transferability"``.
- A public module that imports its names calls :func:`present` at its end.
- A package that imports its names lazily calls :func:`set_module` when it does, and returns
  :func:`list_names` from its ``__dir__``.

``tests/python/test_public_names.py`` walks all public names, and pickles the public results.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from types import FunctionType
from typing import Any

__all__ = ["is_help", "list_names", "present", "set_module"]

_PACKAGE = __name__.partition(".")[0] + "."
_DEPTH = 4  # frames between a module's __dir__ and its caller: those of inspect.getmembers


def set_module(thing: object, module: str) -> None:
    """Set ``__module__`` of a function or class that a private module of this package defines.

    Other objects stay as they are: modules, constants, names that another public module has set
    already, and classes of other packages.
    """
    if isinstance(thing, (FunctionType, type)):
        defined_in = thing.__module__
        if defined_in.startswith(_PACKAGE) and "._" in defined_in:
            thing.__module__ = module


def list_names(namespace: Mapping[str, Any], names: Iterable[str] = ()) -> list[str]:
    """Return what ``dir()`` lists of a module: its public `names`, and those of Python's own.

    `namespace` is the ``globals()`` of that module. By default `names` is its ``__all__``.
    """
    own = (name for name in namespace if name.startswith("__") and name.endswith("__"))
    return sorted({*own, *(names or namespace["__all__"])})


def present(namespace: MutableMapping[str, Any]) -> None:
    """Call :func:`set_module` for every public name of a module, and list only these in ``dir()``.

    `namespace` is the ``globals()`` of that module, with ``__all__`` and ``__name__``.
    """
    for name in namespace["__all__"]:
        set_module(namespace[name], namespace["__name__"])
    namespace["__dir__"] = functools.partial(list_names, namespace)


def is_help() -> bool:
    """Return whether a module's ``__dir__`` is called for ``help()`` or ``python -m pydoc``.

    Their function ``docmodule`` documents everything that is listed in full, which is thousands of
    lines for the whole package.
    """
    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_code.co_name == "docmodule":
            return True
    return False
