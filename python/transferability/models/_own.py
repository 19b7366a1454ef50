"""Models of the user: torch modules with or without preprocessing, and feature functions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arguments import suggest
from .._inputs.arrays import instance_of
from ..errors import DataError, DtypeError
from . import _fingerprint
from ._inputs import Arrays
from ._loading import parse_dtype
from ._model import Model, TorchModel, choose_device
from ._taps import Taps, find_blocks, find_last_linear, find_stages

__all__ = ["CallableModel", "keep_state", "open_own"]


def open_own(
    value: Any, name: str | None = None, *, device: Any = None, dtype: str | None = None
) -> Model | None:
    """Open a ``Model``, a torch module, a pair of one and its preprocessing, or a function.

    Return None for any other value. `name` is by default the name of the class or function.
    """
    if isinstance(value, Model):
        value.is_shared = True
        return value
    module, collate = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if instance_of(module, "torch.nn", "Module"):
        return _open_module(module, collate, name or type(module).__name__, device, dtype)
    if callable(value):
        own_name: str = getattr(value, "__name__", type(value).__name__)
        return CallableModel(name or own_name, value)
    return None


@contextmanager
def keep_state(value: Any, dtype: str | None) -> Iterator[None]:
    """Restore the modes, device and number format of a module that :func:`open_own` opens.

    With a `dtype`, the tensors as they were are held beside the converted ones, and come back.
    """
    module = value[0] if isinstance(value, tuple) and len(value) == 2 else value
    if not instance_of(module, "torch.nn", "Module"):
        yield
        return
    training = [part for part in module.modules() if part.training]
    held = [
        (table, name, tensor.device, tensor.dtype, None if dtype is None else tensor.data)
        for part in module.modules()
        for table in (part._parameters, part._buffers)
        for name, tensor in table.items()
        if tensor is not None
    ]
    try:
        yield
    finally:
        for part in training:  # module.train() would include frozen parts
            part.training = True
        for table, name, device, number, data in held:
            now = table.get(name)  # a forward pass may have dropped it
            if now is not None and (now.device, now.dtype) != (device, number):
                now.data = now.data.to(device, number) if data is None else data
                if now.grad is not None:
                    now.grad.data = now.grad.data.to(device, number)


class CallableModel(Model):
    """A function from a list of raw items to an array of shape (n_samples, ...).

    The array is the layer "output". A function with several layers returns a dict of arrays by
    name and has an attribute ``layers``, a sequence of these names; the last is the default. An
    attribute ``kind`` is the kind of its items, "array" by default.
    """

    def __init__(self, spec: str, function: Callable[..., Any]) -> None:
        layers = tuple(getattr(function, "layers", ("output",)))
        super().__init__(spec, _UserPreprocessing(function, None), layers, layers[-1])
        self._function = function

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Call the function and validate the shapes of its arrays."""
        output = self._function(batch)
        found = output if isinstance(output, dict) else {self.default_layer: output}
        missing = [layer for layer in layers if layer not in found]
        if missing:
            raise DataError(
                f"{self.spec} has no layer {missing[0]!r}{suggest(missing[0], found)}; it gave "
                f"{', '.join(map(repr, found))}"
            )
        features = {layer: np.asarray(found[layer]) for layer in layers}
        for layer, array in features.items():
            if array.ndim < 2 or len(array) != len(batch):
                raise DataError(
                    f"{self.spec} gave an array of shape {array.shape} for {len(batch)} items"
                    f" (layer {layer!r}); give one row of features for each"
                )
        return features

    def hash_content(self) -> str:
        """Hash the function."""
        return _fingerprint.hash_callable(self._function)


def _open_module(
    module: Any, collate: Any, name: str, device: Any, dtype: str | None
) -> TorchModel:
    """Wrap a torch module, and set it to evaluation mode.

    The default layer is the input of the last linear layer, in the order of definition, or the
    output of the module if it has none. A tap (see :mod:`transferability.models._taps`) makes it
    readable by hooks; ``close()`` removes the tap.
    """
    if collate is not None and not callable(collate):
        raise DtypeError(
            f"the preprocessing of a model is {type(collate).__name__}; give a function from a "
            f"list of items to a batch"
        )
    inputs = Arrays() if collate is None else _UserPreprocessing(module, collate)
    number, device = parse_dtype(dtype), choose_device(device)  # before the module is changed
    module = module.eval().to(dtype=number)
    classifier = find_last_linear(module)
    taps = Taps(module)
    layers = taps.with_stem(find_blocks(module) or find_stages(module, classifier))
    if classifier is None:
        default = taps.on_output(module, "output", lambda output: output)
    else:
        default = taps.on_input(classifier)
    facts = {"versions": _fingerprint.package_versions("torch")}
    model = TorchModel(
        name, module, inputs, layers or [default], default, facts=facts, taps=taps, device=device
    )
    model.is_shared = True
    return model


class _UserPreprocessing:
    """A user's function from a list of raw items to a batch, or None to pass the list itself."""

    def __init__(self, model: Any, collate: Any) -> None:
        self._collate, self.kind = collate, str(getattr(model, "kind", "array"))

    def __call__(self, raw: Sequence[Any]) -> Any:
        return list(raw) if self._collate is None else _copy_batch(self._collate(list(raw)))

    def config(self) -> dict[str, object]:
        if self._collate is None:
            return {"preprocessing": "none"}
        return {"collate": _fingerprint.hash_callable(self._collate)}


def _copy_batch(batch: Any) -> Any:
    """Copy the arrays of a batch: a function may fill them again, while this batch waits."""
    if instance_of(batch, "torch", "Tensor"):
        return batch.clone()
    if isinstance(batch, np.ndarray):
        return batch.copy()
    if isinstance(batch, MutableMapping):
        copied = copy.copy(batch)  # of its own class, which may carry more than its entries
        try:
            for key, value in batch.items():
                copied[key] = _copy_batch(value)
        except TypeError:  # it cannot be changed
            return batch
        return copied
    if type(batch) in (tuple, list):
        return type(batch)(map(_copy_batch, batch))
    return batch
