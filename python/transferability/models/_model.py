"""A model that can be scored: what it takes, how it runs, where its features are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from . import _fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Model", "TorchModel", "choose_device"]


class Model:
    """A model opened by :func:`transferability.models.open_model`.

    Attributes
    ----------
    spec : str
        What opens it again.
    name : str
        What it is called in a ranking: `spec` without its options, if it was given by name.
    kind : {"image", "text", "array", "saved"}
        What raw items are: images (files, PIL images, arrays of bytes), texts (str, pairs of
        str as tuples, lists of words), arrays of numbers; "saved" takes row numbers.
    module : torch.nn.Module or None
        Where hooks go; None where :meth:`features` gives the features.
    layers : tuple of str
        What "all" means: the output of the embeddings or stem, and of each block after it.
    default_layer : str
        The layer that is scored if none is asked for: the one before the classifier, or the last.
    default_pool : str
        How rows are pooled if nothing is said, as the model was trained where that is known.
        Outputs that have two dimensions need no pooling.
    """

    module: Any = None

    def __init__(
        self,
        spec: str,
        inputs: Any,
        layers: Sequence[str],
        default_layer: str,
        default_pool: str = "mean",
        facts: Mapping[str, object] | None = None,
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
        """Tokens after which texts are cut; None for other models, and where nothing is cut."""
        return getattr(self.inputs, "max_length", None)

    def collate(self, raw: Sequence[Any]) -> Any:
        """Preprocess raw items to a batch on the CPU, as the model's own library does.

        Parameters
        ----------
        raw : sequence
            Items of :attr:`kind`; one is enough.

        Returns
        -------
        batch : mapping of str to Tensor, or Tensor
        """
        if len(raw) == 0:
            raise DataError("a batch has no items; give at least one")
        return self.inputs(raw)

    def run(self, batch: Any) -> Any:
        """Run the model on a batch; hooks see the layers' outputs."""
        raise DataError(f"{self.spec} is no torch module; ask it for features(batch, layers)")

    def moved(self, batch: Any) -> Any:
        """Bring a batch to where the model runs, as ``extract(...).update`` takes it.

        A mapping is keywords, a tuple is arguments, anything else is the one argument.
        """
        return batch

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Give layers' outputs, unpooled, of a model that is not a torch module.

        Parameters
        ----------
        batch : object
            From :meth:`collate`.
        layers : sequence of str
            Among :attr:`layers`, or others that the source knows.

        Returns
        -------
        features : dict of str to ndarray of shape (n_samples, ...)
        """
        raise DataError(f"{self.spec} is a torch module; take its features with hooks")

    def attention_mask(self, batch: Any) -> Any:
        """Tell tokens (1) from padding (0): (n_samples, length), or None without padding."""
        return None

    def word_ids(self, batch: Any) -> list[list[int | None]] | None:
        """Tell which word each token is of, None for special tokens; None for other batches."""
        return None

    def fingerprint(self) -> str:
        """Give a digest of all that this model's numbers depend on.

        Equal for equal weights, structure, preprocessing and library versions, wherever they are
        stored and whatever they are called.
        """
        return self._digest

    def close(self) -> None:
        """Leave a given module as it was; the model can then no longer be used."""

    @cached_property
    def _digest(self) -> str:
        return _fingerprint.digest(self._content(), self.inputs.config(), self.facts)

    def _content(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        """Show what it is and where it is read."""
        return (
            f"{type(self).__name__}({self.spec!r}, kind={self.kind!r}, {len(self.layers)} layers, "
            f"default_layer={self.default_layer!r}, default_pool={self.default_pool!r})"
        )


class TorchModel(Model):
    """A model whose features hooks take.

    Parameters
    ----------
    packed : bool, default=False
        Whether the module takes a batch that is a mapping as one argument, not as keywords.
    taps : Taps, optional
        Names put into the module, see :mod:`transferability.models._taps`.
    """

    def __init__(
        self,
        spec: str,
        module: Any,
        inputs: Any,
        layers: Sequence[str],
        default_layer: str,
        default_pool: str = "mean",
        facts: Mapping[str, object] | None = None,
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
        """Bring a batch to the model's device and number format, as the module takes it."""
        if not isinstance(batch, Mapping):
            return self._moved(batch)
        moved = {key: self._moved(value) for key, value in batch.items()}
        return (moved,) if self._packed else moved

    def run(self, batch: Any) -> Any:
        """Run the model on a batch; hooks see the layers' outputs."""
        inputs = self.moved(batch)
        if isinstance(inputs, tuple):
            return self.module(*inputs)
        return self.module(**inputs) if isinstance(inputs, Mapping) else self.module(inputs)

    def attention_mask(self, batch: Any) -> Any:
        """Tell tokens (1) from padding (0): (n_samples, length), or None without padding."""
        return batch.get("attention_mask") if isinstance(batch, Mapping) else None

    def word_ids(self, batch: Any) -> list[list[int | None]] | None:
        """Tell which word each token is of, None for special tokens; None for other batches."""
        encodings = getattr(batch, "encodings", None)
        if not encodings:
            return None
        return [batch.word_ids(i) for i in range(len(encodings))]

    def close(self) -> None:
        """Leave a given module as it was; the model can then no longer be used."""
        if self._taps is not None:
            self._taps.remove()

    def _content(self) -> str:
        return _fingerprint.of_module(self.module)

    def _moved(self, value: Any) -> Any:
        import torch

        if not isinstance(value, torch.Tensor):
            return value
        first = next(self.module.parameters(), None)
        dtype = first.dtype if first is not None and value.is_floating_point() else None
        return value.to(self.device, dtype, non_blocking=True)


def choose_device(device: Any = None) -> Any:
    """Give the torch device that is asked for, or the GPU where there is one, or the CPU."""
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise DataError(f"device is {device!r}; give for example 'cpu' or 'cuda:0'") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise DataError(f"device is {str(device)!r}, but torch finds no GPU here; give 'cpu'")
    return chosen
