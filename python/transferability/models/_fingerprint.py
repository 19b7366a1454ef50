"""Hash everything that a model's outputs depend on: weights, structure, code, preprocessing."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from .._inputs.arrays import instance_of
from ._code import collect_source, is_package_code

__all__ = [
    "hash_callable",
    "hash_file",
    "hash_module",
    "hash_values",
    "package_versions",
    "strip_origin",
]

#: Packages whose versions stand for their code; the source of all other code is hashed.
_LIBRARIES = ("torch", "torchvision", "timm", "transformers", "sentence_transformers")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CHUNK = 1 << 24
_PLAIN = (bool, int, float, str, type(None))
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, functools.partial)


def hash_values(*parts: object) -> str:
    """Hash values as JSON with sorted keys; values that JSON cannot hold by their repr."""
    text = json.dumps(parts, sort_keys=True, default=_plain_repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def hash_module(module: Any) -> str:
    """Hash a torch module: its tensors by name, its structure and its code.

    For modules of the user all attributes and their source are hashed. For modules of a library
    these are hashed: their printed settings, attributes that are numbers, texts or functions
    (such as activations), and configurations of transformers. Hooks of others are hashed too.

    Time: about a second per gigabyte of weights. Memory: a copy of the largest tensor if the
    module is not on the CPU.
    """
    tensors = {**dict(module.named_buffers()), **module.state_dict(keep_vars=True)}
    content = [(name, _describe(tensors[name])) for name in sorted(tensors)]
    parts = [(name, m) for name, m in module.named_modules() if not hasattr(m, "is_tap")]
    structure = [(name, _structure(m)) for name, m in parts]
    own = [(name, m) for name, m in parts if not _is_library(type(m))]
    code = collect_source(*{type(m) for _, m in own})
    return hash_values(content, structure, code, [(name, _attributes(m)) for name, m in own])


def hash_callable(function: Any) -> str:
    """Hash a function by its attribute ``fingerprint``, or else by its code.

    Arguments bound by ``functools.partial``, defaults and closure variables are hashed as far as
    they are plain values. Files and global state that the function reads are not: give the
    function an attribute ``fingerprint`` if these may change.
    """
    own = getattr(function, "fingerprint", None)
    if own is not None:
        return hash_values(str(own() if callable(own) else own))
    return hash_values(_describe(function))


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
        return _describe(config)
    away = ("_name_or_path", "transformers_version", "use_cache", "_commit_hash")
    return {key: value for key, value in config.to_dict().items() if key not in away}


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES


def _structure(module: Any) -> list[object]:
    cls = type(module)
    config = strip_origin(module.config) if hasattr(module, "config") else None
    printed = _plain_repr(module.extra_repr())
    hooks = [
        _describe(hook)
        for kind in ("_forward_pre_hooks", "_forward_hooks")
        for hook in vars(module).get(kind, {}).values()
        if not is_package_code(hook)
    ]
    named = f"{cls.__module__}.{cls.__qualname__}"
    return [named, printed, _settings(module), hooks, config]


def _settings(module: Any) -> list[tuple[str, object]]:
    """Describe the public attributes of a library's module that are plain values or functions."""
    return [
        (name, _describe(value))
        for name, value in sorted(vars(module).items())
        if name[0] != "_" and "name_or_path" not in name and _is_setting(value)
    ]


def _is_setting(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_setting(entry) for entry in value)
    return type(value) in _PLAIN or isinstance(value, _FUNCTIONS)


def _attributes(thing: Any) -> dict[str, object]:
    """Describe the public attributes of an object, without torch's internal state."""
    return {
        name: _describe(value)
        for name, value in sorted(vars(thing).items())
        if not name.startswith("_") and name != "training"
    }


def _describe(value: Any, depth: int = 4) -> object:
    """Convert a value to plain data that is equal for equal values."""
    if instance_of(value, "torch", "Tensor"):
        return _hash_tensor(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return [str(value.dtype), value.shape, _hash_bytes(np.ascontiguousarray(value).data)]
    if depth and isinstance(value, Mapping):
        return [[_plain_repr(k), _describe(v, depth - 1)] for k, v in value.items()]
    if depth and isinstance(value, (list, tuple)):
        return [_describe(v, depth - 1) for v in value]
    if depth and hasattr(value, "func") and hasattr(value, "keywords"):  # functools.partial
        return [_describe(v, depth - 1) for v in (value.func, value.args, value.keywords)]
    if depth and hasattr(value, "__code__"):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
        return [
            collect_source(value),
            [_describe(v, depth - 1) for v in (*cells, value.__defaults__)],
        ]
    if depth and callable(value) and hasattr(value, "__dict__") and not isinstance(value, type):
        return [
            collect_source(type(value)),
            [[k, _describe(v, depth - 1)] for k, v in vars(value).items()],
        ]
    return _plain_repr(value)


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
        return cell.cell_contents is not None
    except ValueError:  # the variable is not assigned yet
        return False


def _plain_repr(value: object) -> str:
    return _ADDRESS.sub("", repr(value))
