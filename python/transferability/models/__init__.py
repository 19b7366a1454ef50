"""Models by name: timm, transformers, sentence-transformers, torchvision, ONNX, your own.

A model is named ``scheme:name``, with ``?option=value&...`` after it if need be:

========================  ===================================================================
``timm:resnet18.a1_in1k``  timm, with wildcards: ``timm:vit_tiny*``
``hf:bert-base-uncased``   transformers: a name on the hub (``@revision``) or a folder
``st:all-MiniLM-L6-v2``    sentence-transformers: a name or a folder
``torchvision:resnet18``   torchvision, with wildcards
``onnx:model.onnx``        a file, run by onnxruntime
``features:run1``           features saved before: a file, or a folder of shards
``my_module:make_model``   a function of your own that gives a module or a callable
========================  ===================================================================

Every source brings its own preprocessing, knows its layers and the one to score by default.
Nothing is downloaded where ``HF_HUB_OFFLINE`` is set, and no code from a hub is run unless
``?trust_remote_code=true`` asks for it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._util.public import set_modules
from ..errors import DataError, DtypeError
from ._model import Model
from ._spec import Spec, closest, parse_spec

__all__ = ["SCHEMES", "Model", "expand", "open_model"]

#: Each scheme's module, which has ``names(spec)``, ``open(spec, device, dtype)`` and ``OPTIONS``.
SCHEMES: Mapping[str, str] = {
    "features": "_saved",
    "hf": "_hf",
    "onnx": "_onnx",
    "st": "_st",
    "timm": "_timm",
    "torchvision": "_torchvision",
}
#: Options that every scheme has.
_COMMON = ("pool", "layer")


def expand(spec: str) -> list[str]:
    """Name the models that a wildcard stands for.

    Parameters
    ----------
    spec : str
        As :func:`open_model` takes it, with ``*``, ``?`` and ``[...]`` where the source can
        list its models: timm, torchvision, files and folders.

    Returns
    -------
    specs : list of str
        In the source's order, with the options of `spec`; `spec` alone without a wildcard.

    Raises
    ------
    DataError
        For an unknown scheme, and if nothing matches.
    MissingDependencyError
        If the source's library is not installed.

    Examples
    --------
    >>> from transferability import models
    >>> models.expand("torchvision:resnet*")
    ['torchvision:resnet101', 'torchvision:resnet152', 'torchvision:resnet18', ...]
    """
    parsed = _parse(spec)
    home = _home(parsed)
    if not any(mark in parsed.name for mark in "*?["):
        return [spec]
    names = home.names(parsed)
    if not names:
        raise DataError(f"{spec!r} matches no model{_hint(home)}")
    return [str(parsed.named(name)) for name in names]


def open_model(
    spec: object,
    *,
    device: object = None,
    dtype: str | None = None,
    max_length: int | None = None,
) -> Model:
    """Open a model with its preprocessing.

    Parameters
    ----------
    spec : str, torch.nn.Module, pair of (torch.nn.Module, callable), callable, or Model
        A name as in :mod:`transferability.models`; a module of your own, which takes stacked
        arrays, or what the callable makes of a list of raw items; or a function from a list of
        raw items to an array with a row for each.
    device : str or torch.device, optional
        Default: the GPU where there is one.
    dtype : {"float32", "float64", "float16", "bfloat16"}, optional
        Of the weights; default as the library loads them, which is float32 for most.

    max_length : int, optional
        Tokens after which texts are cut; default, and at most, what the model takes.

    Returns
    -------
    model : Model
        In evaluation mode.

    Raises
    ------
    DataError
        For an unknown scheme, name, option or device; if the weights are not on this machine and
        cannot be had.
    DtypeError
        For a `spec` of another type.
    MissingDependencyError
        If the source's library is not installed.

    Examples
    --------
    >>> from transferability import models
    >>> model = models.open_model("torchvision:resnet18?weights=none", device="cpu")
    >>> model.layers
    ('layer1.0.input', 'layer1', 'layer2', 'layer3', 'layer4')
    >>> model.default_layer
    'fc.input'
    """
    if isinstance(spec, Model):
        return spec
    from . import _callable, _module

    if _module.is_module(spec):
        return _module.open_module(spec, device=device, dtype=dtype)
    if callable(spec):
        return _callable.CallableModel(getattr(spec, "__name__", type(spec).__name__), spec)
    if not isinstance(spec, (str, os.PathLike)):
        raise DtypeError(
            f"a model is {type(spec).__name__}; give a name such as 'timm:resnet18', a torch "
            f"module, a pair of a module and a function that preprocesses, or a function"
        )
    parsed = _parse(os.fspath(spec))
    home = _home(parsed)
    if home.OPTIONS is not None:
        parsed.check({*home.OPTIONS, *_COMMON})
    if max_length is not None and "max_length" in (home.OPTIONS or ()):
        length = parsed.text("max_length") or str(max_length)
        parsed = replace(parsed, options={**parsed.options, "max_length": length})
    model: Model = home.open(parsed, device, dtype)
    model.default_pool = parsed.text("pool") or model.default_pool
    model.default_layer = parsed.text("layer") or model.default_layer
    return model


def _parse(spec: str) -> Spec:
    parsed = parse_spec(spec, SCHEMES)
    if parsed.scheme:
        return parsed
    if os.path.exists(parsed.name):
        scheme = "onnx" if parsed.name.endswith(".onnx") else "features"
        return Spec(scheme, parsed.name, None, parsed.options)
    return parsed


def _home(spec: Spec) -> Any:
    if spec.scheme:
        return importlib.import_module(f".{SCHEMES[spec.scheme]}", __name__)
    module, colon, function = spec.name.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), function)):
        return importlib.import_module("._entry", __name__)
    near = closest(module, SCHEMES) if colon else ""
    raise DataError(
        f"{str(spec)!r} names no source of models that is known{near}; write scheme:name with a "
        f"scheme among {', '.join(SCHEMES)}, or module:function for a function of your own"
    )


def _hint(home: Any) -> str:
    hint: str = getattr(home, "NO_MATCH", "")
    return hint


set_modules(globals())
