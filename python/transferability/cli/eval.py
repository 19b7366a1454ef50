"""``transferability eval``: agreement of a ranking with true accuracies."""

from __future__ import annotations

import json
import warnings

import click

from .._util.table import table_of
from ..errors import TransferabilityWarning
from ._request import split_names
from ._shared import JSON, QUIET, check_exists, note, show_table

__all__ = ["evaluate"]


@click.command("eval")
@click.argument("ranking", callback=check_exists)
@click.argument("truth", callback=check_exists)
@click.option("--metrics", help="Comma-separated columns of RANKING. Default: all scores.")
@click.option("--column", help="Column of TRUTH. Default: its only column of numbers.")
@click.option("--lower-is-better", is_flag=True, help="TRUTH is a loss or an error rate.")
@click.option(
    "--rank",
    default="both",
    type=click.Choice(["both", "truth"]),
    help="Ranks that weight Kendall's tau: of scores and truth (SciPy's default), or of the truth.",
)
@click.option(
    "--n-boot",
    default=1000,
    type=click.IntRange(100, 1_000_000),
    help="Number of bootstrap resamples of the models, for intervals.",
)
@click.option("--seed", default=0, type=click.IntRange(0), help="Seed of the bootstrap.")
@JSON
@QUIET
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
    quiet: bool,  # read by `note`
) -> None:
    """Measure the agreement of a ranking with true accuracies.

    Print weighted Kendall tau, regret and other measures, with bootstrap intervals. RANKING is the
    output of 'transferability rank --csv'. TRUTH is a .csv file with a number for each model,
    higher is better. Both have a column 'model' or 'name', by which models are matched.
    """
    from ..agreement._csv import read_ranking, read_truth
    from ..agreement._evaluation import evaluate_scores

    scores = read_ranking(ranking, None if metrics is None else split_names(metrics))
    known = read_truth(truth, column)
    if lower_is_better:
        known = {model: -value for model, value in known.items()}
    with warnings.catch_warnings():  # printed with the result
        warnings.simplefilter("ignore", TransferabilityWarning)
        order: bool | str = True if rank == "both" else "truth"
        evaluation = evaluate_scores(scores, known, rank=order, n_boot=n_boot, seed=seed)
    if as_json:
        for text in evaluation.notes:
            note(text)
        click.echo(json.dumps(evaluation.to_dict()))
    else:
        show_table(table_of(evaluation))
