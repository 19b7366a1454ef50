"""``transferability metrics``: what there is to compute."""

from __future__ import annotations

import json

import click

__all__ = ["metrics"]


#: What metrics need, in words.
_NEEDS = {
    "stats": "statistics of the features (one pass, shared)",
    "class_scatters": "statistics of every class (the same pass)",
    "source_stats": "statistics of source_probs",
    "samples": "the features once more",
    "source_probs": "source_probs: the source model's class probabilities",
    "source_labels": "source_labels: the source model's predicted classes",
    "label_embeddings": "label_embeddings: views of the labels by other models",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def metrics(as_json: bool) -> None:
    """List the metrics: what each is for and measures, then what it needs, costs and comes from."""
    from .._registry import metric_rows

    rows = metric_rows()
    if as_json:
        click.echo(json.dumps(rows))
        return
    for name, row in rows.items():
        click.echo(f"{name}\t{', '.join(row['tasks'])}\t{row['summary']}")
        needs = "; ".join(_NEEDS.get(need, need) for need in row["needs"])
        facts = {"needs": needs, "cost": row["cost"], "source": row["source"], "use": row["when"]}
        for fact, text in facts.items():
            if text:
                click.echo(f"  {fact:<7} {text}")
