"""What a ranking gives for fine-tuning: its teachers, and the recipe for a single model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DataError
from ._ensemble import TeacherEnsemble, validate_k
from ._head import Head

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking, Row

__all__ = ["build_teachers", "fine_tune_recipe"]

_LOSSES = {
    "classification": "cross-entropy",
    "regression": "mean squared error",
    "multilabel": "binary cross-entropy",
}


def build_teachers(ranking: Ranking, k: int, temperature: float) -> TeacherEnsemble:
    """Build the ensemble of the first `k` models of a ranking; see ``Ranking.teachers``."""
    heads: dict[str, Head] = {}
    targets: tuple[int | str, ...] | None = None
    for row in ranking.rows:
        score = row.scores.get("logme")
        if score is None or row.error is not None:
            continue
        if "coef" not in score.details:
            raise DataError(
                _explain_missing_heads(score.details.get("aggregate", "pooled") != "pooled")
            )
        heads[row.name] = Head(float(score), score.coef, score.offset)
        targets = score.targets
    if not heads:
        reason = ranking.rows[0].error or "rank with logme among the metrics"
        raise DataError(f"no model of this ranking has a LogME score: {reason}")
    return TeacherEnsemble(heads, list(heads)[: validate_k(k, len(heads))], temperature, targets)


def _explain_missing_heads(by_group: bool) -> str:
    if by_group:
        return (
            "each group of rows has a head of its own, and the model none; rank once more without "
            "aggregate=, with keep_coef=True, for its teachers"
        )
    return "the ranking kept no heads; rank with logme among the metrics and keep_coef=True"


def fine_tune_recipe(row: Row) -> str:
    """Say how the paper fine-tunes a single model; see ``Row.fine_tune_recipe``."""
    if row.error is not None or not row.scores:
        raise DataError(f"{row.name} could not be scored: {row.error}")
    score = row.scores.get("logme", next(iter(row.scores.values())))
    count = len(score.targets) or score.n_classes
    outputs = "" if count is None else f" of {count} output{'s' * (count != 1)}"
    width = "" if row.n_features is None else f" on its {row.n_features} features"
    return "\n".join(
        [
            f"Fine-tuning {row.name} as in You et al., JMLR 2022:",
            f"1. Put a new linear head{outputs}{width}; keep all other weights as pre-trained.",
            f"2. Train everything with {_LOSSES[score.task]}: SGD, momentum 0.9 (Nesterov), weight",
            "   decay 5e-4, learning rate 1e-3, ten times that for the new head, batches of 48.",
            "3. 9,050 iterations, the learning rate divided by 10 after 6,000; few rows need less.",
            "4. Pictures: resize to 256, random crops of 224 and flips; test on ten crops.",
            "With two or more good models, ranking.teachers(k=3) and transferability.torch.BTuning",
            "let them teach this one: the same recipe with one more term in the loss.",
        ]
    )
