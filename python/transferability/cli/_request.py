"""Metrics and their options on the command line, which are checked before data are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ._shared import as_usage_errors

__all__ = ["check_request", "parse_metrics", "read_no_labels", "split_names"]


def parse_metrics(metrics: str) -> str | list[str]:
    """Parse comma-separated names of metrics; an unknown name is a usage error."""
    from .._metric.registry import metric_names

    if metrics in ("all", "recommended"):
        return metrics
    with as_usage_errors():
        names = split_names(metrics)
        return metric_names(names[0] if len(names) == 1 else names)


def split_names(names: str) -> list[str]:
    """Return names that are separated by commas, with or without blanks."""
    return [name.strip() for name in names.split(",") if name.strip()]


def check_request(options: Mapping[str, Any]) -> None:
    """Raise usage errors for what needs no data: metrics, their options and inputs, aggregates.

    `options` are those of the metrics; the others are the values of the command that runs.
    """
    from .._metric.spec import NEEDS
    from .._scoring.call import check_options
    from .._scoring.groups import check_aggregate

    chosen = click.get_current_context().params
    is_of_arrays = not chosen.get("models") and not _are_statistics(chosen["features"])
    lacking = {
        need
        for need in ("source_probs", "source_labels", "label_embeddings")
        if is_of_arrays and chosen[need] is None
    }
    if "source_probs" in lacking:
        lacking.add("source_stats")
    names, has_groups = parse_metrics(chosen["metrics"]), chosen["groups"] is not None
    with as_usage_errors():
        check_aggregate(chosen["aggregate"], has_groups)
        check_options(
            names,
            chosen["task"],
            options,
            NEEDS.keys() - lacking,
            has_groups=has_groups or not is_of_arrays,
        )


def _are_statistics(features: str | tuple[str, ...]) -> bool:
    paths = (features,) if isinstance(features, str) else features
    return bool(paths) and all(path.endswith(".stats") for path in paths)


def read_no_labels(names: str | list[str]) -> bool:
    """Return whether metrics, given by their names, are all defined without labels."""
    from .._inputs.target import UNLABELLED
    from .._metric.registry import spec_of

    return not isinstance(names, str) and all(UNLABELLED in spec_of(name).tasks for name in names)
