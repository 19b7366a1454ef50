"""Plan a sweep: expand the models, select metrics, and extract only the data that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._inputs.inputs import Inputs
from .._metric.plan import Plan, plan
from .._metric.registry import metric_names, spec_of
from ..errors import DataError, DtypeError
from .job import ExtractionOptions

__all__ = ["expand_models", "plan_sweep"]

#: Inputs of metrics that are computed from the outputs of a model's own head.
_OF_HEADS = frozenset({"source_probs", "source_stats", "source_labels"})
_OUTPUTS = "the outputs of each model's own head; pass outputs=True"
#: How a sweep meets needs.
_ADVICE = {
    "samples": "the samples themselves; pass keep_features=True",
    **dict.fromkeys(_OF_HEADS, _OUTPUTS),
}
#: Why a sweep of words or pixels cannot meet them: every model may have other rows.
_NOT_OF_PARTS = {
    "samples": "the samples themselves, which are not the same words or pixels for every model",
    **dict.fromkeys(_OF_HEADS, "the outputs of each model's own head, for whole items"),
}


def expand_models(models: object) -> dict[str, Any]:
    """Return the models by name, with wildcards expanded."""
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        from ..models import expand

        specs = [models] if isinstance(models, str) else models
        if not isinstance(specs, Sequence) or not all(isinstance(spec, str) for spec in specs):
            raise DtypeError(
                "models must be names such as 'timm:resnet18', or a mapping of names to models"
            )
        named = {name: name for spec in specs for name in expand(spec)}
    if not named:
        raise DataError("models is empty; give at least one")
    if not all(isinstance(name, str) for name in named):
        raise DtypeError(f"model names must be strings, got {list(named)}")
    return named


def plan_sweep(
    metrics: str | Sequence[str],
    metric_options: Mapping[str, object],
    shared: Inputs,
    extraction: ExtractionOptions,
    has_rows: bool,
) -> tuple[Plan, ExtractionOptions]:
    """Select the metrics to compute, and extend the extraction options by their needs.

    `shared` holds the labels and label embeddings; `has_rows` is true if all models have the same
    rows, so that metrics may read samples and outputs. The returned options have the task, and
    switch on class scatters, features and outputs if a metric needs them.
    """
    task = shared.target.task
    names = [] if metrics == "all" else metric_names(metrics)
    requested = {need for name in names for need in spec_of(name).needs}
    provided = {"pool", "stats", "class_scatters", *shared.provides()}
    if has_rows and (extraction.keep_features or "samples" in requested):
        provided.add("samples")
    if has_rows and (extraction.outputs or requested & _OF_HEADS):
        provided |= _OF_HEADS
    planned = plan(
        metrics, task, metric_options, provided, advice=_ADVICE if has_rows else _NOT_OF_PARTS
    )
    if not planned[0]:
        raise DataError(f"no metric applies to a {task} task")
    needs = {need for name in planned[0] for need in spec_of(name).needs}
    return planned, replace(
        extraction,
        task=task,
        class_scatters="class_scatters" in needs,
        keep_features=extraction.keep_features or "samples" in needs,
        outputs=extraction.outputs or bool(needs & _OF_HEADS),
    )
