"""Validate the arguments of feature extraction, and build its Extractor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .._data.bags import BAG_POOLS
from .._inputs.arguments import check_counts, check_switches, read_ignored
from .._inputs.arrays import check_choice
from .._inputs.target import TASKS
from .._inputs.types import DeviceLike
from .._util.threads import resolve_threads
from ..errors import DataError
from ._batch import AVERAGE, RowOptions
from ._extractor import Extractor
from ._layers import resolve_layers, unwrap
from ._names import check_amp
from ._pooling import Pools, read_pools
from ._rows import AccumulationOptions
from ._run import read_device

__all__ = ["extract"]

_KEEP = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


def extract(
    model: nn.Module,
    layers: str | Iterable[str] = "",
    pool: Pools | Mapping[str, Pools] = "mean",
    *,
    device: DeviceLike = None,
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
    bag_pool: str | Sequence[str] | None = None,
    adjacent_bags: bool = False,
    n_threads: int | None = None,
) -> Extractor:
    """Extract features at layers of a running model into statistics.

    Forward hooks record the features. Only statistics of each layer are kept, at most
    ``min(N, D) * D`` numbers, unless `keep_features` or `outputs` is given. Within the context the
    model is in evaluation mode without gradients. At the end, also after an error, its modes and
    its device are restored, and the hooks are removed.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. DataParallel, DistributedDataParallel and torch.compile are unwrapped.
    layers : str or iterable of str, default=""
        Names as in ``model.named_modules()``; :func:`list_layers` lists them. "" is the output of
        the model, and "name#2" is the third run of a layer that runs several times.
    pool : str, callable, None, sequence or mapping of layer to these, default="mean"
        Pooling of tokens or maps to one row per sample: a key of :data:`POOLS`, or a function of
        (tensor, mask or None) that returns (N, D) or maps (N, C, H, W). "none" makes a row of each
        token or position. None allows only 2-D features, which are never pooled. A sequence such as
        ``["cls", "mean"]`` takes several from one pass, and "all" those that fit the shape of a
        layer. Results are then named "layer/pooling", or "layer" where features are 2-D.
    device : str or torch.device, optional
        Where the model runs. Default: its current device.
    dtype : {"float32", "float64"}, optional
        Precision of products of features. Default: float64 on the CPU; on a GPU float32 without
        TF32, summed in float64. Scores then have errors of at most 1e-6. "h_score" divides by every
        variance, and needs float64 where variances differ by a factor of more than 1e6.
    amp : {"bfloat16", "float16"}, optional
        Automatic mixed precision. Features are pooled in float32.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        Kind of the labels; "auto" infers it from all rows when a score is asked for.
    keep_features : bool or {"float16", "float32", "float64"}, default=False
        Also keep the features, in :attr:`Extractor.features`; True is float32, or
        float64 for features that are.
    class_scatters : bool, default=False
        As in :class:`transferability.Stats`; statistics are then accumulated on the host.
    outputs : bool, default=False
        Also keep the outputs of the model, in :attr:`Extractor.outputs`, for LEEP and NCE.
    average : bool, default=False
        Also add a layer "mean", the average of all layers, which must have the same width.
    accumulate : {"auto", "host", "device"}, default="auto"
        Where statistics are accumulated; "auto" is the device of the features.
    bio : {"keep", "strip"}, default="keep"
        For labels of words: "strip" merges B-PER and I-PER to one class, PER, if the tags are one
        chunk scheme (BIO, IOB1, IOE, BIOES, BILOU, BMES, BMEWO; also B_PER or PER-B).
    tag_names : sequence of str, optional
        With ``bio="strip"``, the tag of each integer label. The scheme is decided on these names,
        without them on the first 512 rows.
    positions : int, optional
        For maps with ``pool="none"``: the maximum number of positions of an image, drawn at random.
    ignore : collection of int, default=()
        For labels of pixels: labels to leave out, in addition to -100.
    seed : int, default=0
        Seed of the draw of positions.
    bag_pool : str, optional
        Pool samples to bags, whose ids :meth:`Extractor.update` then takes as `bags`: "mean",
        "max", "mean_std", "mean_max" or "logsumexp", as in :func:`transferability.pool_bags`. A
        sequence pools in levels, the inner first; `bags` is then a tuple of as many.
    adjacent_bags : bool, default=False
        Whether a bag ends where another one begins. Memory then holds one row of each bag in a
        batch; otherwise one row of every bag, or two, until results are read.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`.

    Returns
    -------
    extractor : Extractor
        A context manager.

    Raises
    ------
    DataError, DtypeError
        If an argument is invalid. The message for an unknown layer suggests the closest names.

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
    plain = unwrap(model)
    wanted = resolve_layers(plain, layers)
    names = [layer.name for layer in wanted]
    by_layer: Mapping[str, Pools] = (
        pool if isinstance(pool, Mapping) else dict.fromkeys(names, pool)
    )
    if extra := [name for name in by_layer if name not in names]:
        raise DataError(f"pool names {extra[0]!r}, which is not among layers {names}")
    pools = {name: read_pools(by_layer.get(name, "mean")) for name in names}
    levels: tuple[Any, ...] = (bag_pool,)
    if bag_pool is None or isinstance(bag_pool, (list, tuple)):
        levels = tuple(bag_pool or ())
    for level in levels:
        check_choice("bag_pool", level, tuple(BAG_POOLS))
    check_choice("task", task, ("auto", *TASKS))
    check_choice("bio", bio, ("keep", "strip"))
    check_choice("accumulate", accumulate, ("auto", "host", "device"))
    if dtype is not None:
        check_choice("dtype", dtype, ("float32", "float64"))
    check_amp(amp)
    there = None if device is None else read_device(device)
    is_kept = isinstance(keep_features, bool)
    if not is_kept and not (isinstance(keep_features, str) and keep_features in _KEEP):
        raise DataError(f"keep_features is {keep_features!r}; choose from {[False, True, *_KEEP]}")
    check_counts(positions=positions)
    check_counts(0, seed=seed)
    check_switches(
        class_scatters=class_scatters, outputs=outputs, average=average, adjacent_bags=adjacent_bags
    )
    if n_threads is not None:
        resolve_threads(n_threads)
    if average and AVERAGE in names:
        raise DataError(f"average=True makes a layer {AVERAGE!r}, and the model has one")
    keep = keep_features if isinstance(keep_features, bool) else _KEEP[keep_features]
    sums = AccumulationOptions(
        task, accumulate, dtype, class_scatters, n_threads, keep, outputs, bio == "strip", tag_names
    )
    options = RowOptions(
        pools, bio, tag_names, positions, read_ignored(ignore), seed, levels, adjacent_bags
    )
    return Extractor(plain, wanted, sums, options, there, amp, average)
