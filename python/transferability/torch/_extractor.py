"""Features at layers of a model, on their way into statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .._metric.score import Score, Scores, issue
from .._stats.stats import Stats
from ..errors import DataError
from ._batch import AVERAGE, Batch, Plan, Taken, averaged
from ._capture import Capture
from ._compute import compute_layer, probabilities
from ._finite import FirstBad
from ._layers import Wanted
from ._rows import LayerRows
from ._run import call, device_of, modes, moved
from ._tensors import output_logits

__all__ = ["Extractor"]


class Extractor:
    """Features at layers of a model, on their way into statistics: what :func:`extract` gives.

    Attributes
    ----------
    model : torch.nn.Module
        The model, without wrappers.
    layers : tuple of str
        As they were named.
    n_samples : int
        Samples so far; a layer may have more rows, one for each token.
    """

    __module__ = "transferability.torch"

    def __init__(
        self,
        model: nn.Module,
        wanted: Sequence[Wanted],
        rows: Mapping[str, LayerRows],
        plan: Plan,
        device: object,
        amp: str | None,
        outputs: bool,
    ) -> None:
        self.model = model
        self.layers = tuple(layer.name for layer in wanted)
        self.n_samples = 0
        self._wanted = wanted
        self._rows = rows
        self._plan = plan
        self._device = device
        self._amp = amp
        self._outputs: list[NDArray[Any]] | None = [] if outputs else None
        self._capture: Capture | None = None
        self._finite = FirstBad()
        self._n_lost = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Extractor:
        """Put hooks on the layers."""
        if self._capture is not None:
            raise DataError("this extractor is open already")
        for rows in self._rows.values():
            rows.part()
        with contextlib.ExitStack() as stack:
            stack.enter_context(modes(self.model, device=self._device, amp=self._amp))
            self._capture = Capture(self.model, self._wanted, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the hooks and leave the model as it was."""
        self._capture = None
        self._stack.close()
        if error[0] is None:
            self._finite.check(None)
            if self._n_lost:
                issue(
                    [
                        f"{self._n_lost} labelled words were cut off with the end of their texts "
                        f"and do not count; raise the tokeniser's max_length"
                    ]
                )

    def update(
        self,
        inputs: Any,
        labels: Any = None,
        attention_mask: Any = None,
        word_ids: Sequence[Sequence[int | None]] | None = None,
        groups: Any = None,
    ) -> Any:
        """Run the model on a batch and take its features.

        Parameters
        ----------
        inputs : tensor, mapping or tuple
            Moved to the model's device; a mapping is passed as keywords, a tuple as arguments.
        labels : array-like or list of lists, optional
            For each sample a class or targets; with `word_ids` a list of labels of its words; for
            maps with ``pool="none"`` labels of pixels, (N, H, W). None and -100 label no row.
        attention_mask : tensor of shape (N, T), or mapping of layer to it, optional
            Default: the one that the model is given.
        word_ids : sequence of sequences, optional
            For each sample and token the number of its word, or None.
        groups : array-like of shape (N,), optional
            An id of each sample, for resampling; default: its number, where a sample makes
            several rows.

        Returns
        -------
        output
            What the model returned.

        Raises
        ------
        DataError
            If features do not fit labels or pooling, or are NaN or infinite (on a GPU some
            batches later). Nothing of this batch then counts.
        """
        capture = self._open()
        batch = Batch(self._plan, labels, attention_mask, word_ids, groups, self.n_samples)
        capture.clear()
        capture.at_once = lambda layer, x: batch.take(layer, x, capture.mask_of)
        try:
            output = call(self.model, moved(inputs, device_of(self.model)))
            self._add(batch, capture.taken(), output)
        finally:
            capture.at_once = None
            capture.clear()
        return output

    def collect(
        self,
        labels: Any = None,
        attention_mask: Any = None,
        word_ids: Sequence[Sequence[int | None]] | None = None,
        groups: Any = None,
    ) -> None:
        """Take the features of the forward pass that you just ran; parameters as for `update`."""
        capture = self._open()
        batch = Batch(self._plan, labels, attention_mask, word_ids, groups, self.n_samples)
        try:
            found = capture.taken()
            taken = {
                layer.name: batch.take(layer, found[layer.name], capture.mask_of)
                for layer in self._wanted
            }
            self._add(batch, taken, capture.output)
        finally:
            capture.clear()

    def _add(self, batch: Batch, taken: Mapping[str, Taken], output: Any) -> None:
        """Add a batch to all layers, or to none if anything is wrong with it."""
        if AVERAGE in self._rows:
            taken = {**taken, AVERAGE: averaged(taken)}
        for name in self._rows:
            self._rows[name].check(taken[name].rows, taken[name].labels)
            self._finite.see(name, taken[name].rows)
        self._finite.end_of_batch()
        if self._outputs is not None:
            self._outputs.append(batch.outputs(output_logits(output), taken[self.layers[0]]))
        for name in self._rows:
            self._rows[name].add(taken[name].rows, taken[name].labels, taken[name].groups)
        self._n_lost += taken[self.layers[0]].n_lost
        self.n_samples += batch.n_samples

    def _open(self) -> Capture:
        if self._capture is None:
            raise DataError("use extract in a with statement: with extract(model, …) as ex:")
        return self._capture

    @property
    def n_rows(self) -> dict[str, int]:
        """The number of rows of each layer so far: samples, or tokens, or positions."""
        return {name: rows.n_rows for name, rows in self._rows.items()}

    @property
    def stats(self) -> dict[str, Stats]:
        """The statistics of each layer so far."""
        self._finite.check(None)
        found = {name: rows.stats() for name, rows in self._rows.items()}
        # While more rows may come, what is given out must not change with them.
        return found if self._capture is None else {k: v.copy() for k, v in found.items()}

    @property
    def features(self) -> dict[str, NDArray[Any]]:
        """The features of each layer, (rows, D), if they were to be kept."""
        return {name: rows.features() for name, rows in self._rows.items()}

    @property
    def labels(self) -> dict[str, NDArray[Any] | None]:
        """The label of each row of each layer, if features or outputs were to be kept."""
        return {name: rows.labels() for name, rows in self._rows.items()}

    @property
    def groups(self) -> dict[str, NDArray[Any] | None]:
        """The sample, or the group that was given, of each row of each layer."""
        return {
            name: np.concatenate(rows.groups) if rows.groups else None
            for name, rows in self._rows.items()
        }

    @property
    def outputs(self) -> NDArray[Any] | None:
        """What the model gave for each row, (rows, K), if asked for: logits, usually."""
        return np.concatenate(self._outputs) if self._outputs else None

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """The softmax of the outputs; the outputs themselves if they are probabilities."""
        return None if self.outputs is None else probabilities(self.outputs)

    def compute(
        self, metrics: str | Sequence[str] = "logme", **options: Any
    ) -> dict[str, Score | Scores]:
        """Score every layer.

        Parameters
        ----------
        metrics : str or sequence of str, default="logme"
            As :meth:`transferability.Stats.score`; with ``outputs=True`` also "leep" and "nce",
            which are the same for every layer, with ``keep_features=True`` also those that need
            the samples.
        **options
            Options of the metrics.

        Returns
        -------
        scores : dict of str to Score, or to Scores for several metrics
            By layer. The best of many layers is the best by chance as well; choose a layer on
            other data than you compare models on.
        """
        outputs = self.outputs
        return {
            name: compute_layer(self._rows[name], stats, outputs, metrics, options)
            for name, stats in self.stats.items()
        }
