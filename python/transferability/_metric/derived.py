"""Derived columns of a ranking: the consensus of several metrics, and the user's prior.

Rankings compute them; ``score`` does not. Tables, reports and ``Score.explain`` treat them like
metrics.
"""

from __future__ import annotations

from typing import Any

from .options import no_options
from .spec import MetricSpec

__all__ = ["CONSENSUS", "COST", "DERIVED", "PRIOR"]

CONSENSUS, PRIOR = "consensus", "prior"
#: Columns of costs start with it in tables for programs; they are no scores.
COST = "cost:"


def _explain_consensus(score: Any) -> list[str]:
    parts = ", ".join(f"{member} {share:.2f}" for member, share in score.shares.items())
    decider = score.details.get("decider")
    if decider is not None:
        others = " and ".join(member for member in score.members if member != decider)
        return [
            f"It is the share of the other models that this one beats by {decider}; pairs closer "
            f"than a standard error ({score.standard_error:.4f} here) are shared with "
            f"{others or 'no other metric'} in proportion ({parts} alone). It changes with the "
            f"models that are compared."
        ]
    return [
        "It is the Borda consensus: the share of the other models that this one beats, averaged "
        f"over {len(score.members)} metrics ({parts}); it changes with the models that are "
        f"compared."
    ]


def _explain_prior(score: Any) -> list[str]:
    return ["It is the prior of this model, as given; none of your data enters it."]


DERIVED = {
    CONSENSUS: MetricSpec(
        CONSENSUS,
        no_options,
        _explain_consensus,
        title="Consensus",
        summary="share of the other models that a model beats, averaged over metrics",
    ),
    PRIOR: MetricSpec(
        PRIOR,
        no_options,
        _explain_prior,
        title="Prior",
        summary="prior knowledge of a model, as given",
    ),
}
