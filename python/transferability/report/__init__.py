"""Render a ranking as one self-contained HTML file, without scripts or network requests.

The page explains its numbers. It suits phones and desktops, light and dark mode.
"""

from __future__ import annotations

import numpy as np

from .._inputs.arguments import check_result
from .._ranking.ranking import Ranking
from .._ranking.render import check_scores
from .._uncertainty.shortlist import Shortlist
from .._uncertainty.stability import Stability
from .._util.public import present
from ..agreement._evaluation import Evaluation
from . import _sections as sections
from ._choice import render_costs, render_shortlist
from ._page import build_page
from ._race import render_race

__all__ = ["html"]


def html(
    ranking: Ranking,
    evaluation: Evaluation | None = None,
    stability: Stability | None = None,
    *,
    shortlist: Shortlist | None = None,
    title: str | None = None,
) -> str:
    """Render a ranking, its uncertainty and an explanation of its numbers as one HTML page.

    Parameters
    ----------
    ranking : Ranking
        Scores of groups of rows and of layers are included, if there are any.
    evaluation, stability : optional
        From ``ranking.evaluate(truth)``, adds the agreement of the metrics with the truth; from
        ``ranking.stability()``, adds intervals, ranks and ties.
    shortlist : Shortlist, optional
        From ``ranking.shortlist()``. Default: the one of `stability`, if that is given.
    title : str, optional
        Heading of the page. Default: the number of models, and the metric.

    Returns
    -------
    page : str
        A complete document that loads no other files; write it as UTF-8. Names and notes are
        escaped. Equal arguments return equal text. A notebook shows it as the report; its style
        reaches nothing else there.

    Raises
    ------
    DataError, DtypeError
        If `evaluation`, `stability` or `shortlist` was made from another ranking, or is none.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(300, 6))
    >>> ranking = tx.rank({"a": x, "b": x[::-1]}, x[:, 0] > 0)
    >>> page = tx.report.html(ranking, stability=ranking.stability())
    >>> page[:15], "http://" in page
    ('<!DOCTYPE html>', False)
    """
    check_result("ranking", ranking, Ranking)
    for name, value, kind in (
        *(("evaluation", evaluation, Evaluation), ("stability", stability, Stability)),
        ("shortlist", shortlist, Shortlist),
    ):
        check_result(name, value, kind, optional=True)
    own = (ranking.rows, ranking.metrics)
    if stability is not None:
        scores = {stability.metric: stability.scores}
        check_scores(*own, "stability", stability.names, scores)
        shortlist = _make_shortlist(stability) if shortlist is None else shortlist
    if shortlist is not None:
        scores = {shortlist.metric: np.array([*shortlist.scores.values()])}
        check_scores(*own, "shortlist", [*shortlist.scores], scores)
    if evaluation is not None:
        check_scores(*own, "evaluation", evaluation.models, evaluation.scores)
    parts = [
        sections.render_order(ranking, stability),
        *([] if shortlist is None else [render_shortlist(shortlist)]),
        render_race(ranking),
        sections.render_failures(ranking),
        sections.render_scores(ranking, stability),
        sections.render_health(ranking),
        *([] if evaluation is None else [sections.render_agreement(evaluation)]),
        render_costs(ranking),
        sections.render_groups(ranking),
        sections.render_layers(ranking),
        sections.render_notes(ranking, stability),
        sections.render_meaning(ranking, stability),
    ]
    lead = sections.render_lead(ranking, stability, evaluation)
    return build_page(title or sections.format_heading(ranking), lead, parts)


def _make_shortlist(stability: Stability) -> Shortlist:
    """Return the shortlist with the prior of the ranking, or without one that lacks models."""
    known = all(name in stability.prior for name in stability.names)
    return stability.shortlist(prior=None if known else False)


present(globals())
