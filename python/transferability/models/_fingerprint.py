"""What a model's numbers depend on, as one digest: weights, structure, code, preprocessing."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from .._inputs.arrays import instance_of
from ._code import code_of, is_ours

__all__ = ["digest", "of_callable", "of_file", "of_module", "shorn", "versions"]

#: Their code is known by their versions; all other code is read.
_LIBRARIES = ("torch", "torchvision", "timm", "transformers", "sentence_transformers")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CHUNK = 1 << 24
_PLAIN = (bool, int, float, str, type(None))
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, functools.partial)


def digest(*parts: object) -> str:
    """Hash what JSON can write, with keys in order; anything else by its repr."""
    text = json.dumps(parts, sort_keys=True, default=_plain_repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_module(module: Any) -> str:
    """Hash a torch module: tensors in the order of their names, its structure and its code.

    Of modules that are the user's own, all attributes count, and their code; of a library's what
    they print, attributes that are numbers, words or functions, such as activations, and
    configurations of transformers. Hooks that others put on them count too.
    Cost: the bytes of the weights at about a gigabyte a second, and a copy of the largest
    tensor where it is on another device.
    """
    tensors = {**dict(module.named_buffers()), **module.state_dict(keep_vars=True)}
    content = [(name, _describe(tensors[name])) for name in sorted(tensors)]
    parts = [(name, m) for name, m in module.named_modules() if not hasattr(m, "is_tap")]
    structure = [(name, _structure(m)) for name, m in parts]
    own = [(name, m) for name, m in parts if not _is_library(type(m))]
    code = code_of(*{type(m) for _, m in own})
    return digest(content, structure, code, [(name, _attributes(m)) for name, m in own])


def of_callable(function: Any) -> str:
    """Hash a function by its own ``fingerprint`` where it has one, and by its code otherwise.

    Arguments that are filled in and variables that it closes over count, as far as they are
    plain; what it reads from elsewhere is not seen: give the function an attribute
    ``fingerprint`` if that may change.
    """
    own = getattr(function, "fingerprint", None)
    if own is not None:
        return digest(str(own() if callable(own) else own))
    return digest(_describe(function))


def of_file(path: Any) -> str:
    """Hash the bytes of a file."""
    state = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def versions(packages: Iterable[str]) -> Mapping[str, str]:
    """Give the versions of packages that compute or preprocess."""
    return {name: importlib.metadata.version(name) for name in packages}


def shorn(config: Any) -> object:
    """Give a configuration of transformers without where it came from."""
    if not hasattr(config, "to_dict"):
        return _describe(config)
    away = ("_name_or_path", "transformers_version", "use_cache", "_commit_hash")
    return {key: value for key, value in config.to_dict().items() if key not in away}


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES


def _structure(module: Any) -> list[object]:
    cls = type(module)
    config = shorn(module.config) if hasattr(module, "config") else None
    printed = _plain_repr(module.extra_repr())
    hooks = [
        _describe(hook)
        for kind in ("_forward_pre_hooks", "_forward_hooks")
        for hook in vars(module).get(kind, {}).values()
        if not is_ours(hook)
    ]
    named = f"{cls.__module__}.{cls.__qualname__}"
    return [named, printed, _settings(module), hooks, config]


def _settings(module: Any) -> list[tuple[str, object]]:
    """Describe what a library's module was made with, as far as it is plain, or functions."""
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
    """Describe what an object was given, without what torch keeps in it."""
    return {
        name: _describe(value)
        for name, value in sorted(vars(thing).items())
        if not name.startswith("_") and name != "training"
    }


def _describe(value: Any, depth: int = 4) -> object:
    """Write a value so that equal ones are written alike."""
    if instance_of(value, "torch", "Tensor"):
        return _of_tensor(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return [str(value.dtype), value.shape, _of_bytes(np.ascontiguousarray(value).data)]
    if depth and isinstance(value, Mapping):
        return [[_plain_repr(k), _describe(v, depth - 1)] for k, v in value.items()]
    if depth and isinstance(value, (list, tuple)):
        return [_describe(v, depth - 1) for v in value]
    if depth and hasattr(value, "func") and hasattr(value, "keywords"):  # functools.partial
        return [_describe(v, depth - 1) for v in (value.func, value.args, value.keywords)]
    if depth and hasattr(value, "__code__"):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
        return [code_of(value), [_describe(v, depth - 1) for v in (*cells, value.__defaults__)]]
    if depth and callable(value) and hasattr(value, "__dict__") and not isinstance(value, type):
        return [
            code_of(type(value)),
            [[k, _describe(v, depth - 1)] for k, v in vars(value).items()],
        ]
    return _plain_repr(value)


def _of_tensor(tensor: Any) -> object:
    import torch

    plain = tensor.detach().to("cpu").contiguous().reshape(-1)
    data = plain.view(torch.uint8).numpy().data if plain.numel() else memoryview(b"")
    return [str(tensor.dtype), list(tensor.shape), _of_bytes(data)]


def _of_bytes(data: memoryview) -> str:
    flat = data.cast("B") if data.nbytes else data
    return hashlib.blake2b(flat, digest_size=16).hexdigest()


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a variable that is not set yet
        return False


def _plain_repr(value: object) -> str:
    return _ADDRESS.sub("", repr(value))
