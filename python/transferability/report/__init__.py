"""A ranking as one HTML file that explains itself: no script, no request, no dependency.

It reads on a phone and on a desk, in light and in dark, and asks nothing of the network, so it
can be mailed, archived, or opened years later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._agreement import agreement
from ._numbers import failed, groups, layers, numbers
from ._order import check, heading, lead, order
from ._page import page
from ._words import meaning, notes

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
    """Write a ranking, how sure it is and what its numbers mean as one HTML page.

    Parameters
    ----------
    ranking : Ranking
        Its groups of rows and layers of models are shown too, where it has them.
    evaluation : Evaluation, optional
        From ``ranking.evaluate(truth)``: adds how well the metrics agree with the truth.
    stability : Stability, optional
        From ``ranking.stability()``: adds intervals, ranks and ties.
    title : str, optional
        The page's heading. Default: how many models, by which metric.

    Returns
    -------
    page : str
        A whole document in UTF-8 that loads nothing from elsewhere. Equal arguments give equal
        text. All names and notes are escaped.

    Raises
    ------
    DataError
        If `evaluation` or `stability` belong to another ranking.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(300, 6))
    >>> ranking = tx.rank({"a": x, "b": x[::-1]}, x[:, 0] > 0)
    >>> page = tx.report.html(ranking, stability=ranking.stability())
    >>> page[:15], "http://" in page
    ('<!DOCTYPE html>', False)
    """
    check(ranking, evaluation, stability)
    parts = [
        order(ranking, stability),
        failed(ranking),
        numbers(ranking, stability),
        *([] if evaluation is None else [agreement(evaluation)]),
        groups(ranking),
        layers(ranking),
        notes(ranking, stability),
        meaning(ranking, stability),
    ]
    return page(title or heading(ranking), lead(ranking, stability), parts)
