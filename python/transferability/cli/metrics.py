"""``transferability metrics``: list the metrics."""

from __future__ import annotations

import json

import click

__all__ = ["metrics"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def metrics(as_json: bool) -> None:
    """List the metrics: tasks and purpose, then inputs, cost, publication and use of each."""
    from .._metric.registry import metric_specs
    from .._metric.spec import NEEDS

    specs = metric_specs()
    if as_json:
        click.echo(json.dumps({name: spec.facts() for name, spec in specs.items()}))
        return
    for name, spec in specs.items():
        click.echo(f"{name}\t{', '.join(spec.tasks)}\t{spec.summary}")
        needs = "; ".join(NEEDS[need] for need in spec.needs)
        facts = {"needs": needs, "cost": spec.cost, "source": spec.source, "use": spec.when}
        for fact, text in facts.items():
            if text:
                click.echo(f"  {fact:<7} {text}")
