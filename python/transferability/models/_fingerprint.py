"""Fingerprints of models: hash weights, structure, source code and preprocessing."""

from __future__ import annotations

import argparse
import ast
import dis
import functools
import hashlib
import importlib.metadata
import inspect
import json
import linecache
import marshal
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from .._inputs.arrays import instance_of
from ._installed import LIBRARIES, is_user_module, library_of

__all__ = ["hash_callable", "hash_file", "hash_module"]
__all__ += ["hash_values", "package_versions", "strip_origin"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CHUNK = 1 << 24  # bytes of a file that are read at once
_PLAIN = (bool, int, float, str, bytes, type(None))
_OF_CLASSES = (FunctionType, staticmethod, classmethod, property)
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, functools.partial)
#: What was described, by the number of the object: the object itself, and its description.
_Known = dict[int, tuple[Any, object]]


def hash_values(*parts: object) -> str:
    """Hash values as JSON with sorted keys, with the repr of values that are not JSON."""
    text = json.dumps(parts, sort_keys=True, default=_plain_repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def hash_module(module: Any) -> str:
    """Hash a torch module: its tensors by name, its structure, its hooks and its code.

    Of a user's modules, all attributes and the source code are hashed. Of a library's modules,
    the hash covers printed settings, attributes that are numbers, texts or functions (such as
    activations), and the configuration of transformers. Hooks of this package are left out.

    Time: about a second per gigabyte of weights. Memory: a copy of the largest tensor if the
    module is not on the CPU.
    """
    return _hash_module(module, {})


def _hash_module(module: Any, known: _Known) -> str:
    tensors = {**dict(module.named_buffers()), **module.state_dict(keep_vars=True)}
    content = [(name, _describe(tensors[name], known)) for name in sorted(tensors)]
    parts = [(name, m) for name, m in module.named_modules() if not hasattr(m, "is_tap")]
    structure = [(name, _structure(m, known)) for name, m in parts]
    own = [(n, m) for n, m in parts if type(m).__module__.partition(".")[0] not in LIBRARIES]
    code = _collect_source(*{type(m) for _, m in own}, known=known)
    attributes = [(name, _attributes(m, known)) for name, m in own]
    versions = sorted({library_of(type(m)) for _, m in parts})
    return hash_values(content, structure, code, attributes, versions)


def hash_callable(function: Any) -> str:
    """Hash a function by its attribute ``fingerprint``, or else by its code.

    What it holds is hashed too, with the weights of modules: the object of a method, what
    ``functools.partial`` binds, defaults, closure variables and globals that its code names. Files
    and state outside of Python are not: a function whose files may change needs an attribute
    ``fingerprint``.
    """
    own = getattr(function, "fingerprint", None)
    if own is not None:
        return hash_values(str(own() if callable(own) else own))
    return hash_values(_describe(function, {}))


def hash_file(path: Any) -> str:
    """Hash the bytes of a file."""
    state = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def package_versions(*packages: str) -> Mapping[str, str]:
    """Return the installed versions of packages."""
    return {name: importlib.metadata.version(name) for name in packages}


def strip_origin(config: Any) -> object:
    """Return a configuration of transformers without its path, commit and library version."""
    if not hasattr(config, "to_dict"):
        return _describe(config, {})
    away = ("_name_or_path", "transformers_version", "use_cache", "_commit_hash")
    return {key: value for key, value in config.to_dict().items() if key not in away}


def _structure(module: Any, known: _Known) -> list[object]:
    cls = type(module)
    config = strip_origin(module.config) if hasattr(module, "config") else None
    printed = _plain_repr(module.extra_repr())
    settings = [  # public attributes that are plain values or functions
        (name, _describe(value, known))
        for name, value in sorted(vars(module).items())
        if name[0] != "_" and "name_or_path" not in name and _is_setting(value)
    ]
    hooks = [
        _describe(hook, known)
        for kind in ("_forward_pre_hooks", "_forward_hooks")
        for hook in vars(module).get(kind, {}).values()
        if not _is_package_code(hook)
    ]
    return [f"{cls.__module__}.{cls.__qualname__}", printed, settings, hooks, config]


def _is_setting(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_setting(entry) for entry in value)
    return type(value) in _PLAIN or isinstance(value, _FUNCTIONS)


def _attributes(module: Any, known: _Known) -> dict[str, object]:
    """Describe the attributes of a module that are not torch's own."""
    own = vars(module).keys() - _names_of_torch()
    return {name: _describe(vars(module)[name], known) for name in sorted(own)}


@functools.cache
def _names_of_torch() -> frozenset[str]:
    """Return the names of attributes that every module has."""
    from torch import nn

    return frozenset(vars(nn.Module()))


def _describe(value: Any, known: _Known) -> object:
    """Convert a value to plain data that is equal for equal values.

    What holds other values is replaced by a hash, which is computed once.
    """
    if instance_of(value, "torch", "Tensor"):
        return _hash_tensor(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return [str(value.dtype), value.shape, _hash_bytes(np.ascontiguousarray(value).data)]
    if type(value) in _PLAIN:
        return _plain_repr(value)
    if id(value) not in known:
        known[id(value)] = value, "in itself"
        try:
            found: object = hash_values(_describe_parts(value, known))
        except RecursionError:
            found = _plain_repr(value)
        known[id(value)] = value, found
    return known[id(value)][1]


def _describe_parts(value: Any, known: _Known) -> object:
    """Convert a value that holds others to a list of plain data."""
    found = _describe_entries(value, known)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) and _is_user_code(type(value)):
        return [found, _describe_state(value, known)]  # of a subclass with attributes of its own
    return found


def _describe_entries(value: Any, known: _Known) -> object:
    if isinstance(value, (SimpleNamespace, argparse.Namespace)):
        value = vars(value)
    if isinstance(value, Mapping):
        return [[_plain_repr(k), _describe(v, known)] for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [_describe(v, known) for v in value]
    if isinstance(value, np.ndarray):
        return [value.shape, [_describe(v, known) for v in value.flat]]
    if isinstance(value, (set, frozenset)):
        return sorted(str(_describe(v, known)) for v in value)
    if isinstance(value, functools.partial):
        return [_describe(v, known) for v in (value.func, value.args, value.keywords)]
    if isinstance(value, MethodType):
        return [_collect_source(value, known=known), _describe(value.__self__, known)]
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        bound = [(name, cell.cell_contents) for name, cell in cells if _is_full(cell)]
        bound += vars(value).items()
        described = [[name, _describe(own, known)] for name, own in bound]
        return [_collect_source(value, known=known), described]
    if isinstance(value, type):
        code = _collect_source(value, known=known) if _is_user_code(value) else library_of(value)
        return [_plain_repr(value), code]
    if instance_of(value, "torch.nn", "Module"):
        return [_hash_module(value, known), _attributes(value, known)]
    return [_plain_repr(value), _describe_state(value, known)]


def _describe_state(value: Any, known: _Known) -> object:
    """Describe the attributes and the class of an object; its repr says all of the stdlib's."""
    cls, is_own = type(value), _is_user_code(type(value))
    if cls.__module__.partition(".")[0] in sys.stdlib_module_names:
        return []
    state = dict(getattr(value, "__dict__", {}))
    if is_own:
        slots = (slot for base in cls.__mro__ for slot in _list_slots(base))
        state |= {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    parts = [[name, _describe(own, known)] for name, own in state.items()]
    is_code = callable(value) and not is_own
    return [parts, _collect_source(cls, known=known) if is_code else _describe(cls, known)]


def _list_slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _hash_tensor(tensor: Any) -> object:
    import torch

    plain = tensor.detach().to("cpu").contiguous().reshape(-1)
    data = plain.view(torch.uint8).numpy().data if plain.numel() else memoryview(b"")
    return [str(tensor.dtype), list(tensor.shape), _hash_bytes(data)]


def _hash_bytes(data: memoryview) -> str:
    flat = data.cast("B") if data.nbytes else data
    return hashlib.blake2b(flat, digest_size=16).hexdigest()


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # the variable is not assigned yet
        return False
    return True


def _plain_repr(value: object) -> str:
    return _ADDRESS.sub("", repr(value))


def _collect_source(*things: Any, known: _Known) -> list[str]:
    """Return the source of classes and functions and of the code that they refer to, sorted.

    The code of installed libraries is left out, as their versions identify it. References to other
    code are followed by name: bases of classes, functions that are called, and values of modules
    and classes. Dynamic access, such as ``getattr`` and data files, is not followed.
    """
    found: set[str] = set()
    seen: set[int] = set()
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:  # reading the source takes long, and many refer to one thing
            continue
        seen.add(id(thing))
        name = f"{thing.__module__}.{thing.__qualname__}"
        text = f"{name}{library_of(thing)}{_read_source(thing)}"
        if text in found:
            continue
        found.add(text)
        if isinstance(thing, type):
            waiting += [base for base in thing.__mro__[1:] if _is_user_code(base)]
        for place, value in _iter_values_read(thing):
            if not isinstance(value, (type, FunctionType)):
                found.add(f"{name} {place}={_describe(value, known)}")
            elif _is_user_code(value):
                waiting.append(value)
            elif library := library_of(value):
                found.add(f"{name} {place}={value.__qualname__} of {library}")
    return sorted(found)


def _is_user_code(thing: Any) -> bool:
    """Return whether a class or function is neither installed nor of this package."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return module is not None and not _is_package_code(thing) and is_user_module(module)


def _is_package_code(thing: Any) -> bool:
    """Return whether a class or function is of this package, such as a hook of a tap."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "transferability"


def _read_source(thing: Any) -> str:
    """Return the source of a class or function; if there is none, a hash of its bytecode."""
    try:
        source = _read_class(thing) if isinstance(thing, type) else inspect.getsource(thing)
        if thing.__name__ == "<lambda>":  # its line may hold others, and may not be all of it
            return f"{source}{_describe_code(thing.__code__)}"
        return source
    except (OSError, TypeError):
        code = [marshal.dumps(function.__code__) for function in _list_functions(thing)]
        return sys.version + hashlib.blake2b(b"".join(code)).hexdigest()


def _describe_code(code: CodeType) -> list[object]:
    """Describe bytecode by all but its place."""
    inner = [
        _describe_code(value)
        if isinstance(value, CodeType)
        else repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
        for value in code.co_consts
    ]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return [sys.version_info[:2], code.co_code.hex(), *names, inner]


def _read_class(thing: type) -> str:
    """Return the source of a class; ``inspect`` parses the whole file for every class in it."""
    file = inspect.getsourcefile(thing)
    if file is not None:
        linecache.checkcache(file)
        module = vars(sys.modules[thing.__module__]) if thing.__module__ in sys.modules else {}
        found = _find_classes(tuple(linecache.getlines(file, module))).get(thing.__qualname__)
        if found is not None:
            return found
    return inspect.getsource(thing)


@functools.lru_cache(maxsize=64)
def _find_classes(lines: tuple[str, ...]) -> dict[str, str]:
    """Return the source of all classes by qualified name; of several with one name, all."""
    found: dict[str, str] = {}

    def visit(node: ast.AST, above: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = above
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{above}{child.name}.<locals>."
            elif isinstance(child, ast.ClassDef):
                start = min([child.lineno, *(part.lineno for part in child.decorator_list)])
                text = "".join(lines[start - 1 : child.end_lineno])
                found[above + child.name] = found.get(above + child.name, "") + text
                name = f"{above}{child.name}."
            visit(child, name)

    with suppress(SyntaxError):
        visit(ast.parse("".join(lines)), "")
    return found


def _list_functions(thing: Any) -> list[Any]:
    """Return a function itself, or the functions of a class."""
    if not isinstance(thing, type):
        thing = getattr(thing, "__func__", thing)
        return [thing] if hasattr(thing, "__code__") else []
    found = []
    for value in vars(thing).values():
        inner = [getattr(value, name, None) for name in ("__func__", "fget", "fset")]
        found += [f for f in (value, *inner) if isinstance(f, FunctionType)]
    return found


def _iter_values_read(thing: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over values that a class or function reads: of classes, defaults and globals."""
    functions = _list_functions(thing)
    if isinstance(thing, type):
        own = {k: v for k, v in vars(thing).items() if k[:2] != "__"}
        yield from ((k, v) for k, v in own.items() if not isinstance(v, _OF_CLASSES))
    for function in functions:
        for defaults in (function.__defaults__, function.__kwdefaults__):
            if defaults:
                yield function.__name__, defaults
        yield from _iter_globals_read(function)


def _iter_globals_read(function: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the globals that a function reads, also through modules that it names."""
    names: set[str] = set()
    loaded: set[str] = set()  # others are names of attributes
    waiting = [function.__code__]
    while waiting:  # nested functions too
        code = waiting.pop()
        names |= {*code.co_names}
        steps = dis.get_instructions(code)
        loaded |= {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        waiting += [part for part in code.co_consts if isinstance(part, CodeType)]
    for name in sorted(loaded):
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            if is_user_module(value):
                known = vars(value)
                yield from ((f"{name}.{n}", known[n]) for n in sorted(names & known.keys()))
            elif library := library_of(value):
                yield name, library
        elif name in function.__globals__:
            yield name, value
