"""Take features at named layers while a model runs, straight into statistics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import nn

from .._inputs.arrays import check_choice
from .._inputs.target import TASKS
from ..errors import DataError
from ._batch import AVERAGE, Plan
from ._extractor import Extractor
from ._layers import resolve, unwrapped
from ._pooling import Pool, check_pool
from ._rows import LayerRows

__all__ = ["extract"]

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
        added up in float64: right to 1e-6 but for metrics that divide by every variance
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
    return Extractor(plain, wanted, rows, plan, device, amp, outputs)
