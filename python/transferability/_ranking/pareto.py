"""Costs of models, and the Pareto front of score and cost.

A model is on the front if no other one has at least its score at no more than its cost, with one of
the two strictly better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .._inputs.arguments import suggest
from .._inputs.by_name import as_mapping, select_models
from .._metric.registry import title_of
from .._metric.score import json_ready
from .._util.table import Table, Tabular
from ..errors import DataError, DtypeError
from .row import Row

__all__ = ["ParetoFront", "add_costs", "find_front", "format_cost", "is_gain", "is_wide"]
__all__ += ["read_costs", "select_costs"]

_ROW_COSTS = ("n_features", "seconds")  # every row has them
_LISTED = 5  # names in a message
_WIDE = 10.0  # ratio of the largest and the smallest cost from which an axis is logarithmic


@dataclass(frozen=True, eq=False, repr=False)
class ParetoFront(Tabular):
    """The models that no other model beats in both score and cost.

    Attributes
    ----------
    names : tuple of str
        The models of the front, best score first.
    metric, cost : str
        What is compared. Lower costs are better, but rates such as "rows_per_second" are better
        higher.
    scores, costs : dict of str to float
        Of all models that have both numbers, in the order of the scores.
    beaten_by : dict of str to str
        For each of the other models, one of the front that is better.
    left_out : tuple of str
        Models without a score or without a cost.
    """

    __module__ = "transferability"

    names: tuple[str, ...]
    metric: str
    cost: str
    scores: Mapping[str, float]
    costs: Mapping[str, float]
    beaten_by: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        """Return whether a model is on the front."""
        return name in self.names

    def __len__(self) -> int:
        """Return the number of models on the front."""
        return len(self.names)

    def _table(self) -> Table:
        """Return a table of all models, with the better one beside those that are beaten."""
        lines = []
        for name, score in self.scores.items():
            other = self.beaten_by.get(name)
            beaten = "on the front" if other is None else f"beaten by {other}"
            lines.append([name, f"{score:.4f}", format_cost(self.costs[name]), beaten])
        better = "higher" if is_gain(self.cost) else "lower"
        return Table(
            title=f"{len(self.names)} of {len(self.scores)} models on the front of "
            f"{title_of(self.metric)} and {self.cost} ({better} is better)",
            header=["model", title_of(self.metric), self.cost, ""],
            body=lines,
            below=[f"Left out: {', '.join(self.left_out)}"] if self.left_out else [],
            left={0, 3},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the front as plain Python, ready for JSON."""
        return cast("dict[str, Any]", json_ready(dict(self.__dict__)))


def format_cost(cost: float) -> str:
    """Return a cost with the digits that tell models apart: 86,567,656 or 0.04213."""
    return f"{cost:,.0f}" if cost >= 1000 else f"{cost:.4g}"


def is_gain(cost: str) -> bool:
    """Return whether more of a cost is better: rates, whose names end in "per_second"."""
    return cost.endswith("per_second")


def is_wide(costs: Iterable[float]) -> bool:
    """Return whether costs are positive and differ by a factor of ten or more, for a log axis."""
    known = list(costs)
    return min(known) > 0 and max(known) >= _WIDE * min(known)


def read_costs(costs: object, models: Iterable[str]) -> dict[str, dict[str, float]]:
    """Validate numbers by name of the cost and model; all are finite and at least 0."""
    known = list(models)
    by_name = as_mapping("costs", costs)
    if by_name is None:
        raise DtypeError(
            f"costs must map names of costs to numbers by model, such as "
            f"{{'parameters': {{'resnet50': 25.6e6}}}}, got {type(costs)}"
        )
    found = {}
    for name, given in by_name.items():
        own = as_mapping(f"costs[{name!r}]", given)
        if not isinstance(name, str) or own is None:
            raise DtypeError(
                f"costs[{name!r}] must map models to numbers, got {type(given)}; the names of "
                f"costs come first, such as {{'parameters': {{'resnet50': 25.6e6}}}}"
            )
        argument = f"costs[{name!r}]"
        chosen = select_models(argument, own, known)
        found[name] = {model: _read_cost(argument, model, chosen[model]) for model in chosen}
    return found


