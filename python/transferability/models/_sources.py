"""The registered sources of models, and the source without a scheme, ``module:function``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._inputs.arguments import suggest
from ..errors import DataError, DtypeError
from ._model import Model
from ._own import open_own
from ._spec import COMMON_OPTIONS, ModelSpec, SourceSpec, parse_spec

__all__ = ["SCHEMES", "SOURCES", "find_source"]

#: Modules of this package with an instance ``SOURCE``. A new source is its file and a name here.
_MODULES = ("_saved", "_hf", "_onnx", "_st", "_timm", "_torchvision", "_ts")

#: The sources by scheme.
SCHEMES: Mapping[str, SourceSpec] = {
    source.scheme: source
    for source in (importlib.import_module(f".{name}", __package__).SOURCE for name in _MODULES)
}


def find_source(text: str) -> tuple[ModelSpec, SourceSpec]:
    """Parse the name of a model and find its source.

    An existing path without a scheme belongs to the source that claims its suffix, or else to
    "features".
    """
    spec = parse_spec(text, SCHEMES)
    if not spec.scheme and os.path.exists(spec.name):
        claims = (key for key, source in SCHEMES.items() if spec.name.endswith(source.suffixes))
        spec = ModelSpec(next(claims, "features"), spec.name, None, spec.options)
    _refuse_several(spec)
    if spec.scheme:
        source = SCHEMES[spec.scheme]
        return _name_random_weights(spec, source), source
    module, colon, function = spec.name.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), function)):
        return spec, _FUNCTION
    near = suggest(module, SCHEMES) if colon else _suggest_sources(spec)
    raise DataError(
        f"{str(spec)!r} names no source of models that is known{near}; write scheme:name with a "
        f"scheme among {', '.join(SCHEMES)}, or module:function for a function of your own"
    )


def _refuse_several(spec: ModelSpec) -> None:
    """Raise DataError for names that commas separate, such as "hf:a,hf:b" or "a,b"."""
    _, *more = spec.name.split(",")
    named = [name for name in more if name.strip().partition(":")[0] in SCHEMES or not spec.scheme]
    if named and not os.path.exists(spec.name):
        raise DataError(f"{str(spec)!r} holds several names of models; give each by itself")


def _suggest_sources(spec: ModelSpec) -> str:
    """Return " (did you mean …?)" with the sources of models that have such names.

    Names on the hub have hyphens or an owner; those of libraries of pictures have none.
    """
    on_hub = "/" in spec.name or "-" in spec.name
    schemes = ("hf", "st") if on_hub else ("timm", "torchvision")
    return f" (did you mean {' or '.join(str(replace(spec, scheme=s)) for s in schemes)}?)"


def _name_random_weights(spec: ModelSpec, source: SourceSpec) -> ModelSpec:
    """Return a name with the option of its own source for random weights.

    ``?weights=none`` and ``?pretrained=false`` are one thing, and each library knows one of them.
    """
    known, options = source.options or (), dict(spec.options)
    weights = options.get("weights", "").lower()
    if "pretrained" in known and weights in ("none", "default"):
        del options["weights"]
        options.setdefault("pretrained", str(weights == "default").lower())
    elif "weights" in known and "pretrained" in options:
        is_pretrained = spec.flag("pretrained", True)
        del options["pretrained"]
        if not is_pretrained:
            options.setdefault("weights", "none")
    return replace(spec, options=options)


def _refuse_wildcard(spec: ModelSpec) -> list[str]:
    raise DataError(f"{spec}: a function is named in full, without wildcards")


def _call_function(spec: ModelSpec, device: Any, dtype: str | None) -> Model:
    """Call a user's function with the options as keyword arguments, all of them str.

    It returns a value that :func:`open_own` opens.
    """
    path, _, name = spec.name.partition(":")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        raise DataError(
            f"{spec}: there is neither a Python module {path!r} to import nor such a source of "
            f"models{suggest(path, SCHEMES)}; sources are {', '.join(SCHEMES)}"
        ) from error
    make = getattr(module, name, None)
    if not callable(make):
        known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise DataError(f"{spec}: {path} has no function {name!r}{suggest(name, known)}")
    made = make(**{key: value for key, value in spec.options.items() if key not in COMMON_OPTIONS})
    model = open_own(made, str(spec), device=device, dtype=dtype)
    if model is None:
        raise DtypeError(
            f"{spec} returned {type(made).__name__}; return a torch module, a pair of one and a "
            f"function that preprocesses, or a callable from items to features"
        )
    return model


_FUNCTION = SourceSpec(
    scheme="",
    example="my_module:make_model",
    metavar="module:function",
    summary="a function of your own that returns a module or a callable; it gets the options",
    open=_call_function,
    list_names=_refuse_wildcard,
    options=None,
)
#: All sources.
SOURCES = (*SCHEMES.values(), _FUNCTION)
