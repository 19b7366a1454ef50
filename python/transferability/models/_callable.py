"""A user's function from raw items to features, as a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from . import _fingerprint
from ._model import Model
from ._spec import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["CallableModel"]


class CallableModel(Model):
    """A function from a list of raw items to an array of shape (n_samples, ...).

    The array is the layer "output". A function with several layers returns a dict of arrays by
    name and has an attribute ``layers``, a sequence of these names; the last is the default. An
    attribute ``kind`` is the kind of its items, "array" by default.
    """

    def __init__(self, spec: str, function: Callable[..., Any]) -> None:
        layers = tuple(getattr(function, "layers", ("output",)))
        super().__init__(
            spec, _NoPreprocessing(str(getattr(function, "kind", "array"))), layers, layers[-1]
        )
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


class _NoPreprocessing:
    """Pass items on unchanged."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, raw: Sequence[Any]) -> list[Any]:
        return list(raw)

    def config(self) -> dict[str, object]:
        return {"preprocessing": "none"}
