"""Open models by name, with their preprocessing.

A model is named ``scheme:name``, optionally followed by ``@revision`` and ``?option=value&...``.
Every source preprocesses items as its library does, names the layers of its models, and has a
default layer to score. If ``HF_HUB_OFFLINE`` is set, nothing is downloaded. No code from a hub is
run unless ``?trust_remote_code=true`` allows it. Every source has the options ``pool`` and
``layer``.
"""

from __future__ import annotations

import os
from dataclasses import replace

from .._inputs.arguments import check_counts
from .._inputs.types import DeviceLike, ModelsLike
from .._util.public import present
from ..errors import DataError, DtypeError
from ..torch._names import check_dtype
from ._model import Model, choose_device
from ._own import open_own
from ._sources import SCHEMES, find_source
from ._sources import SOURCES as SOURCES

__all__ = ["SCHEMES", "Model", "expand", "open_model"]

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
    parsed, source = find_source(spec)
    if not any(mark in parsed.name for mark in "*?["):
        return [spec]
    names = source.list_names(parsed)
    if not names:
        raise DataError(f"{spec!r} matches no model{source.hint}")
    return [str(replace(parsed, name=name)) for name in names]


def open_model(
    spec: ModelsLike,
    *,
    device: DeviceLike = None,
    dtype: str | None = None,
    max_length: int | None = None,
) -> Model:
    """Open a model with its preprocessing.

    Parameters
    ----------
    spec : str, torch.nn.Module, pair of (torch.nn.Module, callable), callable, or Model
        A name as in :mod:`transferability.models`; a torch module of your own, whose items are
        stacked as arrays; a pair of a module and a function that preprocesses a list of raw
        items to a batch; or a function from a list of raw items to an array with a row for each.
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
    own = open_own(spec, device=device, dtype=dtype)
    if own is not None:
        return own
    if not isinstance(spec, (str, os.PathLike)):
        raise DtypeError(
            f"a model is {type(spec).__name__}; give a name such as 'timm:resnet18', a torch "
            f"module, a pair of a module and a function that preprocesses, or a function"
        )
    parsed, source = find_source(os.fspath(spec))
    source.check_options(parsed)
    check_dtype(dtype)
    max_length = check_counts(max_length=max_length)["max_length"]
    if device is not None and source.libraries:  # before weights are loaded
        device = choose_device(device)
    if max_length is not None and "max_length" in (source.options or ()):
        length = parsed.text("max_length") or str(max_length)
        parsed = replace(parsed, options={**parsed.options, "max_length": length})
    model = source.open(parsed, device, dtype)
    model.default_pool = parsed.text("pool") or model.default_pool
    model.default_layer = parsed.text("layer") or model.default_layer
    return model


present(globals())
