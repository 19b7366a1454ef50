"""Validate the arguments of ``rank_models`` that concern all models, before any is loaded.

Those of the extraction itself are validated by ``ExtractionOptions``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .._data.bags import BAG_POOLS
from .._data.data import MEDIA, Data
from .._data.item_labels import SEGMENTATION
from .._inputs.arrays import check_choice, instance_of
from ..errors import DataError, DtypeError, TransferabilityError
from ..torch._names import ALL, OF_POSITIONS, OF_WORDS
from .fork_server import get_server
from .job import ExtractionOptions, Report
from .layer_scores import AGGREGATES
from .subprocess import ProcessDied, TaskFailed, run_isolated

__all__ = ["check_choices", "check_device", "check_fit"]


def check_choices(
    aggregate: object, bio: object, bag: object, bag_pool: object, cache: object, progress: object
) -> None:
    """Raise an error for a value of one of these arguments that no sweep can use."""
    check_choice("aggregate", aggregate, AGGREGATES)
    check_choice("bio", bio, ("strip", "keep"))
    check_choice("bag_pool", bag_pool, tuple(BAG_POOLS))
    if bag is None and bag_pool != "mean":
        raise DataError(
            f"bag_pool is {bag_pool!r}, and there are no bags; give bag, or leave it out"
        )
    if cache is not None and not isinstance(cache, (bool, str, os.PathLike)):
        raise DtypeError(f"cache is {cache!r}; give True, False, or the path of a folder")
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise DtypeError(f"progress is {progress!r}; give True, False, or a function")


def check_fit(extraction: ExtractionOptions, task: str, data: Data | None = None) -> None:
    """Raise DataError if no model can extract rows as asked from items with such labels.

    Without `data`, check what the task alone decides.
    """
    pools = [name for name in extraction.pool_names() if name != ALL]
    per_item = [name for name in pools if name not in OF_POSITIONS]
    if task == SEGMENTATION and per_item:
        raise DataError(
            f"pool={per_item[0]!r} makes one row of each picture, and in a segmentation each "
            f"position has a label; leave pool out"
        )
    if data is None:
        return
    is_windowed = extraction.window is not None
    if is_windowed and (data.kind in MEDIA or data.is_token or task == SEGMENTATION):
        raise DataError(
            "window cuts texts and series; leave it out for pictures and sounds, and for labels of "
            "words or pixels"
        )
    if data.is_token and (others := [name for name in pools if name not in OF_WORDS]):
        raise DataError(
            f"pool={others[0]!r} does not make one row of each word, and here each word has a "
            f"label; choose from {', '.join(map(repr, OF_WORDS))}"
        )
    if not data.is_token and (of_words := [name for name in pools if name.endswith("_subword")]):
        raise DataError(
            f"pool={of_words[0]!r} makes a row of each word, and the data are no lists of words "
            f"with a label for each; leave pool out"
        )


def check_device(device: object, models: Iterable[object], isolate: bool) -> None:
    """Raise an error if `device` is no device, or if every model needs torch to use it here.

    With `isolate`, a process of its own asks torch, so this one touches no device.
    """
    if device is None or device == "cpu":
        return
    is_number = isinstance(device, int) and not isinstance(device, bool)
    if not isinstance(device, str) and not is_number and not instance_of(device, "torch", "device"):
        raise DtypeError(f"device is {device!r}; give for example 'cpu' or 'cuda:0'")
    question = (device, all(map(_runs_on_torch, models)))
    try:
        fault = (
            run_isolated(_find_fault, question, lambda *ignored: None, get_server().start)
            if isolate
            else _find_fault(question, lambda *ignored: None)
        )
    except (TaskFailed, ProcessDied):  # the row of each model then has its reason
        return
    if fault is not None:
        raise DataError(fault)


def _find_fault(question: tuple[Any, bool], report: Report) -> str | None:
    """Return why torch has no such device, or cannot use it here; None if it can."""
    from ..torch._run import parse_device, read_device

    device, is_used = question
    try:
        (read_device if is_used else parse_device)(device)
    except TransferabilityError as error:
        return str(error)
    return None


def _runs_on_torch(model: object) -> bool:
    """Return whether a model runs on the device of torch, as far as its name or type says."""
    from ..models._sources import find_source

    if isinstance(model, (str, os.PathLike)):
        try:
            return bool(find_source(os.fspath(model))[1].libraries)
        except DataError:  # the row of this model has the reason
            return True
    part = model[0] if isinstance(model, tuple) and model else model
    return instance_of(part, "torch.nn", "Module")
