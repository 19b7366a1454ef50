"""The result of ``Ranking.stability``: how sure the order of some models is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._metric.registry import title_of
from .._metric.score import json_ready

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._stats.stats import Stats

    Matrix = NDArray[np.float64]

__all__ = ["Stability"]


@dataclass(frozen=True, eq=False, repr=False)
class Stability:
    """How sure the order of some models is.

    Attributes
    ----------
    names : tuple of str
        The models that have a score, best first.
    metric : str
        What they are sorted by.
    scores, standard_errors : ndarray of shape (n_models,)
        The scores, and what other rows of the same kind would change them by.
    intervals : ndarray of shape (n_models, 2)
        Of the scores, at `level`.
    ranks : ndarray of shape (n_models, 2), int
        Best and worst rank of each model at `level`.
    first : dict of str to float
        How likely each model is truly the first among these.
    pairwise : ndarray of shape (n_models, n_models)
        How likely the model of the row is truly better than that of the column.
    ties : tuple of tuple of str
        Models in order, together where the first of them is not better than the others with a
        probability of `level`.
    replicates : ndarray of shape (n_boot, n_models)
        Resampled scores, centred at the scores.
    bias : ndarray of shape (n_models,)
        How far the resampled scores lay from the scores on average before; 0 to first order.
    method, unit : str
        How, and what was resampled: "rows", "groups" or "blocks".
    n_units : int
        How many of these there are.
    level : float
        Of the intervals and ties.
    warnings : tuple of str
        What deserves a second look.

    Notes
    -----
    Standard errors come from the resamples. Probabilities also count that the model which looks
    best does so partly by luck: the true scores have a normal prior whose width is learnt from
    the ranking, which leaves well separated models alone and draws those within the noise
    together.
    """

    __module__ = "transferability"

    names: tuple[str, ...]
    metric: str
    scores: Matrix
    standard_errors: Matrix
    intervals: Matrix
    ranks: NDArray[np.int64]
    first: Mapping[str, float]
    pairwise: Matrix
    ties: tuple[tuple[str, ...], ...]
    replicates: Matrix
    bias: Matrix
    method: str
    unit: str
    n_units: int
    level: float
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_shards(
        cls,
        shards: Mapping[str, Sequence[Stats]],
        metric: str = "logme",
        *,
        n_boot: int = 200,
        level: float = 0.9,
        seed: int = 0,
        **options: Any,
    ) -> Stability:
        """Say how sure the order of models is from the statistics of their shards alone.

        Parameters
        ----------
        shards : mapping of str to sequence of Stats
            For each model its statistics by shard (file, video, site): the same shards in the
            same order for all, at least three.
        metric : str, default="logme"
            One that statistics suffice for.
        n_boot, level, seed
            As in :meth:`Ranking.stability`.
        **options
            Of the metric.

        Returns
        -------
        stability : Stability
            By the jackknife: one shard left out at a time.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good, poor = rng.normal(size=(400, 6)), rng.normal(size=(400, 6))
        >>> labels, cuts = good[:, 0] > 0, range(0, 400, 40)
        >>> shards = {
        ...     name: [tx.Stats().update(x[i : i + 40], labels[i : i + 40]) for i in cuts]
        ...     for name, x in {"good": good, "poor": poor}.items()
        ... }
        >>> tx.Stability.from_shards(shards).names
        ('good', 'poor')
        """
        from .rank_probabilities import of_shards

        return of_shards(shards, metric, n_boot, level, seed, options)

    def __repr__(self) -> str:
        """Show the table as text."""
        header = ["model", title_of(self.metric), "± s.e.", "rank", "first"]
        lines = [header]
        for i, name in enumerate(self.names):
            low, high = self.ranks[i]
            lines.append(
                [
                    name,
                    f"{self.scores[i]:.4f}",
                    f"{self.standard_errors[i]:.4f}",
                    f"{low}" if low == high else f"{low}-{high}",
                    f"{self.first[name]:.0%}",
                ]
            )
        widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
        table = [
            "  ".join(
                cell.ljust(width) if k == 0 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        title = (
            f"{len(self.names)} models by {title_of(self.metric)}, {len(self.replicates)} "
            f"resamples of {self.n_units} {self.unit} ({self.method}); ranks at {self.level:.0%}"
        )
        order = "Order: " + " > ".join(" ≈ ".join(tie) for tie in self.ties)
        notes = [f"Note: {text}" for text in self.warnings]
        return "\n".join([title, "", *table, "", order, *notes])

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the resamples as plain Python, ready for JSON."""
        known = {key: value for key, value in self.__dict__.items() if key != "replicates"}
        facts: dict[str, Any] = json_ready(known)
        return facts

    def columns(self) -> dict[str, list[Any]]:
        """Give the table by column, for data frames."""
        return {
            "model": list(self.names),
            self.metric: self.scores.tolist(),
            "standard_error": self.standard_errors.tolist(),
            "low": self.intervals[:, 0].tolist(),
            "high": self.intervals[:, 1].tolist(),
            "best_rank": self.ranks[:, 0].tolist(),
            "worst_rank": self.ranks[:, 1].tolist(),
            "first": [self.first[name] for name in self.names],
        }
