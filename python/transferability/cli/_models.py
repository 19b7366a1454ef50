"""``transferability rank --models``: options for running models, and the call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ._choice import load_costs
from ._request import parse_metrics, split_names
from ._shared import (
    add_options,
    as_usage_errors,
    drop_none,
    load_prior,
    load_views,
)

__all__ = ["MODEL_OPTIONS", "model_options", "run_models"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "models": {
        "multiple": True,
        "metavar": "NAME",
        "help": "Run these models, such as 'timm:vit_*'; repeatable. NAME is {models}.",
    },
    "images": {
        "type": click.Path(exists=True, file_okay=False, path_type=Path),
        "help": "For --models: a folder of images, one subfolder per class, or splits of such.",
    },
    "audio": {
        "type": click.Path(exists=True, file_okay=False, path_type=Path),
        "help": "For --models: a folder of sounds, one subfolder per class, or splits of such.",
    },
    "text": {
        "type": click.Path(exists=True, dir_okay=False, path_type=Path),
        "help": "For --models: a table of texts and labels ({texts}).",
    },
    "label_column": {
        "multiple": True,
        "help": "Label column of --text; several targets with commas, or repeat.",
    },
    "text_column": {
        "multiple": True,
        "help": "Text column of --text; two, with a comma, for pairs of texts.",
    },
    "split": {
        "help": "Split of --images or --audio, such as train or val, or all. Default: the "
        "training split if there are splits.",
    },
    "encoding": {"help": "Encoding of --text. Default: UTF-8, or by its byte order mark."},
    "quoting": {
        "type": click.Choice(["minimal", "none"]),
        "help": "Whether quotes in --text enclose cells or are part of the texts. Default: by the "
        "file.",
    },
    "layers": {
        "default": "default",
        "help": "Layers to score: default, last, all, or names that 'transferability layers' "
        "lists, separated by commas.",
    },
    "layer_choice": {
        "default": "last",
        "type": click.Choice(["last", "mean", "best"]),
        "help": "With several layers: score the last, their mean, or the one with the best score.",
    },
    "pool": {
        "help": "Pooling of tokens or feature maps to one row: mean, cls, max, …; several, "
        "separated by commas; or all.",
    },
    "bag": {"help": "Column of --text with bags: rows with one label, whose features are pooled."},
    "bag_pool": {
        "default": "mean",
        "type": click.Choice(["mean", "max", "mean_std", "mean_max", "logsumexp"]),
        "help": "Pooling of the rows of a bag.",
    },
    "window": {
        "type": click.IntRange(1),
        "help": "Cut longer texts into windows of so many tokens, whose features are averaged.",
    },
    "stride": {
        "type": click.IntRange(1),
        "help": "Tokens from one window to the next. Default: side by side.",
    },
    "batch_size": {
        "type": click.IntRange(1),
        "help": "Rows per forward pass; halved if memory runs out. Default: 32, and texts by "
        "their tokens.",
    },
    "device": {"help": "cpu, cuda:1, …  Default: a GPU if available."},
    "dtype": {
        "type": click.Choice(["float32", "float64", "float16", "bfloat16"]),
        "help": "Number format of the weights. Default: as the library loads them.",
    },
    "amp": {
        "type": click.Choice(["bfloat16", "float16"]),
        "help": "Number format of automatic mixed precision. Default: none.",
    },
    "compile": {
        "is_flag": True,
        "help": "Compile the blocks of each model by torch.compile, for many rows.",
    },
    "bio": {
        "default": "strip",
        "type": click.Choice(["strip", "keep"]),
        "help": "For labels of words: whether B-x and I-x are one class, if all tags are chunks.",
    },
    "outputs": {
        "is_flag": True,
        "help": "Also store the outputs of each model's own head, for --metrics all.",
    },
    "keep_features": {
        "is_flag": True,
        "help": "Also store the features, for --metrics all and intervals in --html; --stability "
        "and --shortlist do.",
    },
    "max_length": {"type": click.IntRange(1), "help": "Maximum number of tokens in a text."},
    "max_samples": {
        "type": click.IntRange(1),
        "help": "Draw this many rows at random. Default: all.",
    },
    "seed": {"type": int, "default": 0, "help": "Seed for --max-samples."},
    "cache": {
        "type": click.Path(file_okay=False),
        "help": "Folder of cached statistics. Default: as in 'transferability cache ls'.",
    },
    "no_cache": {"is_flag": True, "help": "Cache nothing."},
    "resume": {"default": True, "help": "Reuse cached statistics."},
    "isolate": {"default": True, "help": "Run each model in a subprocess."},
}
#: Names of the options that only --models uses.
MODEL_OPTIONS = tuple(name for name in _OPTIONS if name != "models")
model_options = add_options(
    click.option(
        f"--{name}/--no-{name}" if given.get("default") is True else f"--{name.replace('_', '-')}",
        **given,
    )
    for name, given in _OPTIONS.items()
)


def run_models(chosen: Mapping[str, Any], **options: Any) -> Any:
    """Run models and rank them, by the values of all options of the command.

    `options` are further arguments of ``rank_models``.
    """
    from .._data.folders import read_folder
    from .._sweep.plan import expand_models
    from .._sweep.rank_models import rank_models
    from ..models._sources import find_source

    metrics = parse_metrics(chosen["metrics"])
    given = [name for name in ("images", "audio", "text") if chosen[name] is not None]
    if len(given) != 1:
        raise click.UsageError("--models needs one of --images DIR, --audio DIR and --text FILE")
    with as_usage_errors():
        for name in chosen["models"]:
            find_source(name)
    data, split = chosen[given[0]], chosen["split"]
    if given != ["text"]:
        data = read_folder(data, split, {"images": "image", "audio": "audio"}[given[0]])
        split = None
    layers, pool = chosen["layers"], chosen["pool"]
    if chosen["no_cache"] and chosen["cache"] is not None:
        raise click.UsageError("--cache and --no-cache exclude each other")
    cache = False if chosen["no_cache"] else True if chosen["cache"] is None else chosen["cache"]
    models: Any = list(chosen["models"])
    if chosen["prior"] is not None or chosen["costs"] is not None:  # files know more models
        models = expand_models(models)
    return rank_models(
        models,
        data,
        label=list(chosen["label_column"]) or None,
        text=list(chosen["text_column"]) or None,
        split=split,
        encoding=chosen["encoding"],
        quoting=chosen["quoting"],
        task=chosen["task"],
        layers=layers if layers in ("default", "last", "all") else split_names(layers),
        aggregate=chosen["layer_choice"],
        metrics=metrics,
        batch_size=chosen["batch_size"],
        seed=chosen["seed"],
        bag_pool=chosen["bag_pool"],
        compile=chosen["compile"],
        bio=chosen["bio"],
        outputs=chosen["outputs"],
        label_embeddings=load_views(chosen["label_embeddings"]),
        cache=cache,
        resume=chosen["resume"],
        isolate=chosen["isolate"],
        progress=False if chosen["quiet"] else None,
        prior=load_prior(models, chosen),
        costs=load_costs(models, chosen),
        **drop_none(
            **{
                name: chosen[name] for name in ("bag", "window", "stride", "device", "dtype", "amp")
            },
            **{name: chosen[name] for name in ("max_length", "max_samples")},
            pool=split_names(pool) if pool is not None and "," in pool else pool,
            n_threads=chosen["threads"],
        ),
        **options,
    )
