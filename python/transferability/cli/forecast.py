"""``transferability forecast``: values at larger sizes, and the rows that a value needs."""

from __future__ import annotations

import json
import warnings
from typing import Any

import click

from ..errors import TransferabilityWarning
from ._request import split_names
from ._shared import (
    JSON,
    QUIET,
    as_usage_errors,
    check_exists,
    say,
    show,
)
from ._words import reword

__all__ = ["forecast"]


def _parse_numbers(
    ctx: click.Context, param: click.Parameter, given: str | None
) -> list[float] | None:
    """Parse numbers that are separated by commas."""
    if given is None:
        return None
    try:
        return [float(text) for text in split_names(given)]
    except ValueError:
        raise click.BadParameter(f"{given!r} is not numbers with commas", ctx, param) from None


def _parse_bounds(
    ctx: click.Context, param: click.Parameter, given: str
) -> tuple[float | None, float | None] | str | None:
    """Parse auto, none, or two ends with a comma, each a number or none."""
    if given in ("auto", "none"):
        return None if given == "none" else given
    ends = [_parse_end(text.strip()) for text in given.split(",")]
    if len(ends) != 2 or "auto" in ends:
        message = f"{given!r} is not auto, none, or two ends such as 0,1 or 0,none"
        raise click.BadParameter(message, ctx, param)
    return ends[0], ends[1]  # type: ignore[return-value]


def _parse_limit(ctx: click.Context, param: click.Parameter, given: str) -> float | str | None:
    """Parse auto, none or a number."""
    return _parse_end(given)


def _parse_end(text: str) -> float | str | None:
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number, none or auto") from None


@click.command()
@click.argument("curve", callback=check_exists)
@click.option(
    "--size-column", help="Column of sizes. Default: named 'size' or so, or the first of two."
)
@click.option("--value-column", help="Column of values. Default: the only other one of numbers.")
@click.option(
    "--at",
    callback=_parse_numbers,
    metavar="SIZES",
    help="Sizes to forecast, with commas. Default: 2 and 10 times the largest known.",
)
@click.option(
    "--target-value", type=float, help="Compute how many more rows this value needs (a plan)."
)
@click.option("--up-to", type=float, help="Largest size that a plan considers.")
@click.option("--level", default=0.9, type=float, help="Coverage of intervals.")
@click.option("--form", default="auto", help="A scaling law, or auto for the median of several.")
@click.option(
    "--direction",
    default="auto",
    type=click.Choice(["auto", "increasing", "decreasing"]),
    help="Direction of better values: increasing for accuracies, decreasing for losses.",
)
@click.option(
    "--limit",
    default="auto",
    callback=_parse_limit,
    help="The best possible value, none, or auto.",
)
@click.option(
    "--bounds",
    default="auto",
    callback=_parse_bounds,
    help="The lowest and the highest possible value, such as 0,1 or 0,none; or auto or none.",
)
@JSON
@QUIET
def forecast(
    curve: str,
    size_column: str | None,
    value_column: str | None,
    at: list[float] | None,
    target_value: float | None,
    up_to: float | None,
    level: float,
    form: str,
    direction: str,
    limit: float | str | None,
    bounds: Any,
    as_json: bool,
    quiet: bool,
) -> None:
    """Forecast a learning curve at larger sizes, and the rows that a value needs.

    CURVE is a .csv or .tsv file with a column of sizes, numbers of samples, and a column of values:
    an accuracy, error, loss or metric at each. Laws are fitted to them; forecasts have prediction
    intervals. With --target-value, a plan has the number of further rows, with an interval.
    """
    from .._inputs.arrays import check_choice
    from .._metric.score import json_ready
    from ..forecast._csv import read_curve
    from ..forecast._fit import FORMS, fit

    with as_usage_errors():
        check_choice("form", form, FORMS)
    if not 0 < level < 1:
        raise click.UsageError(f"--level is {level}; give a number between 0 and 1, such as 0.9")
    if up_to is not None and target_value is None:
        raise click.UsageError("--up-to goes with --target-value")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TransferabilityWarning)
        sizes, values = read_curve(curve, size_column, value_column)
        fitted = fit(sizes, values, form, direction=direction, limit=limit, bounds=bounds)
        points, text = fitted.at(at, level), fitted.describe(at, level)
        plan = None
        if target_value is not None:
            plan = fitted.plan(target_value, level=level, up_to=up_to)
    for note in () if quiet else dict.fromkeys(str(warning.message) for warning in caught):
        say(f"note: {reword(note)}")
    if as_json:
        facts = {**fitted.to_dict(), "forecasts": json_ready(points)}
        if plan is not None:
            facts["plan"] = plan.to_dict()
        click.echo(json.dumps(facts))
        return
    show(text)
    if plan is not None:
        show(repr(plan))
