"""Columns of a ranking that are derived: the Borda consensus of several metrics, and a prior.

They are no metrics: ``score`` does not know them, and no features are read for them. Rankings fill
them in; tables, reports and ``Score.explain`` look them up here.
"""

from __future__ import annotations

from typing import Any

from .spec import MetricSpec

__all__ = ["CONSENSUS", "DERIVED", "PRIOR"]

CONSENSUS, PRIOR = "consensus", "prior"


def _no_options(task: str) -> dict[str, object]:
    return {}


def _explain_consensus(score: Any) -> list[str]:
    parts = ", ".join(f"{member} {share:.2f}" for member, share in score.shares.items())
    return [
        "It is the share of the other models that this one beats, the mean over "
        f"{len(score.members)} metrics ({parts}); it changes with the models that are compared."
    ]


def _explain_prior(score: Any) -> list[str]:
    return ["It is what was known of the model before, as given; no data of yours is in it."]


DERIVED = {
    CONSENSUS: MetricSpec(CONSENSUS, _no_options, _explain_consensus, title="Consensus"),
    PRIOR: MetricSpec(PRIOR, _no_options, _explain_prior, title="Prior"),
}
