"""Shortlists: the smallest set of models that holds the best one with a given probability.

Models are added in the order of their posterior probability of being the best until these add up to
the confidence (``choose.py``). Regret, in the unit of the metric, is the true score of the best
model minus that of the chosen one.

Sources: Gupta, Technometrics 7, 1965, for subsets that hold the best of several populations; here
their probability is that of the posterior, and not the least over all true scores. Mogstad, Romano,
Shaikh and Wilhelm, Review of Economic Studies 91, 2024, for confidence sets of ranks. Renggli,
Pinto, Rimanic, Puigcerver, Riquelme, Zhang and Lucic, CVPR 2022, for the hybrid strategy: the first
by a score of the data and the first by what is known of models in general.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from .._metric.registry import title_of
from .._metric.score import json_ready
from .._ranking.render import percent
from .._util.table import Table, Tabular

__all__ = ["Shortlist"]

_SHOWN = 0.01  # models left out with a smaller probability have no line in the table
_SHARED = 1e-6  # probability that is no rounding of a sum
_NAMED = 5  # models by name in a sentence; further lines of models that are left out


@dataclass(frozen=True, eq=False, repr=False)
class Shortlist(Tabular):
    """The smallest set of models that holds the best one, and what would make it smaller.

    Attributes
    ----------
    names : tuple of str
        The models of the set, the most probable best first.
    metric, method : str, str
        The metric of the ranking, and "posterior" or "hybrid".
    confidence, probability : float
        The confidence that was asked for, and the probability that the set holds the best of all
        models. With the method "hybrid" the set does not depend on `confidence`.
    models : dict of str to float
        Every model that has a score, in the order of the ranking, with the probability that it is
        the best.
    scores : dict of str to float
        Their scores.
    regret, worst_regret : float
        Regret of choosing the first of `names`, in the unit of the metric: its mean, and the value
        that it exceeds with a probability of 1 %.
    set_regret, worst_set_regret : float
        The same for the best model of the set, which is known once all of the set are fine-tuned.
    n_units, unit : int, str
        Number of independent units of the scores, such as "rows".
    sizes : dict of int to float
        Expected size of the shortlist by numbers of units; empty if it has one model already.
    units_needed : int or None
        Number of units from which on one model is probably left. None if there is one already, or
        if a hundred times the units do not suffice.
    pair : tuple of str or None
        The two models to fine-tune first: their order removes most of the expected regret.
    pair_regret, pair_bits : float
        Expected regret of the best choice once the order of the pair is known, and the entropy in
        bits of the best model that it removes on average.
    others : dict of str to tuple of str
        Shortlists by the other metrics of the ranking that are resampled by influence functions.
    prior : tuple of float or None
        Correlation of the prior with the true scores: posterior mean, and the 5 % and 95 %
        quantiles. None without a prior.
    agreement : float or None
        Mean correlation of the metric with the truth that the probabilities allow for; None if they
        concern the metric itself.
    warnings : tuple of str
        Warnings, in whole sentences.

    Notes
    -----
    "The best" is the model with the highest score on unlimited data of the same kind. It need not
    be the best after fine-tuning, unless `agreement` says how well the metric agrees with that.
    """

    __module__ = "transferability"

    names: tuple[str, ...]
    metric: str
    method: str
    confidence: float
    probability: float
    models: Mapping[str, float]
    scores: Mapping[str, float]
    regret: float
    worst_regret: float
    set_regret: float
    worst_set_regret: float
    n_units: int
    unit: str
    sizes: Mapping[int, float] = field(default_factory=dict)
    units_needed: int | None = None
    pair: tuple[str, str] | None = None
    pair_regret: float = math.nan
    pair_bits: float = math.nan
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prior: tuple[float, float, float] | None = None
    agreement: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The set and its probability in one sentence."""
        size = len(self.names)
        listed = ", ".join(self.names[:_NAMED]) + (", …" if size > _NAMED else "")
        count = f" ({size} models)" if size > _NAMED else ""
        verb = "hold" if size > 1 else "is one of" if self._has_ties else "is"
        best = "best" if self.agreement is None else "truly best"
        return (
            f"{listed}{count} {verb} the {best} of {len(self.models)} models by "
            f"{title_of(self.metric)} with a probability of {percent(self.probability)}"
        )

    @property
    def _has_ties(self) -> bool:
        """Whether models outside the set may be as good as its best: they share a probability."""
        return self.probability - sum(self.models[name] for name in self.names) > _SHARED

    def __contains__(self, name: object) -> bool:
        """Return whether a model is in the set."""
        return name in self.names

    def __len__(self) -> int:
        """Return the number of models in the set."""
        return len(self.names)

    def _table(self) -> Table:
        """Return the set, then the models left out, its regret, and what would shrink it."""
        shown = [name for name, chance in self.models.items() if chance >= _SHOWN]
        rest = sorted(set(shown) - set(self.names), key=lambda name: -self.models[name])
        body = []
        for name in [*self.names, *rest[:_NAMED]]:
            mark = "" if name in self.names else "  (left out)"
            chance = f"{percent(self.models[name])}{mark}"
            body.append([name, f"{self.scores[name]:.4f}", chance])
        header = ["model", title_of(self.metric), "best"]
        return Table(self.summary, header, body, self.sentences(), left={0, 2})

    def sentences(self) -> list[str]:
        """Return what the numbers mean for the choice, one sentence each."""
        regret = "The regret is not known, because the best score is infinite."
        known = not math.isnan(self.regret)
        found = [self._say_regret() if known else regret, *self._say_what_shrinks()]
        if self._has_ties:
            found.append("Models of equal scores share the probability of being the best.")
        if self.prior is not None:
            mean, low, high = self.prior
            span = f"{mean:.2f} ({low:.2f} to {high:.2f})"
            found.append(f"The prior correlates with the true scores at {span}.")
        if self.agreement is None:
            claim = "The best is the highest score on unlimited rows of this kind"
            found.append(f"{claim}; fine-tuning may differ.")
        else:
            found.append(f"The truth is taken to agree with the scores at {self.agreement:.2f}.")
        return [*found, *(f"Note: {text}" for text in self.warnings)]

    def _say_regret(self) -> str:
        text = f"Regret of {self.names[0]}: {_number(self.regret)} expected, "
        text += f"{_number(self.worst_regret)} at worst (1 in 100)"
        if len(self.names) > 1:
            text += f"; of the best of the set: {_number(self.set_regret)} and "
            text += _number(self.worst_set_regret)
        return f"{text}."

    def _say_what_shrinks(self) -> list[str]:
        found = []
        if self.units_needed is not None:
            found.append(
                f"More {self.unit}: about {self.units_needed:,} (now {self.n_units:,}) leave one "
                f"model."
            )
        elif self.sizes:
            most, size = max(self.sizes.items())
            found.append(f"More {self.unit}: {most:,} still leave {size:.1f} models.")
        if self.pair is not None and self.regret > 0:
            one, other = self.pair
            found.append(
                f"Fine-tune {one} and {other} first: their order takes the expected regret from "
                f"{_number(self.regret)} to {_number(self.pair_regret)}."
            )
        if self.others:
            listed = []
            for metric, names in self.others.items():
                few = f" ({', '.join(names)})" if len(names) < len(self.names) else ""
                listed.append(f"{len(names)} by {title_of(metric)}{few}")
            found.append(f"Other metrics leave {', '.join(listed)}.")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the shortlist as plain Python, ready for JSON."""
        return cast("dict[str, Any]", json_ready({**self.__dict__, "summary": self.summary}))


def _number(value: float) -> str:
    return f"{value:.2g}"
