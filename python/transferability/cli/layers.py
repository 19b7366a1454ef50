"""``transferability layers``: list the layers of a model."""

from __future__ import annotations

import json
from typing import Any

import click

from ._help import FormatsCommand
from ._shared import JSON, as_usage_errors

__all__ = ["layers"]


#: Rate and length of a sound to find output shapes, for preprocessing of the user's own.
_RATE = 16_000


@click.command(cls=FormatsCommand)
@click.argument("model")
@click.option(
    "--all", "everything", is_flag=True, help="List every module, not only stem and blocks."
)
@JSON
def layers(model: str, everything: bool, as_json: bool) -> None:
    """List the layers of a model with their types and output shapes.

    MODEL is a name such as timm:resnet18, in one of the forms {models}. The list has the stem and
    the blocks, the same layers that 'transferability rank --layers all' scores. The default layer
    is marked.
    """
    from ..models import open_model
    from ..models._sources import find_source

    with as_usage_errors():
        find_source(model)
    opened = open_model(model, device="cpu")
    shapes = _find_shapes(opened)
    names = dict.fromkeys((*opened.layers, opened.default_layer))
    if everything:
        names = dict.fromkeys((*shapes, *names))
    if as_json:
        facts = {
            "model": opened.spec,
            "kind": opened.kind,
            "layers": {name: shapes.get(name, (None, None))[1] for name in names},
            "default_layer": opened.default_layer,
            "default_pool": opened.default_pool,
        }
        click.echo(json.dumps(facts))
        return
    for name in names:
        kind, shape = shapes.get(name, ("output", None))
        shown = "" if shape is None else " x ".join(map(str, shape))
        note = f"default, pool={opened.default_pool}" if name == opened.default_layer else ""
        click.echo("\t".join((name, kind, shown, note)).rstrip())


def _find_shapes(opened: Any) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    """Return type and output shape of every module; shapes are None without a known input."""
    if opened.module is None:
        return {}
    from ..torch import list_layers

    example = _make_example(opened)
    if example is None:
        return {name: (type(m).__name__, None) for name, m in opened.module.named_modules() if name}
    found = list_layers(opened.module, opened.moved(opened.collate([example])))
    return {layer.name: (layer.type, layer.shape) for layer in found if layer.name}


def _make_example(opened: Any) -> Any:
    """Return an input of which the model's preprocessing makes the usual size; None if unknown."""
    import numpy as np

    if opened.kind == "text":
        return "An example."
    if opened.kind == "image":
        return np.zeros((224, 224, 3), dtype=np.uint8)
    if opened.kind == "audio":
        rate = getattr(opened.inputs, "rate", _RATE)
        return {"array": np.zeros(rate, dtype=np.float32), "sampling_rate": rate}
    return None
