"""Render a ranking as one self-contained HTML file, without scripts or network requests.

The page suits phones and desktops, light and dark mode. It explains its numbers, and can be mailed
and archived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._ranking.display import check_scores
from ._agreement import render_agreement
from ._numbers import render_failures, render_groups, render_layers, render_scores
from ._order import format_heading, render_lead, render_order
from ._page import build_page
from ._words import render_meaning, render_notes

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability
    from ..agreement._evaluation import Evaluation

__all__ = ["html"]


def html(
    ranking: Ranking,
    evaluation: Evaluation | None = None,
    stability: Stability | None = None,
    *,
    title: str | None = None,
) -> str:
    """Render a ranking, its uncertainty and an explanation of its numbers as one HTML page.

    Parameters
    ----------
    ranking : Ranking
        Scores of groups of rows and of layers are included, if there are any.
    evaluation : Evaluation, optional
        From ``ranking.evaluate(truth)``; adds the agreement of the metrics with the truth.
    stability : Stability, optional
        From ``ranking.stability()``; adds intervals, ranks and ties.
    title : str, optional
        Heading of the page. Default: the number of models, and the metric.

    Returns
    -------
    page : str
        A complete document that loads no other files; write it as UTF-8. Names and notes are
        escaped. Equal arguments return equal text.

    Raises
    ------
    DataError
        If `evaluation` or `stability` was made from another ranking.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(300, 6))
    >>> ranking = tx.rank({"a": x, "b": x[::-1]}, x[:, 0] > 0)
    >>> page = tx.report.html(ranking, stability=ranking.stability())
    >>> page[:15], "http://" in page
    ('<!DOCTYPE html>', False)
    """
    if stability is not None:
        scores = {stability.metric: stability.scores}
        check_scores(ranking, "stability", stability.names, scores)
    if evaluation is not None:
        check_scores(ranking, "evaluation", evaluation.models, evaluation.scores)
    parts = [
        render_order(ranking, stability),
        render_failures(ranking),
        render_scores(ranking, stability),
        *([] if evaluation is None else [render_agreement(evaluation)]),
        render_groups(ranking),
        render_layers(ranking),
        render_notes(ranking, stability),
        render_meaning(ranking, stability),
    ]
    return build_page(title or format_heading(ranking), render_lead(ranking, stability), parts)
