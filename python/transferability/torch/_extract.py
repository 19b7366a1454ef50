"""Take features at named layers while a model runs, straight into statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._input import check_choice
from .._score import Score, Scores, issue
from .._stats import Stats
from .._target import TASKS
from ..errors import DataError
from ._batch import AVERAGE, Batch, Plan, Taken, averaged
from ._capture import Capture
from ._compute import compute_layer, probabilities
from ._finite import FirstBad
from ._layers import Wanted, resolve, unwrapped
from ._pooling import Pool, check_pool
from ._rows import LayerRows
from ._run import call, device_of, modes, moved
from ._tensors import output_logits

__all__ = ["Extractor", "extract"]

_KEEP = {True: torch.float32, "float16": torch.float16, "float32": torch.float32,
         "float64": torch.float64}  # fmt: skip


def extract(
    model: nn.Module,
    layers: str | Iterable[str] = "",
    pool: Pool | Mapping[str, Pool] = "mean",
    *,
    device: object = None,
    dtype: str | None = None,
    amp: str | None = None,
    task: str = "auto",
    keep_features: bool | str = False,
    class_scatters: bool = False,
    outputs: bool = False,
    average: bool = False,
    accumulate: str = "auto",
    bio: str = "keep",
    tag_names: Sequence[str] | None = None,
    positions: int | None = None,
    ignore: Collection[int] = (),
    seed: int = 0,
    n_threads: int | None = None,
) -> Extractor:
    """Take features at layers of a model while it runs; they go straight into statistics.

    Nothing is kept but statistics of each layer, at most ``min(N, D) * D`` numbers, unless asked
    for. Within the context the model is in evaluation mode and makes no gradients; its modes, its
    device and its hooks are afterwards as they were, also after an error.

    Parameters
    ----------
    model : torch.nn.Module
        Any; wrapped by DataParallel or compiled, the module inside is used.
    layers : str or iterable of str, default=""
        Names as in ``model.named_modules()``; :func:`list_layers` shows them. "" is the model's
        own output, "name#2" the third run of a layer that runs several times.
    pool : str, callable, None or mapping of layer to these, default="mean"
        How a sample's tokens or map become one row, a key of :data:`POOLS`. 2-D features are left
        as they are, and are all that None takes. A function gets (tensor, mask or None) and gives
        a tensor, (N, D) or maps (N, C, H, W). "none" makes a row of each token or position.
    device : str or torch.device, optional
        Where the model runs; default: where it is.
    dtype : {"float32", "float64"}, optional
        Of the products of features. Default: float64 on the CPU; on a GPU float32 without TF32,
        added up in float64: right to 1e-7 but for metrics that divide by every variance
        ("h_score"), which need float64 where variances differ by more than 1e6.
    amp : {"bfloat16", "float16"}, optional
        Automatic mixed precision. Features are pooled and added up in float32.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        What the labels are; "auto" decides on the first 512 rows.
    keep_features : bool or {"float16", "float32", "float64"}, default=False
        Also keep the features, in :attr:`Extractor.features`; True is float32.
    class_scatters : bool, default=False
        As in :class:`transferability.Stats`; rows then go to the host.
    outputs : bool, default=False
        Also keep what the model gives, for LEEP and NCE, in :attr:`Extractor.outputs`.
    average : bool, default=False
        Also take the mean of all layers' rows, which must have one width, as a layer "mean".
    accumulate : {"auto", "host", "device"}, default="auto"
        Where statistics are added up: "auto" is where the features are.
    bio : {"keep", "strip"}, default="keep"
        For labels of words: "strip" makes B-PER and I-PER one class, PER.
    tag_names : sequence of str, optional
        With ``bio="strip"``, the tag that each integer label stands for.
    positions : int, optional
        For maps with ``pool="none"``: at most so many positions of each image, drawn by `seed`.
    ignore : collection of int, default=()
        For labels of pixels: those to leave out, beside -100.
    seed : int, default=0
        Of the sample of positions.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`.

    Returns
    -------
    extractor : Extractor
        A context manager.

    Raises
    ------
    DataError, DtypeError
        If an argument is wrong; a wrong layer's message offers the closest names.

    Examples
    --------
    >>> import torch
    >>> from transferability.torch import extract
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()).eval()
    >>> inputs = torch.randn(200, 4, generator=generator)
    >>> labels = (inputs[:, 0] > 0).long()
    >>> with extract(model, layers=["0", "1"]) as ex:
    ...     for start in range(0, 200, 50):
    ...         _ = ex.update(inputs[start : start + 50], labels[start : start + 50])
    >>> scores = ex.compute("logme")
    >>> list(scores), bool(scores["0"] > -0.7)
    (['0', '1'], True)
    """
    plain = unwrapped(model)
    wanted = resolve(plain, layers)
    names = [layer.name for layer in wanted]
    pools: dict[str, Pool] = dict.fromkeys(names, "mean")
    if isinstance(pool, Mapping):
        if extra := [name for name in pool if name not in pools]:
            raise DataError(f"pool names {extra[0]!r}, which is not among layers {names}")
        pools |= pool
    else:
        pools = dict.fromkeys(names, pool)
    for kind in pools.values():
        check_pool(kind)
    check_choice("task", task, ("auto", *TASKS))
    check_choice("bio", bio, ("keep", "strip"))
    check_choice("accumulate", accumulate, ("auto", "host", "device"))
    if dtype not in (None, "float32", "float64"):
        raise DataError(f"dtype is {dtype!r}; choose from None, 'float32', 'float64'")
    if keep_features and keep_features not in _KEEP:
        raise DataError(f"keep_features is {keep_features!r}; choose from {[False, *_KEEP]}")
    if positions is not None and positions < 1:
        raise DataError(f"positions is {positions}; give at least 1, or None for all")
    if average and AVERAGE in names:
        raise DataError(f"average=True makes a layer {AVERAGE!r}, and the model has one")
    rows = {
        name: LayerRows(
            name,
            task,
            accumulate=accumulate,
            dtype=dtype,
            class_scatters=class_scatters,
            n_threads=n_threads,
            keep=_KEEP[keep_features] if keep_features else None,
            keep_labels=outputs,
        )
        for name in (*names, *([AVERAGE] if average else []))
    }
    plan = Plan(pools, bio, tag_names, positions, tuple(ignore), seed)
    return Extractor(plain, wanted, rows, plan, task, device, amp, outputs)


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

    def __init__(
        self,
        model: nn.Module,
        wanted: Sequence[Wanted],
        rows: Mapping[str, LayerRows],
        plan: Plan,
        task: str,
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
        self._task = task
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
