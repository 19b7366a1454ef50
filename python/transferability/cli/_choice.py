"""``transferability rank --shortlist`` and ``--pareto``: what to print, and the files they read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import click

from ._shared import add_options, check_exists, note, read_prior_file

__all__ = [
    "CHOICE_OPTIONS",
    "check_shortlist",
    "choice_options",
    "choose",
    "find_own_labels",
    "load_costs",
]

_OPTIONS: dict[str, dict[str, Any]] = {
    "shortlist": {
        "is_flag": True,
        "help": "Print the smallest set of models that holds the best one, its regret, and what "
        "would shrink it, instead of the table. It uses --prior.",
    },
    "confidence": {
        "type": click.FloatRange(0, 1, min_open=True, max_open=True),
        "default": 0.9,
        "help": "Probability with which the set of --shortlist holds the best. Default: 0.9.",
    },
    "hybrid": {
        "is_flag": True,
        "help": "With --shortlist and --prior: the first by metric and the first by prior.",
    },
    "past": {
        "callback": check_exists,
        "help": "With --shortlist and --prior: true performance on past tasks, a column of a .csv "
        "for each task; it teaches the weight of the prior.",
    },
    "agreement": {
        "type": click.FloatRange(0, 1, min_open=True),
        "help": "With --shortlist: how well the metric agrees with the truth that counts, a "
        "correlation over models. Probabilities then concern it. Default: the metric itself.",
    },
    "costs": {
        "callback": check_exists,
        "help": "Costs of models, a column of a .csv for each cost, such as parameters. Lower is "
        "better, except for names that end in per_second.",
    },
    "pareto": {
        "metavar": "COST",
        "help": "Print the models that no other one beats in score and COST, instead of the table: "
        "a column of --costs, n_features or seconds.",
    },
}
#: Names of the options that only --shortlist uses.
CHOICE_OPTIONS = ("confidence", "hybrid", "past", "agreement")
_OF_PRIOR = ("hybrid", "past")
choice_options = add_options(click.option(f"--{name}", **given) for name, given in _OPTIONS.items())


def check_shortlist(ctx: click.Context) -> None:
    """Raise a usage error for options of --shortlist without it, or without --prior."""
    chosen = ctx.params
    for name in CHOICE_OPTIONS:
        given = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and not chosen["shortlist"]:
            raise click.UsageError(f"--{name} goes with --shortlist")
        if given and name in _OF_PRIOR and chosen["prior"] is None:
            raise click.UsageError(f"--{name} needs --prior")


def choose(ranking: Any, chosen: Mapping[str, Any]) -> Any:
    """Return the shortlist or the Pareto front that the options ask for, or None."""
    if chosen["pareto"] is not None:
        return ranking.pareto(chosen["pareto"])
    if not chosen["shortlist"]:
        return None
    options: dict[str, Any] = {"agreement": chosen["agreement"]}
    if chosen["hybrid"]:
        options["method"] = "hybrid"
    if chosen["past"] is not None:
        # Past tasks may have other models than this ranking.
        options |= {"past": _read_columns(chosen["past"]), "prior": read_prior_file(chosen)}
    return ranking.shortlist(chosen["confidence"], **options)


def load_costs(
    models: Iterable[str], chosen: Mapping[str, Any]
) -> dict[str, dict[str, float]] | None:
    """Read a CSV file of costs, and return the numbers of these models by cost."""
    path = chosen["costs"]
    if path is None:
        return None
    known = {*models}
    columns = _read_columns(path)
    found = {
        cost: {model: value for model, value in own.items() if model in known}
        for cost, own in columns.items()
    }
    missing = sorted(known - {model for own in found.values() for model in own})
    if missing:
        note(f"{path} has no cost for {', '.join(missing[:5])}")
    return found


def _read_columns(path: str) -> dict[str, dict[str, float]]:
    """Read the numbers of a CSV file by column and model, without the missing ones."""
    from ..agreement._csv import read_columns

    return {
        column: {model: value for model, value in own.items() if not math.isnan(value)}
        for column, own in read_columns(path).items()
    }


def find_own_labels(features: Iterable[str]) -> str | None:
    """Return the array "labels" of the one file of several arrays that FEATURES name, if any."""
    from ..io._formats import array_names, name_array, split_key, suffixes_of

    paths = {split_key(spec)[0] for spec in features}
    if len(paths) != 1:
        return None
    (path,) = paths
    if path.suffix.lower() not in suffixes_of("container") or not path.is_file():
        return None
    return name_array(path, "labels") if "labels" in array_names(path) else None
