"""The code that a model of the user's own runs, as text to hash.

Not of libraries: theirs is known by their versions. Of all other code what is reached counts: of
a class also its bases, and of every function what it calls and the plain numbers that it reads by
name from its module. What is reached in other ways (``getattr``, data files) is not seen.
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

__all__ = ["code_of", "is_ours", "is_users"]

_PLAIN = (bool, int, float, str, bytes, type(None))
_INSTALLED = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def code_of(*things: Any) -> list[str]:
    """Give the source of classes and functions, and of what they reach, in a fixed order."""
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
            waiting += [base for base in thing.__mro__[1:] if is_users(base)]
        for function in _functions(thing):
            for place, value in _read_by_name(function):
                if isinstance(value, (type, FunctionType)) and is_users(value):
                    waiting.append(value)
                elif _is_plain(value):
                    found[f"{name} {place}={value!r}"] = ""
    return sorted(found)


def is_users(thing: Any) -> bool:
    """Tell what the user wrote from what is installed."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return module is not None and not is_ours(thing) and _is_users_module(module)


def is_ours(thing: Any) -> bool:
    """Tell this package's own code, such as the hooks that it puts on models."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "transferability"


def _source(thing: Any) -> str:
    """Read the source of a class or function, or its bytecode where there is no source."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        code = [marshal.dumps(function.__code__) for function in _functions(thing)]
        return sys.version + hashlib.blake2b(b"".join(code)).hexdigest()


def _functions(thing: Any) -> list[Any]:
    """Give a function itself, or the functions of a class."""
    if not isinstance(thing, type):
        thing = getattr(thing, "__func__", thing)
        return [thing] if hasattr(thing, "__code__") else []
    found = []
    for value in vars(thing).values():
        inner = [getattr(value, name, None) for name in ("__func__", "fget", "fset")]
        found += [f for f in (value, *inner) if isinstance(f, FunctionType)]
    return found


def _read_by_name(function: Any) -> Iterator[tuple[str, Any]]:
    """Go through what a function reads from its module, and from modules that it names."""
    names: set[str] = set()
    waiting = [function.__code__]
    while waiting:  # functions within functions too
        code = waiting.pop()
        names |= {*code.co_names}
        waiting += [part for part in code.co_consts if isinstance(part, CodeType)]
    for name in sorted(names):
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            if _is_users_module(value):
                known = vars(value)
                yield from ((f"{name}.{n}", known[n]) for n in sorted(names & known.keys()))
        elif name in function.__globals__:
            yield name, value


def _is_users_module(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:  # a prompt or a notebook; else it is built in
        return module.__name__ == "__main__"
    return not file.startswith(_INSTALLED)


def _is_plain(value: Any, depth: int = 2) -> bool:
    if depth and isinstance(value, (tuple, list)):
        return all(_is_plain(entry, depth - 1) for entry in value)
    if depth and isinstance(value, Mapping):
        return all(_is_plain(entry, depth - 1) for entry in (*value.keys(), *value.values()))
    return type(value) in _PLAIN
