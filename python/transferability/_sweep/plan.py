"""What a sweep over models is to do: which models, which metrics, and what is kept for these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._inputs.inputs import Inputs, read_inputs
from .._inputs.target import Target
from .._metric.registry import Plan, metric_names, plan, spec_of
from ..errors import DataError, DtypeError

__all__ = ["Kept", "check_counts", "named_layers", "named_models", "plan_sweep", "shared_by_all"]

_SOURCE = frozenset({"source_probs", "source_stats", "source_labels"})


def named_models(models: object) -> dict[str, Any]:
    """Give every model by a name; wildcards become the names that they stand for."""
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        from ..models import expand

        asked = [models] if isinstance(models, str) else models
        if not isinstance(asked, Sequence) or not all(isinstance(spec, str) for spec in asked):
            raise DtypeError(
                "models must be names such as 'timm:resnet18', or a mapping of names to models"
            )
        named = {name: name for spec in asked for name in expand(spec)}
    if not named:
        raise DataError("models is empty; give at least one")
    if not all(isinstance(name, str) for name in named):
        raise DtypeError(f"model names must be strings, got {list(named)}")
    return named


def shared_by_all(label_embeddings: object, target: Target) -> Inputs:
    if label_embeddings is None:
        return Inputs(target)
    return read_inputs(None, None, label_embeddings=label_embeddings, target=target)


class Kept(NamedTuple):
    """What the user wants kept, and whether rows are the same for all models."""

    features: bool
    outputs: bool
    has_rows: bool


def plan_sweep(
    metrics: str | Sequence[str],
    target: Target,
    options: Mapping[str, object],
    kept: Kept,
    shared: Inputs,
) -> tuple[Plan, dict[str, Any]]:
    """Say what to compute, and what must be kept of every model for it."""
    names = [] if metrics == "all" else metric_names(metrics)
    asked = {need for name in names for need in spec_of(name).needs}
    provided = {"pool", "stats", "class_scatters", *shared.provides()}
    if kept.has_rows and (kept.features or "samples" in asked):
        provided.add("samples")
    if kept.has_rows and (kept.outputs or asked & _SOURCE):
        provided |= _SOURCE
    planned = plan(metrics, target.task, options, provided)
    if not planned[0]:
        raise DataError(f"no metric applies to a {target.task} task")
    needs = {need for name in planned[0] for need in spec_of(name).needs}
    return planned, {
        "class_scatters": "class_scatters" in needs,
        "keep_features": kept.features or "samples" in needs,
        "outputs": kept.outputs or bool(needs & _SOURCE),
    }


def named_layers(layers: object) -> str | tuple[str, ...]:
    """Check the argument `layers`: a name, or several."""
    if isinstance(layers, str):
        return layers
    names = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not all(isinstance(name, str) for name in names):
        raise DtypeError(
            f"layers is {layers!r}; give 'default', 'last', 'all', or a list of names of layers"
        )
    if not names:
        raise DataError("layers is empty; name at least one, or give 'default', 'last' or 'all'")
    return names


def check_counts(least: int = 1, **counts: object) -> None:
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise DtypeError(f"{name} must be a whole number, got {value!r}")
        if isinstance(value, int) and value < least:
            raise DataError(f"{name} must be at least {least}, got {value}")
