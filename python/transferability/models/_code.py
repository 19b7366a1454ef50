"""Collect the source code that a user's model runs, as text to hash.

Installed libraries are left out: their versions stand for their code. Of all other code the
collection follows references by name: bases of classes, functions that are called, and plain
constants of modules. It does not see dynamic access, such as ``getattr`` and data files.
"""

from __future__ import annotations

import hashlib
import inspect
import marshal
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["collect_source", "is_package_code", "is_user_code"]

_PLAIN = (bool, int, float, str, bytes, type(None))
_INSTALLED = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def collect_source(*things: Any) -> list[str]:
    """Return the source of classes and functions and of the code they refer to, sorted."""
    found: dict[str, str] = {}
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        name = f"{thing.__module__}.{thing.__qualname__}"
        text = _source(thing)
        if f"{name}{text}" in found:
            continue
        found[f"{name}{text}"] = ""
        if isinstance(thing, type):
            waiting += [base for base in thing.__mro__[1:] if is_user_code(base)]
        for function in _functions(thing):
            for place, value in _iter_globals_read(function):
                if isinstance(value, (type, FunctionType)) and is_user_code(value):
                    waiting.append(value)
                elif _is_plain(value):
                    found[f"{name} {place}={value!r}"] = ""
    return sorted(found)


def is_user_code(thing: Any) -> bool:
    """Return whether a class or function is neither installed nor of this package."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return module is not None and not is_package_code(thing) and _is_user_module(module)


def is_package_code(thing: Any) -> bool:
    """Return whether a class or function is of this package, as are the hooks on models."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "transferability"


def _source(thing: Any) -> str:
    """Return the source of a class or function, or a hash of its bytecode without source."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        code = [marshal.dumps(function.__code__) for function in _functions(thing)]
        return sys.version + hashlib.blake2b(b"".join(code)).hexdigest()


def _functions(thing: Any) -> list[Any]:
    """Return a function itself, or the functions of a class."""
    if not isinstance(thing, type):
        thing = getattr(thing, "__func__", thing)
        return [thing] if hasattr(thing, "__code__") else []
    found = []
    for value in vars(thing).values():
        inner = [getattr(value, name, None) for name in ("__func__", "fget", "fset")]
        found += [f for f in (value, *inner) if isinstance(f, FunctionType)]
    return found


def _iter_globals_read(function: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the globals that a function reads, also through modules that it names."""
    names: set[str] = set()
    waiting = [function.__code__]
    while waiting:  # nested functions too
        code = waiting.pop()
        names |= {*code.co_names}
        waiting += [part for part in code.co_consts if isinstance(part, CodeType)]
    for name in sorted(names):
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            if _is_user_module(value):
                known = vars(value)
                yield from ((f"{name}.{n}", known[n]) for n in sorted(names & known.keys()))
        elif name in function.__globals__:
            yield name, value


def _is_user_module(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:  # a prompt or a notebook; other modules without a file are built in
        return module.__name__ == "__main__"
    return not file.startswith(_INSTALLED)


def _is_plain(value: Any, depth: int = 2) -> bool:
    if depth and isinstance(value, (tuple, list)):
        return all(_is_plain(entry, depth - 1) for entry in value)
    if depth and isinstance(value, Mapping):
        return all(_is_plain(entry, depth - 1) for entry in (*value.keys(), *value.values()))
    return type(value) in _PLAIN
