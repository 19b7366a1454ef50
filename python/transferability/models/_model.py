"""Models that can be scored: preprocessing, forward pass, layers and fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._inputs import Preprocessing

__all__ = ["Model", "TorchModel", "choose_device"]


class Model:
    """A model opened by :func:`transferability.models.open_model`.

    A subclass that is not a ``TorchModel`` implements :meth:`features` and
    :meth:`hash_content`.

    Attributes
    ----------
    spec, name : str
        Name that opens the model again, and the same without options, for rankings.
    kind : {"image", "text", "audio", "array", "saved"}
        Type of raw items: images (files, PIL images, arrays of bytes), texts (str, pairs of str
        as tuples, lists of words), sounds (files, dicts with "array" and "sampling_rate"), arrays
        of numbers, or row numbers of saved features.
    module : torch.nn.Module or None
        Module whose layers are read by hooks; None if :meth:`features` returns the features.
    layers : tuple of str
        The layers of ``layers="all"``: the output of the stem or embeddings, and of each block.
    default_layer, default_pool : str
        The layer to score by default: the input of the classifier, or the last layer. Its pooling:
        as in training, if known. Two-dimensional outputs are not pooled.
    inputs : Preprocessing
        Converts raw items to batches: ``Texts``, ``Images``, ``Sounds``, ``Arrays``, or an object
        like these.
    facts : dict
        Versions and settings, as JSON values, that are part of the fingerprint.
    """

    module: Any = None
    #: Whether the caller has the module too: nothing made for inference alone may stay in it.
    is_shared = False

    def __init__(
        self,
        spec: str,
        inputs: Preprocessing,
        layers: Sequence[str],
        default_layer: str,
        default_pool: str = "mean",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.partition("?")[0]
        self.inputs = inputs
        self.kind: str = inputs.kind
        self.layers = tuple(layers)
        self.default_layer = default_layer
        self.default_pool = default_pool
        self.facts = dict(facts or {})

    @property
    def max_length(self) -> int | None:
        """Maximum number of tokens of a text; None without a limit and for other kinds of items."""
        return getattr(self.inputs, "max_length", None)

    @property
    def batch_size(self) -> int | None:
        """Number of items in a batch by default; None if those beside an item do not matter."""
        return getattr(self.inputs, "batch_size", None)

    def collate(self, raw: Sequence[Any]) -> Any:
        """Preprocess one or more raw items of `kind` to a batch on the CPU.

        A batch is a Tensor or a mapping of str to Tensor; for user functions, any object.

        Parameters
        ----------
        raw : sequence
            Items of `kind`.
        """
        if len(raw) == 0:
            raise DataError("a batch has no items; give at least one")
        return self.inputs(raw)

    def run(self, batch: Any) -> Any:
        """Run the forward pass on a batch, so that hooks receive the outputs of layers.

        Parameters
        ----------
        batch : Tensor, mapping or object
            A batch of :meth:`collate`.
        """
        raise DataError(f"{self.spec} is no torch module; ask it for features(batch, layers)")

    def moved(self, batch: Any) -> Any:
        """Move a batch to the model's device, as ``extract(...).update`` takes it.

        The module gets a mapping as keyword arguments, a tuple as positional arguments, and
        anything else as its only argument.

        Parameters
        ----------
        batch : Tensor, mapping or object
            A batch of :meth:`collate`.
        """
        return batch

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Compute the unpooled outputs of layers, for a model that is not a torch module.

        The arrays by layer have shape (n_samples, ...).

        Parameters
        ----------
        batch : object
            A batch of :meth:`collate`.
        layers : sequence of str
            Names from `layers`, or others that the source knows. Any other raises DataError.
        """
        raise DataError(f"{self.spec} is a torch module; take its features with hooks")

    def attention_mask(self, batch: Any) -> Any:
        """Return 1 for tokens and 0 for padding, (n_samples, length); None without tokens.

        Parameters
        ----------
        batch : Tensor, mapping or object
            A batch of :meth:`collate`.
        """
        return batch.get("attention_mask") if isinstance(batch, Mapping) else None

    def word_ids(self, batch: Any) -> list[list[int | None]] | None:
        """Return the index of each token's word, None for special tokens; None without words.

        Parameters
        ----------
        batch : Tensor, mapping or object
            A batch of :meth:`collate`.
        """
        words: list[list[int | None]] | None = getattr(batch, "word_of_token", None)
        encodings = getattr(batch, "encodings", None)
        if words is None and encodings:  # a batch of the user's own preprocessing
            return [batch.word_ids(i) for i in range(len(encodings))]
        return words

    def fingerprint(self) -> str:
        """Return a hash of the model's weights, structure, code, preprocessing and libraries.

        It does not depend on names and paths. Of a module that the caller has too, which training
        may change, it is computed at each call.
        """
        if self.is_shared:
            self.__dict__.pop("_digest", None)
        return self._digest

    def close(self) -> None:
        """Remove the modules inserted to read layers; the model cannot be used afterwards."""

    @cached_property
    def _digest(self) -> str:
        return _fingerprint.hash_values(self.hash_content(), self.inputs.config(), self.facts)

    def hash_content(self) -> str:
        """Hash the weights, structure and code of the model, for :meth:`fingerprint`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the name, the kind of items and the default layer and pooling."""
        return (
            f"{type(self).__name__}({self.spec!r}, kind={self.kind!r}, {len(self.layers)} layers, "
            f"default_layer={self.default_layer!r}, default_pool={self.default_pool!r})"
        )


