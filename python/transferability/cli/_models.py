"""``transferability rank --models``: the options and the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ._shared import given, names_of, usage

__all__ = ["MODEL_OPTIONS", "model_options", "ranked_models"]

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
        help="For --models: a folder with one subfolder of pictures for each class.",
    ),
    "text": click.option(
        "--text",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="For --models: a table of texts and labels ({texts}).",
    ),
    "label_column": click.option(
        "--label-column", multiple=True, help="Its label; several for several targets."
    ),
    "text_column": click.option("--text-column", multiple=True, help="Its text; two for pairs."),
    "layers": click.option(
        "--layers",
        default="default",
        show_default=True,
        help="default, last, all, or names, comma-separated: see 'transferability layers'.",
    ),
    "layer_choice": click.option(
        "--layer-choice",
        default="last",
        show_default=True,
        type=click.Choice(["last", "mean", "best"]),
        help="Of several layers: the last, their mean, or the one that scores best.",
    ),
    "pool": click.option("--pool", help="How tokens or maps become one row: mean, cls, max, …"),
    "batch_size": click.option(
        "--batch-size", type=click.IntRange(1), default=32, show_default=True
    ),
    "device": click.option("--device", help="cpu, cuda:1, …. Default: a GPU if there is one."),
    "max_length": click.option(
        "--max-length", type=click.IntRange(1), help="Tokens of a text, at most."
    ),
    "max_samples": click.option(
        "--max-samples", type=click.IntRange(1), help="Rows, drawn at random. Default: all."
    ),
    "seed": click.option("--seed", type=int, default=0, show_default=True, help="Of that draw."),
    "cache": click.option(
        "--cache", type=click.Path(file_okay=False), help="Folder of statistics computed before."
    ),
    "resume": click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Take what is in the cache.",
    ),
    "isolate": click.option(
        "--isolate/--no-isolate",
        default=True,
        show_default=True,
        help="A process of its own for each model.",
    ),
}
#: Names of what only --models uses.
MODEL_OPTIONS = tuple(name for name in _OPTIONS if name != "models")


def model_options(command: F) -> F:
    """Add the options of models that are run."""
    for option in reversed(_OPTIONS.values()):
        command = option(command)
    return command


def ranked_models(
    chosen: Mapping[str, Any], metrics: str, task: str, quiet: bool, **options: Any
) -> Any:
    """Run and rank the models that the options name."""
    from .._sweep.rank_models import rank_models

    with usage():
        names = names_of(metrics)
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
        **given(
            pool=chosen["pool"],
            device=chosen["device"],
            max_length=chosen["max_length"],
            max_samples=chosen["max_samples"],
        ),
        **options,
    )
