"""What a model's numbers depend on, as one digest: weights, architecture, code, preprocessing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import marshal
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["digest", "of_callable", "of_file", "of_module", "versions"]

#: Their code is known by their versions; all other code is read.
_LIBRARIES = ("torch", "torchvision", "timm", "transformers", "sentence_transformers")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CHUNK = 1 << 24


def digest(*parts: object) -> str:
    """Hash what JSON can write, with keys in order; anything else by its repr."""
    text = json.dumps(parts, sort_keys=True, default=_plain_repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_module(module: Any) -> str:
    """Hash a torch module: tensors in the order of their names, its structure and its code.

    Cost: the bytes of the weights at about a gigabyte a second, and a copy of the largest
    tensor where it is on another device.
    """
    import torch

    state = hashlib.blake2b(digest_size=16)
    tensors = {**dict(module.named_buffers()), **module.state_dict(keep_vars=True)}
    for name in sorted(tensors):
        tensor = tensors[name]
        if not isinstance(tensor, torch.Tensor):  # extra state of some modules
            state.update(f"{name}={_plain_repr(tensor)};".encode())
            continue
        state.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        plain = tensor.detach().to("cpu").contiguous().reshape(-1)
        data = memoryview(plain.view(torch.uint8).numpy())
        for start in range(0, len(data), _CHUNK):
            state.update(data[start : start + _CHUNK])
    types = sorted({type(m) for m in module.modules()}, key=lambda cls: cls.__qualname__)
    code = [_code(cls) for cls in types if cls.__module__.partition(".")[0] not in _LIBRARIES]
    return digest(state.hexdigest(), _ADDRESS.sub("", repr(module)), code)


def of_callable(function: Any) -> str:
    """Hash a function by its own ``fingerprint`` where it has one, and by its code otherwise.

    What it reads from elsewhere, such as arrays it closes over, is not seen: give the function
    an attribute ``fingerprint`` if that may change.
    """
    own = getattr(function, "fingerprint", None)
    if own is not None:
        return digest(str(own() if callable(own) else own))
    return digest(_code(function if hasattr(function, "__code__") else type(function)))


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


def _code(thing: Any) -> str:
    """Read the source of a class or function, or its bytecode where there is no source."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    try:
        return name + inspect.getsource(thing)
    except (OSError, TypeError):
        functions = [thing] if hasattr(thing, "__code__") else list(vars(thing).values())
        code = [marshal.dumps(f.__code__) for f in functions if hasattr(f, "__code__")]
        return name + sys.version + hashlib.blake2b(b"".join(code)).hexdigest()


def _plain_repr(value: object) -> str:
    return _ADDRESS.sub("", repr(value))
