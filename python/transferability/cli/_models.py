"""``transferability rank --models``: options for running models, and the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ._shared import as_usage_errors, drop_none, parse_metrics

__all__ = ["MODEL_OPTIONS", "model_options", "run_and_rank"]

F = TypeVar("F", bound=Callable[..., Any])

_EXISTING = click.Path(exists=True, path_type=Path)


_OPTIONS = {
    "models": click.option(
        "--models",
        multiple=True,
        metavar="NAME",
        help="Run these models, such as 'timm:vit_*': {models}; may be repeated.",
    ),
    "images": click.option(
        "--images",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="For --models: folder of images, one subfolder per class.",
    ),
    "text": click.option(
        "--text",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="For --models: a table of texts and labels ({texts}).",
    ),
    "label_column": click.option(
        "--label-column",
        multiple=True,
        help="Label column of --text; repeat it for several targets.",
    ),
    "text_column": click.option(
        "--text-column", multiple=True, help="Text column of --text; repeat it for pairs of texts."
    ),
    "layers": click.option(
        "--layers",
        default="default",
        show_default=True,
        help="default, last, all, or comma-separated names; see 'transferability layers'.",
    ),
    "layer_choice": click.option(
        "--layer-choice",
        default="last",
        show_default=True,
        type=click.Choice(["last", "mean", "best"]),
        help="With several layers: score the last, their mean, or the layer with the best score.",
    ),
    "pool": click.option(
        "--pool", help="Pooling of tokens or feature maps to one row: mean, cls, max, …"
    ),
    "batch_size": click.option(
        "--batch-size",
        type=click.IntRange(1),
        default=32,
        show_default=True,
        help="Rows per forward pass; halved if memory runs out.",
    ),
    "device": click.option("--device", help="cpu, cuda:1, …  Default: a GPU if available."),
    "max_length": click.option(
        "--max-length", type=click.IntRange(1), help="Maximum number of tokens of a text."
    ),
    "max_samples": click.option(
        "--max-samples", type=click.IntRange(1), help="Draw this many rows at random. Default: all."
    ),
    "seed": click.option(
        "--seed", type=int, default=0, show_default=True, help="Seed for --max-samples."
    ),
    "cache": click.option(
        "--cache", type=click.Path(file_okay=False), help="Folder of cached statistics."
    ),
    "resume": click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Reuse cached statistics.",
    ),
    "isolate": click.option(
        "--isolate/--no-isolate",
        default=True,
        show_default=True,
        help="Run each model in a subprocess.",
    ),
}
#: Names of the options that only --models uses.
MODEL_OPTIONS = tuple(name for name in _OPTIONS if name != "models")


def model_options(command: F) -> F:
    """Add the options for running models to a command."""
    for option in reversed(_OPTIONS.values()):
        command = option(command)
    return command


def run_and_rank(
    chosen: Mapping[str, Any], metrics: str, task: str, quiet: bool, **options: Any
) -> Any:
    """Run the models given by the options, and rank them.

    Parameters
    ----------
    chosen : mapping
        Values of the options that `model_options` adds.
    metrics, task, quiet
        Values of the shared options.
    **options
        Further arguments of ``rank_models``.
    """
    from .._sweep.rank_models import rank_models

    with as_usage_errors():
        names = parse_metrics(metrics)
    if (chosen["images"] is None) == (chosen["text"] is None):
        raise click.UsageError("--models needs --images DIR or --text FILE")
    layers = chosen["layers"]
    labels, texts = chosen["label_column"], chosen["text_column"]
    return rank_models(
        list(chosen["models"]),
        chosen["images"] or chosen["text"],
        label=list(labels) or None,
        text=list(texts) or None,
        task=task,
        layers=layers if layers in ("default", "last", "all") else layers.split(","),
        aggregate=chosen["layer_choice"],
        metrics=names,
        batch_size=chosen["batch_size"],
        seed=chosen["seed"],
        cache=True if chosen["cache"] is None else chosen["cache"],
        resume=chosen["resume"],
        isolate=chosen["isolate"],
        progress=False if quiet else None,
        **drop_none(
            pool=chosen["pool"],
            device=chosen["device"],
            max_length=chosen["max_length"],
            max_samples=chosen["max_samples"],
        ),
        **options,
    )
