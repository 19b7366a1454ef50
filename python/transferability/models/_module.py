"""Torch modules of the user, with or without preprocessing."""

from __future__ import annotations

from typing import Any

from .._inputs.arrays import instance_of
from ..errors import DtypeError
from . import _fingerprint
from ._inputs import Arrays
from ._loading import parse_dtype
from ._model import TorchModel
from ._taps import Taps, find_blocks, find_last_linear, find_stages

__all__ = ["is_module", "open_module"]


class _UserPreprocessing:
    """A user's function from a list of raw items to a batch."""

    def __init__(self, collate: Any, kind: str) -> None:
        self._collate, self.kind = collate, kind

    def __call__(self, raw: Any) -> Any:
        return self._collate(list(raw))

    def config(self) -> dict[str, object]:
        return {"collate": _fingerprint.hash_callable(self._collate)}


def is_module(value: object) -> bool:
    """Return whether a value is a torch module, or a pair of one and its preprocessing."""
    if isinstance(value, tuple) and len(value) == 2:
        return _is_module(value[0])
    return _is_module(value)


def open_module(
    value: Any, name: str | None = None, *, device: Any = None, dtype: str | None = None
) -> TorchModel:
    """Wrap a torch module, and set it to evaluation mode.

    The default layer is the input of the last linear layer, in the order of definition, or the
    output of the module if it has none. A tap (see :mod:`transferability.models._taps`) makes it
    readable by hooks; ``close()`` removes the tap.
    """
    module, collate = value if isinstance(value, tuple) else (value, None)
    if collate is not None and not callable(collate):
        raise DtypeError(
            f"the preprocessing of a model is {type(collate).__name__}; give a function from a "
            f"list of items to a batch"
        )
    kind = getattr(module, "kind", "array")
    inputs = Arrays() if collate is None else _UserPreprocessing(collate, str(kind))
    module = module.eval().to(dtype=parse_dtype(dtype))
    classifier = find_last_linear(module)
    taps = Taps(module)
    layers = taps.with_stem(module, find_blocks(module) or find_stages(module, classifier))
    if classifier is None:
        default = taps.on_output(module, "output", lambda output: output)
    else:
        default = taps.on_input(classifier)
    return TorchModel(
        name or type(module).__name__,
        module,
        inputs,
        layers or [default],
        default,
        facts={"versions": _fingerprint.package_versions("torch")},
        taps=taps,
        device=device,
    )


def _is_module(value: object) -> bool:
    return instance_of(value, "torch.nn", "Module")
