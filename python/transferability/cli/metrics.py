"""``transferability metrics``: list the metrics."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from .._util.terminal import find_width, wrap_text
from ._shared import JSON

if TYPE_CHECKING:
    from .._metric.spec import MetricSpec

__all__ = ["metrics"]


@click.command()
@JSON
def metrics(as_json: bool) -> None:
    """List the metrics with their inputs, cost, source and use.

    Each entry has the name, tasks and definition, then the inputs, cost, publication and use.
    Diagnostics of features have a group of their own.
    Metrics of other installed packages come last (entry points of the group
    transferability.metrics).
    """
    from .._metric.registry import metric_specs
    from .._metric.spec import DIAGNOSTIC

    specs = metric_specs()
    if as_json:
        click.echo(json.dumps({name: spec.facts() for name, spec in specs.items()}))
        return
    diagnostics = [spec for spec in specs.values() if spec.diagnostic]
    for spec in specs.values():
        if not spec.diagnostic:
            _print(spec)
    if diagnostics:
        click.echo(f"\nDiagnostics of features, which 'all' leaves out. {DIAGNOSTIC}\n")
    for spec in diagnostics:
        _print(spec)


def _print(spec: MetricSpec) -> None:
    for line in _lines(spec):
        click.echo(wrap_text(line, find_width(sys.stdout)))


def _lines(spec: MetricSpec) -> Iterator[str]:
    """Iterate over the lines that describe a metric; empty facts are left out."""
    from .._metric.spec import NEEDS

    yield f"{spec.name}\t{', '.join(spec.tasks)}\t{spec.summary}"
    needs = "; ".join(NEEDS[need] for need in spec.needs)
    facts = {"needs": needs, "cost": spec.cost, "source": spec.source, "use": spec.when}
    for fact, text in facts.items():
        if text:
            yield f"  {fact:<7} {text}"
