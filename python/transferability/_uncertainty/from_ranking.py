"""Shortlists of rankings: by the metric that sorts, and by the other metrics beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .._metric.derived import CONSENSUS
from .._metric.registry import is_diagnostic, spec_of
from .._util.caught import drop_warnings
from ..errors import DataError, TransferabilityWarning
from .choose import make_shortlist
from .shortlist import Shortlist
from .stability import Stability, assess_ranking

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking

__all__ = ["shortlist_ranking"]

_LEVEL = 0.9  # of the intervals of stability, which a shortlist does not have


def shortlist_ranking(
    ranking: Ranking,
    confidence: float,
    method: str,
    prior: Mapping[str, float] | bool | None,
    past: object,
    agreement: object,
    metric: str | None,
    groups: object,
    n_boot: int,
    seed: int,
) -> Shortlist:
    """Make the shortlist of a ranking; see :meth:`Ranking.shortlist`."""

    def assess(metric: str | None) -> Stability:
        return assess_ranking(ranking, n_boot, groups, "first-order", metric, _LEVEL, seed)

    stability = assess(metric)
    found = make_shortlist(stability, confidence, method, prior, past, agreement, seed)
    if len(found) == 1 or method != "posterior" or agreement is not None:
        return found
    others = {}
    for name in ranking.metrics:
        if name in (found.metric, CONSENSUS) or is_diagnostic(name) or not spec_of(name).influence:
            continue
        try:
            with drop_warnings(TransferabilityWarning):  # shown of the metric that sorts
                other = make_shortlist(assess(name), confidence, method, prior, past, None, seed)
        except DataError:  # such as fewer than two models with this metric
            continue
        others[name] = other.names
    return replace(found, others=others)
