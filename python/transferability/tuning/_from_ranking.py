"""Build the teachers of B-Tuning from a ranking by LogME."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DataError
from ._ensemble import TeacherEnsemble, validate_k
from ._head import Head

if TYPE_CHECKING:
    from .._metric.score import Score
    from .._ranking.ranking import Ranking

__all__ = ["build_teachers"]


def build_teachers(ranking: Ranking, k: int, temperature: float) -> TeacherEnsemble:
    """Build the ensemble of the first `k` models of a ranking; see ``Ranking.teachers``."""
    heads: dict[str, Head] = {}
    targets: tuple[int | str, ...] | None = None
    for row in ranking.rows:
        score = row.scores.get("logme")
        if score is None or row.error is not None:
            continue
        if "coef" not in score.details:
            raise DataError(_explain_missing_heads(score))
        heads[row.name] = Head(float(score), score.coef, score.offset)
        targets = score.targets
    if not heads:
        reason = ranking.rows[0].error or "rank with logme among the metrics"
        raise DataError(f"no model of this ranking has a LogME score: {reason}")
    return TeacherEnsemble(heads, list(heads)[: validate_k(k, len(heads))], temperature, targets)


def _explain_missing_heads(score: Score) -> str:
    if score.details.get("aggregate", "pooled") != "pooled":
        return (
            "each group of rows has a head of its own, and the model none; rank once more without "
            "aggregate=, with keep_coef=True, for its teachers"
        )
    return "the ranking kept no heads; rank with logme among the metrics and keep_coef=True"
