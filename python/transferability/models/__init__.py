"""Open models by name, with their preprocessing.

A model is named ``scheme:name``, optionally followed by ``@revision`` and ``?option=value&...``.
Every source uses its own preprocessing, names the layers of its models and knows the one to score
by default. If ``HF_HUB_OFFLINE`` is set, nothing is downloaded. No code from a hub is run unless
``?trust_remote_code=true`` allows it. The options ``pool`` and ``layer`` are known to every source.
"""

from __future__ import annotations

import os
from dataclasses import replace

from .._util.public import set_modules
from ..errors import DataError, DtypeError
from . import _callable, _entry, _module
from ._model import Model
from ._source import SourceSpec
from ._sources import SCHEMES, guess_scheme
from ._spec import ModelSpec, parse_spec, suggest

__all__ = ["SCHEMES", "Model", "expand", "open_model"]

#: All sources, with ``module:function``, which has no scheme.
SOURCES = (*SCHEMES.values(), _entry.SOURCE)
_WIDTH = max(len(source.title) for source in SOURCES)
__doc__ += "\n".join(
    ("\nThe sources:\n", *(f"- {source.title:{_WIDTH}} {source.summary}" for source in SOURCES), "")
)


def expand(spec: str) -> list[str]:
    """Expand a wildcard to the names of the models that match it.

    Parameters
    ----------
    spec : str
        A name as for :func:`open_model`, with ``*``, ``?`` and ``[...]`` if the source can
        list its models: timm, torchvision, files and folders.

    Returns
    -------
    specs : list of str
        In the source's order, with the options of `spec`. Without a wildcard, `spec` alone.

    Raises
    ------
    DataError
        If the scheme is unknown or nothing matches.
    MissingDependencyError
        If the source's library is not installed.

    Examples
    --------
    >>> from transferability import models
    >>> models.expand("torchvision:resnet*")
    ['torchvision:resnet101', 'torchvision:resnet152', 'torchvision:resnet18', ...]
    """
    parsed, source = _resolve(spec)
    if not any(mark in parsed.name for mark in "*?["):
        return [spec]
    names = source.list_names(parsed)
    if not names:
        raise DataError(f"{spec!r} matches no model{source.hint}")
    return [str(parsed.with_name(name)) for name in names]


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
        A name as in :mod:`transferability.models`; a torch module of your own; a pair of a
        module and a preprocessing function from a list of raw items to a batch, without which
        items are stacked as arrays; or a function from a list of raw items to an array with one
        row for each.
    device : str or torch.device, optional
        Where the model runs. Default: the GPU if there is one, else the CPU.
    dtype : {"float32", "float64", "float16", "bfloat16"}, optional
        Number format of the weights. Default: as the library loads them, mostly float32.
    max_length : int, optional
        Maximum number of tokens of a text; longer texts are truncated. Default, and upper bound:
        the model's own limit.

    Returns
    -------
    model : Model
        In evaluation mode.

    Raises
    ------
    DataError
        If the scheme, name, option or device is unknown, or the weights cannot be loaded.
    DtypeError
        If `spec` has another type.
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
    if _module.is_module(spec):
        return _module.open_module(spec, device=device, dtype=dtype)
    if callable(spec):
        return _callable.CallableModel(getattr(spec, "__name__", type(spec).__name__), spec)
    if not isinstance(spec, (str, os.PathLike)):
        raise DtypeError(
            f"a model is {type(spec).__name__}; give a name such as 'timm:resnet18', a torch "
            f"module, a pair of a module and a function that preprocesses, or a function"
        )
    parsed, source = _resolve(os.fspath(spec))
    source.check_options(parsed)
    if max_length is not None and "max_length" in (source.options or ()):
        length = parsed.text("max_length") or str(max_length)
        parsed = replace(parsed, options={**parsed.options, "max_length": length})
    model = source.open(parsed, device, dtype)
    model.default_pool = parsed.text("pool") or model.default_pool
    model.default_layer = parsed.text("layer") or model.default_layer
    return model


def _resolve(text: str) -> tuple[ModelSpec, SourceSpec]:
    """Parse the name of a model and find its source."""
    spec = parse_spec(text, SCHEMES)
    if not spec.scheme and os.path.exists(spec.name):
        spec = ModelSpec(guess_scheme(spec.name), spec.name, None, spec.options)
    if spec.scheme:
        return spec, SCHEMES[spec.scheme]
    module, colon, function = spec.name.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), function)):
        return spec, _entry.SOURCE
    near = suggest(module, SCHEMES) if colon else ""
    raise DataError(
        f"{str(spec)!r} names no source of models that is known{near}; write scheme:name with a "
        f"scheme among {', '.join(SCHEMES)}, or module:function for a function of your own"
    )


set_modules(globals())
