"""Run a model on batches, and accumulate the features of its layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .._inputs.types import DeviceLike
from .._metric.score import Score, Scores, issue
from .._stats.stats import Stats
from ..errors import DataError
from ._bags import BagRows, Levels, OutputRows
from ._batch import AVERAGE, Batch, LayerBatch, Pooled, RowOptions, average_layers
from ._capture import Capture
from ._compute import score_layer, to_class_probabilities
from ._finite import FiniteCheck
from ._layers import LayerRequest
from ._pooling import join_name
from ._rows import AccumulationOptions, LayerRows
from ._run import call, evaluation_mode, find_device, move_batch
from ._tensors import select_logits

__all__ = ["Extractor"]


class Extractor:
    """Accumulate features at layers of a model into statistics; created by :func:`extract`.

    Attributes
    ----------
    model : torch.nn.Module
        The model, without wrappers.
    layers : tuple of str
        The names of the layers, as given.
    parts : dict of str to (str, str or None)
        The layer and pooling of each result, by its name: "layer/pooling", or "layer" with one
        pooling. Where names follow from shapes, those of the first batch.
    n_samples : int
        Number of samples so far. A layer may have more rows, such as one for each token.
    """

    __module__ = "transferability.torch"

    def __init__(
        self,
        model: nn.Module,
        wanted: Sequence[LayerRequest],
        sums: AccumulationOptions,
        row_options: RowOptions,
        device: DeviceLike,
        amp: str | None,
        average: bool,
    ) -> None:
        self.model = model
        self.layers = tuple(layer.name for layer in wanted)
        self.n_samples = 0
        self._wanted = wanted
        self._sums = sums
        self._row_options = row_options
        self._device = device
        self._amp = amp
        self._average = average
        levels, adjacent = row_options.bag_pools, row_options.adjacent_bags
        self._outputs = OutputRows(levels, adjacent) if sums.keep_labels else None
        self._is_planned = False  # names follow from the shapes of the first batch
        names = {layer.name: row_options.pools[layer.name].labels() for layer in wanted}
        if average:
            names[AVERAGE] = tuple(dict.fromkeys(label for own in names.values() for label in own))
        #: The layer and pooling of each name; None for the pooling if there is only one row.
        self.parts = _name_parts(names)
        self._rows = self._new_rows()
        #: Names of results whose features are 2-D, so that no pooling applied.
        self.unpooled: frozenset[str] = frozenset()
        self._capture: Capture | None = None
        self._finite = FiniteCheck()
        #: Returns how errors call the sample at a position in the data; None for the default.
        self.name_sample: Callable[[int], str] | None = None
        self._n_lost = self._n_empty = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Extractor:
        """Prepare the model, and register the hooks."""
        if self._capture is not None:
            raise DataError("this extractor is open already")
        for rows in self._rows.values():
            rows.detach()
        with contextlib.ExitStack() as stack:
            stack.enter_context(evaluation_mode(self.model, device=self._device, amp=self._amp))
            self._capture = Capture(self.model, self._wanted, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the hooks, and restore the model."""
        self._capture = None
        self._stack.close()
        if error[0] is None:
            self._finite.check()
            if self._n_lost:
                text = (
                    f"{self._n_lost} labelled words were cut off with the end of their texts and "
                    f"do not count; raise the tokeniser's max_length"
                )
                issue([text])
            if self._n_empty:
                text = (
                    f"{self._n_empty} labelled words have no token of their own, such as empty "
                    f"words or spaces, and do not count"
                )
                issue([text])

    def update(
        self,
        inputs: Any,
        labels: Any = None,
        attention_mask: Any = None,
        word_ids: Sequence[Sequence[int | None]] | None = None,
        groups: Any = None,
        samples: Sequence[int] | None = None,
        bags: Any = None,
    ) -> Any:
        """Run the model on a batch, and add the features of its layers.

        Parameters
        ----------
        inputs : tensor, mapping or tuple
            Moved to the device of the model. A mapping is passed as keywords, a tuple as arguments.
        labels : array-like or list of lists, optional
            A class or targets of each sample; with `word_ids`, a list of labels of its words; for
            maps with ``pool="none"``, labels of pixels, (N, H, W). Words, tokens and pixels with
            the label None or -100 make no row.
        attention_mask : tensor of shape (N, T), or mapping of layer to it, optional
            Default: the mask that the model receives.
        word_ids : sequence of sequences, optional
            The index of the word of each token of each sample; None for special tokens.
        groups : array-like of shape (N,), optional
            A group id of each sample, for resampling. Default: the index of the sample, if samples
            make several rows.
        samples : sequence of int, optional
            The position of each sample in the data, if batches have another order, such as that of
            the lengths of texts. Rows are then held until :meth:`add_held` adds them in the order
            of the data.
        bags : array-like of shape (N,), or tuple of these, optional
            With `bag_pool`: the id of the bag of each sample, an integer or a string. The samples
            of a bag have one label, and become one row. They may come in several batches.

        Returns
        -------
        output : object
            The output of the model.

        Raises
        ------
        DataError
            If features do not fit labels or pooling, or are NaN or infinite. On the CPU, no row of
            this batch is then added. On a GPU, NaN and infinity are found some batches later.
        """
        capture, batch = self._begin_batch(labels, attention_mask, word_ids, groups, samples, bags)
        capture.clear()
        capture.transform = lambda layer, x: batch.take(layer, x, capture.find_mask)
        try:
            output = call(self.model, move_batch(inputs, find_device(self.model)))
            self._add(batch, capture.outputs(), output)
        finally:
            capture.transform = None
            capture.clear()
        return output

    def collect(
        self,
        labels: Any = None,
        attention_mask: Any = None,
        word_ids: Sequence[Sequence[int | None]] | None = None,
        groups: Any = None,
        bags: Any = None,
    ) -> None:
        """Add the features of the caller's last forward pass; parameters as for `update`.

        Parameters
        ----------
        labels, attention_mask, word_ids, groups, bags
            As in :meth:`update`.
        """
        capture, batch = self._begin_batch(labels, attention_mask, word_ids, groups, None, bags)
        try:
            found = capture.outputs()
            taken = {
                layer.name: batch.take(layer, found[layer.name], capture.find_mask)
                for layer in self._wanted
            }
            self._add(batch, taken, capture.output)
        finally:
            capture.clear()

    def _add(self, batch: Batch, pooled: Mapping[str, Pooled], output: Any) -> None:
        """Add a batch to all layers, or to none if a check fails."""
        if self._capture is not None:
            self._capture.warn_of_padding()
        if self._average:
            pooled = {**pooled, AVERAGE: average_layers(pooled)}
        self._plan(pooled)
        if not self.n_samples:
            self.unpooled = frozenset(
                name
                for name, (layer, _) in self.parts.items()
                if layer in batch.flat or (self._average and layer == AVERAGE and batch.all_flat)
            )
        taken = {name: pooled[layer][label] for name, (layer, label) in self.parts.items()}
        first = next(iter(taken.values()))
        levels: dict[str, Levels] = {}
        n_levels = len(self._row_options.bag_pools)
        for name, rows in self._rows.items():
            own = taken[name]
            if isinstance(rows, BagRows):
                levels[name] = batch.levels(name, own, n_levels)
                rows.check(own.rows, own.labels, levels[name])
            else:
                rows.check(own.rows, own.labels)
            self._finite.inspect(name, own.rows, self._name_rows(batch, own))
        self._finite.end_of_batch()
        orders = {name: batch.order_of(taken[name]) for name in self._rows}
        if self._outputs is not None:
            outputs, of_first = batch.outputs(select_logits(output), first), next(iter(levels), "")
            self._outputs.add(outputs, levels.get(of_first), batch.order_of(first))
        for name, rows in self._rows.items():
            own, order = taken[name], orders[name]
            beside: Any = levels.get(name, own.groups)
            if order is None:
                rows.add(own.rows, own.labels, beside)
            else:
                rows.hold(own.rows, own.labels, beside, order)
        if first.selection is not None:
            self._n_lost += first.selection.n_lost
            self._n_empty += first.selection.n_empty
        self.n_samples += batch.n_samples

    def add_held(self) -> None:
        """Add the rows that `update` holds, in the order of the positions given as `samples`."""
        for rows in (*self._rows.values(), *((self._outputs,) if self._outputs else ())):
            rows.add_held()

    def _name_rows(self, batch: Batch, own: LayerBatch) -> Callable[[int], str] | None:
        """Return a function that names the sample of a row; None if the batch is all it knows."""
        name = self.name_sample
        if name is None and batch.order_of(own) is None:
            return None
        name = name or (lambda position: f"sample {position} of the data")
        return lambda row: name(int(batch.positions_of(own)[row]))

    def _plan(self, pooled: Mapping[str, Pooled]) -> None:
        """Name the poolings of each layer by the first batch; refuse a later one that differs."""
        parts = _name_parts({layer: tuple(own) for layer, own in pooled.items()})
        if self._is_planned and parts != self.parts:
            raise DataError(
                f"this batch gives {', '.join(parts)}, and earlier ones gave "
                f"{', '.join(self.parts)}; a layer must give features of as many axes each time"
            )
        if parts != self.parts:
            self.parts = parts
            self._rows = self._new_rows()
        self._is_planned = True

    def _new_rows(self) -> dict[str, LayerRows | BagRows]:
        options = self._row_options
        found: dict[str, LayerRows | BagRows] = {}
        for name in self.parts:
            rows = LayerRows(name, self._sums)
            levels = options.bag_pools
            found[name] = BagRows(rows, levels, options.adjacent_bags) if levels else rows
        return found

    def _begin_batch(
        self,
        labels: Any,
        mask: Any,
        words: Any,
        groups: Any,
        samples: Sequence[int] | None,
        bags: Any,
    ) -> tuple[Capture, Batch]:
        if self._capture is None:
            raise DataError("use extract in a with statement: with extract(model, …) as ex:")
        if (bags is None) == bool(self._row_options.bag_pools):
            raise DataError("bags and bag_pool go together: give both, or neither")
        given = (labels, mask, words, groups, samples, bags)
        return self._capture, Batch(self._row_options, self.n_samples, *given)

    def _closed(self) -> dict[str, LayerRows]:
        """Return the rows of all layers, with all that are held, and all bags pooled."""
        self.add_held()
        return {
            name: rows.close() if isinstance(rows, BagRows) else rows
            for name, rows in self._rows.items()
        }

    @property
    def n_rows(self) -> dict[str, int]:
        """The number of rows of each layer so far, before bags, without those that are held."""
        return {name: rows.n_rows for name, rows in self._rows.items()}

    @property
    def stats(self) -> dict[str, Stats]:
        """The statistics of each layer so far."""
        self._finite.check()
        found = {name: rows.stats() for name, rows in self._closed().items()}
        # While the context is open, further rows must not change statistics already returned.
        return found if self._capture is None else {k: v.copy() for k, v in found.items()}

    @property
    def features(self) -> dict[str, NDArray[Any]]:
        """The features of each layer, (n_rows, D); needs ``keep_features``."""
        return {name: rows.features() for name, rows in self._closed().items()}

    @property
    def labels(self) -> dict[str, NDArray[Any] | None]:
        """The label of each row of each layer; None unless ``keep_features`` or ``outputs``."""
        return {name: rows.labels() for name, rows in self._closed().items()}

    @property
    def groups(self) -> dict[str, NDArray[Any] | None]:
        """The group of each row of each layer, by default its sample; None without groups."""
        self.add_held()
        return {
            name: np.concatenate(rows.groups) if rows.groups else None
            for name, rows in self._rows.items()
        }

    @property
    def outputs(self) -> NDArray[Any] | None:
        """The outputs of the model, usually logits, for each row, (n_rows, K); None if not kept."""
        return None if self._outputs is None else self._outputs.array()

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """The softmax of the outputs, or the outputs themselves if they are probabilities."""
        return None if self.outputs is None else to_class_probabilities(self.outputs)

    def compute(
        self, /, metrics: str | Sequence[str] = "logme", **options: Any
    ) -> dict[str, Score | Scores]:
        """Score every layer.

        Parameters
        ----------
        metrics : str or sequence of str, default="logme"
            As :meth:`transferability.Stats.score` takes them. With ``outputs=True`` also "leep" and
            "nce", which are the same for every layer. With ``keep_features=True`` also metrics that
            need the samples.
        **options
            Options of the metrics.

        Returns
        -------
        scores : dict of str to Score, or to Scores for several metrics
            By layer, higher is better. The maximum over many layers is biased upwards: choose the
            layer on one part of the data, and compare models on another.

        Raises
        ------
        DataError, DtypeError
            If a metric does not apply, or an option is unknown.
        """
        outputs = self.outputs
        return {
            name: score_layer(self._closed()[name], stats, outputs, metrics, options)
            for name, stats in self.stats.items()
        }


def _name_parts(
    labels: Mapping[str, Sequence[str | None]],
) -> dict[str, tuple[str, str | None]]:
    """Return the layer and the label of its pooling by their name."""
    parts: dict[str, tuple[str, str | None]] = {}
    for layer, own in labels.items():
        for label in own:
            name = join_name(layer, label)
            if name in parts:
                raise DataError(f"two results would be named {name!r}; choose one of these layers")
            parts[name] = (layer, label)
    return parts