def _read_cost(argument: str, model: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DtypeError(f"{argument}[{model!r}] is {value!r}; give a number") from None
    if not 0 <= number < math.inf:
        raise DataError(f"{argument}[{model!r}] is {value!r}; give a finite number of at least 0")
    return number


def add_costs(rows: Iterable[Row], costs: Mapping[str, Mapping[str, float]]) -> tuple[Row, ...]:
    """Add costs, by name and model, to the rows that have them."""
    found = []
    for row in rows:
        own = {name: numbers[row.name] for name, numbers in costs.items() if row.name in numbers}
        found.append(row.replace(costs={**row.costs, **own}))
    return tuple(found)


def select_costs(
    rows: Sequence[Row], cost: str | Mapping[str, float]
) -> tuple[str, dict[str, float]]:
    """Return the name of a cost, and its numbers by model, where they are known."""
    if as_mapping("cost", cost) is not None:
        names = [row.name for row in rows]
        return "cost", read_costs({"cost": cost}, names)["cost"]
    if not isinstance(cost, str):
        raise DtypeError(f"cost must be the name of a cost or numbers by model, got {type(cost)}")
    if cost in _ROW_COSTS and not any(cost in row.costs for row in rows):
        values = {row.name: getattr(row, cost) for row in rows}
    else:
        values = {row.name: row.costs.get(cost) for row in rows}
    found = {name: float(value) for name, value in values.items() if value is not None}
    if not found:
        known = dict.fromkeys([*(name for row in rows for name in row.costs), *_ROW_COSTS])
        raise DataError(
            f"no model has a cost {cost!r}{suggest(cost, known)}; there are {', '.join(known)}; "
            f"give others by rank(..., costs=...), or cost as numbers by model"
        )
    return cost, found


def find_front(
    rows: Sequence[Row],
    metric: str,
    cost: str | Mapping[str, float],
    compared: Sequence[Row] | None = None,
) -> ParetoFront:
    """Find the models that no other one beats in both score and cost, of those that compare.

    By default all `rows` do; the others are left out.
    """
    compared = rows if compared is None else compared
    name, costs = select_costs(rows, cost)
    scores = {row.name: row.value(metric) for row in compared if row.name in costs}
    ordered = sorted(
        (model for model, score in scores.items() if not math.isnan(score)),
        key=lambda model: (-scores[model], -costs[model] if is_gain(name) else costs[model], model),
    )
    if not ordered:
        raise DataError(f"no model has both a {metric} and a {name}; give costs of scored models")
    front: list[str] = []
    beaten_by: dict[str, str] = {}
    for model in ordered:  # the last of the front is the cheapest so far
        last = front[-1] if front else None
        if last is not None and _is_beaten(model, last, scores, costs, is_gain(name)):
            beaten_by[model] = next(
                other for other in front if _is_beaten(model, other, scores, costs, is_gain(name))
            )
        else:
            front.append(model)
    return ParetoFront(
        names=tuple(front),
        metric=metric,
        cost=name,
        scores={model: scores[model] for model in ordered},
        costs={model: costs[model] for model in ordered},
        beaten_by=beaten_by,
        left_out=tuple(row.name for row in rows if row.name not in ordered),
    )


def _is_beaten(
    model: str, other: str, scores: Mapping[str, float], costs: Mapping[str, float], gain: bool
) -> bool:
    """Return whether `other` is at least as good in both, and better in one."""
    sign = -1 if gain else 1
    cheaper = sign * (costs[model] - costs[other])
    better = scores[other] > scores[model], cheaper > 0
    return scores[other] >= scores[model] and cheaper >= 0 and any(better)
