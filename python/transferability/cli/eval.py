"""``transferability eval``: a ranking against what its models turned out to be worth."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import click

from ..errors import TransferabilityWarning
from ._shared import existing_file, say

if TYPE_CHECKING:
    from ..agreement._evaluation import Evaluation

__all__ = ["evaluate"]


@click.command("eval")
@click.argument("ranking", callback=existing_file)
@click.argument("truth", callback=existing_file)
@click.option("--metrics", help="Columns of RANKING, comma-separated. Default: all its scores.")
@click.option("--column", help="The column of TRUTH. Default: its only column of numbers.")
@click.option("--lower-is-better", is_flag=True, help="TRUTH is a loss or an error.")
@click.option(
    "--rank",
    default="both",
    show_default=True,
    type=click.Choice(["both", "truth"]),
    help="Ranks that weighted tau weighs by: SciPy's default, or those of the truth alone.",
)
@click.option(
    "--n-boot",
    default=1000,
    show_default=True,
    type=click.IntRange(100, 1_000_000),
    help="Resamples of the models, for intervals.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@click.option("--quiet", "-q", is_flag=True, help="No messages.")
def evaluate(
    ranking: str,
    truth: str,
    metrics: str | None,
    column: str | None,
    lower_is_better: bool,
    rank: str,
    n_boot: int,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say how well the scores of RANKING agree with TRUTH, and how sure that is.

    Both are .csv files with a column 'model' or 'name': RANKING as 'rank --csv' writes it, TRUTH
    with a number for each model, higher is better. Models are matched by name.
    """
    from ..agreement._csv import read_ranking, read_truth
    from ..agreement._evaluation import evaluate_scores

    scores = read_ranking(ranking, None if metrics is None else metrics.split(","))
    known = read_truth(truth, column)
    if lower_is_better:
        known = {model: -value for model, value in known.items()}
    with warnings.catch_warnings():  # the notes are printed with the result
        warnings.simplefilter("ignore", TransferabilityWarning)
        evaluation: Evaluation = evaluate_scores(
            scores,
            known,
            rank=True if rank == "both" else "truth",
            n_boot=n_boot,
            seed=seed,
        )
    if as_json:
        for note in () if quiet else evaluation.notes:
            say(f"note: {note}")
        click.echo(json.dumps(evaluation.to_dict()))
    else:
        click.echo(repr(evaluation))