class TorchModel(Model):
    """A model that is a torch module; forward hooks read its features.

    If `packed`, the module takes a batch that is a mapping as one argument, not as keywords.
    :meth:`close` removes the `taps`. The module is moved to `device`, by default the GPU if there
    is one.
    """

    def __init__(
        self,
        spec: str,
        module: Any,
        inputs: Preprocessing,
        layers: Sequence[str],
        default_layer: str,
        default_pool: str = "mean",
        facts: Mapping[str, Any] | None = None,
        *,
        packed: bool = False,
        taps: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__(spec, inputs, layers, default_layer, default_pool, facts)
        self._packed, self._taps = packed, taps
        try:
            self.device = choose_device(device)
            self.module = module.to(self.device)
        except BaseException:
            self.close()
            raise

    def moved(self, batch: Any) -> Any:
        """Move a batch to the module's device, and numbers to its floating-point format."""
        if not isinstance(batch, Mapping):
            return self._moved(batch)
        moved = {key: self._moved(value) for key, value in batch.items()}
        return (moved,) if self._packed else moved

    def run(self, batch: Any) -> Any:
        """Run the forward pass on a batch, so that hooks receive the outputs of layers."""
        inputs = self.moved(batch)
        if isinstance(inputs, tuple):
            return self.module(*inputs)
        return self.module(**inputs) if isinstance(inputs, Mapping) else self.module(inputs)

    def close(self) -> None:
        """Remove the modules inserted to read layers; the model cannot be used afterwards."""
        if self._taps is not None:
            self._taps.remove()

    def hash_content(self) -> str:
        """Hash the tensors, structure and code of the module."""
        return _fingerprint.hash_module(self.module)

    def _moved(self, value: Any) -> Any:
        import torch

        if not isinstance(value, torch.Tensor):
            return value
        # Quantised weights and counters are integers, and say nothing of the inputs.
        found = (
            p.dtype for p in self.module.parameters() if p.is_floating_point() or p.is_complex()
        )
        dtype = next(found, None) if value.is_floating_point() else None
        return value.to(self.device, dtype, non_blocking=True)


def choose_device(device: Any = None) -> Any:
    """Return the requested torch device; by default the GPU if there is one, else the CPU."""
    need("torch", extra="hub", what="running a model")
    from ..torch._run import read_device

    return read_device(device)
