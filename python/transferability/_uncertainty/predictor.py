"""Numbers known before any features are read, as predictors of the true scores of models.

The weight of such numbers in a posterior is their correlation ρ with the true scores over models.
Without further knowledge ρ is uniform on -1 to 1, and the scores themselves tell it. Past tasks
tell it better: the correlations r_t over n_t models there are combined on Fisher's scale,

    atanh r_t ~ N(ζ, h² + 1 / (n_t - 3)),

with the mean ζ and the spread h of tasks on a grid, and ρ of the new task is predicted from these.

Source: Fisher, Metron 1, 1921, for the scale; DerSimonian and Laird, Controlled Clinical Trials 7,
1986, for the spread between studies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._inputs.by_name import as_mapping
from .._metric.derived import PRIOR
from ..errors import DataError, DtypeError
from .mixture import CORRELATIONS

if TYPE_CHECKING:
    from ..agreement._evaluation import Evaluation

__all__ = ["learn_agreement", "learn_prior_weights", "read_numbers", "standardise"]

Matrix = NDArray[np.float64]
_FEWEST = 4  # models of a past task: Fisher's variance is 1 / (n - 3)
_LISTED = 5  # names in a message
_SCALE: Matrix = np.arctanh(CORRELATIONS)
#: Density of a uniform correlation on Fisher's scale.
_UNIFORM: Matrix = (1 - CORRELATIONS**2) / (1 - CORRELATIONS**2).sum()
#: Spreads between tasks on Fisher's scale, with a half-normal prior of scale 0.5.
_SPREADS: Matrix = np.linspace(0.05, 1.5, 30)
_SPREAD_WEIGHTS: Matrix = np.exp(-2 * _SPREADS**2)
_LARGEST = 0.999  # correlation of a past task that counts; at 1 Fisher's scale is infinite


def read_numbers(
    argument: str, numbers: object, models: Sequence[str], least: int = 1
) -> dict[str, float]:
    """Validate a mapping of model names to finite numbers that has all these models.

    `argument` names it in messages. It may have further models.
    """
    known = as_mapping(argument, numbers)
    if known is None:
        raise DtypeError(
            f"{argument} must be a mapping of model names to numbers, got {type(numbers)}"
        )
    missing = [name for name in models if name not in known]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DataError(
            f"{argument} has no number for {', '.join(missing[:_LISTED])}{more}, of {len(models)} "
            f"models; give one for each model that has a score, or leave {argument} out "
            f"({argument}=False)"
        )
    if len(known) < least:
        raise DataError(f"{argument} has {len(known)} numbers; give at least {least}")
    found = {}
    for name, value in known.items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise DtypeError(f"{argument}[{name!r}] is {value!r}; give a number") from None
        if not math.isfinite(found[name]):
            raise DataError(f"{argument}[{name!r}] is {value!r}; give a finite number")
    return found


def standardise(numbers: Mapping[str, float], models: Sequence[str]) -> Matrix | None:
    """Return the numbers of these models, with mean 0 and variance 1; None if all are equal."""
    values = np.array([numbers[name] for name in models])
    values = values - values.mean()
    spread = float(np.sqrt(np.mean(values**2)))
    return None if spread <= 1e-12 * float(np.abs(values).max(initial=0)) else values / spread


def learn_prior_weights(past: object, numbers: Mapping[str, float]) -> Matrix:
    """Return the weights of CORRELATIONS for the prior numbers, learnt from past truths.

    `past` maps names of past tasks to truths by model, or holds evaluations of past rankings, whose
    own column "prior" is used if there is one.
    """
    if past is None:
        return _UNIFORM
    found = []
    for task, entry in _list_tasks("past", past):
        own: Mapping[str, float] = numbers
        if isinstance(entry, Mapping):
            truth = read_numbers(task, entry, [], least=_FEWEST)
        else:
            truth = dict(zip(entry.models, entry.truth.tolist(), strict=True))
            if PRIOR in entry.scores:
                own = dict(zip(entry.models, entry.scores[PRIOR].tolist(), strict=True))
        missing = [name for name in truth if not math.isfinite(own.get(name, math.nan))]
        if missing:
            listed = ", ".join(missing[:_LISTED])
            raise DataError(f"prior has no number for {listed} of {task}; give it, or leave it out")
        found.append(_correlate(task, [own[name] for name in truth], [*truth.values()]))
    return _combine(found)


def learn_agreement(agreement: object, metric: str) -> Matrix:
    """Return weights of CORRELATIONS for the metric with the truth, from past evaluations."""
    found = []
    for task, entry in _list_tasks("agreement", agreement):
        if isinstance(entry, Mapping) or metric not in entry.scores:
            raise DataError(
                f"{task} has no scores by {metric}; give ranking.evaluate(truth) of past rankings "
                f"by {metric}, or a number in (0, 1]"
            )
        scores = entry.scores[metric]
        seen = np.isfinite(scores)
        found.append(_correlate(task, scores[seen].tolist(), entry.truth[seen].tolist()))
    return _combine(found)


def _list_tasks(argument: str, given: object) -> list[tuple[str, Mapping[str, float] | Evaluation]]:
    """Return past tasks with their names; each is a mapping or an evaluation."""
    from ..agreement._evaluation import Evaluation

    if isinstance(given, Evaluation):
        given = [given]
    named: list[tuple[str, object]]
    tasks = as_mapping(argument, given)
    if tasks is not None:
        named = [(f"{argument}[{name!r}]", entry) for name, entry in tasks.items()]
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        named = [(f"{argument}[{i}]", entry) for i, entry in enumerate(given)]
    else:
        raise DtypeError(
            f"{argument} must map past tasks to truths by model, or list evaluations, got "
            f"{type(given)}"
        )
    if not named:
        raise DataError(f"{argument} is empty; give at least one past task")
    found: list[tuple[str, Mapping[str, float] | Evaluation]] = []
    for name, entry in named:
        known = entry if isinstance(entry, Evaluation) else as_mapping(name, entry)
        if known is None:
            raise DtypeError(
                f"{name} must map models to truths, or be an evaluation, got {type(entry)}"
            )
        found.append((name, known))
    return found


def _correlate(task: str, x: Sequence[float], y: Sequence[float]) -> tuple[float, int]:
    """Return the correlation over the models of a past task, and their number."""
    if len(x) < _FEWEST:
        raise DataError(f"{task} has {len(x)} models with both numbers; give at least {_FEWEST}")
    a, b = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if size == 0:
        raise DataError(f"{task} has equal numbers for all models, which tell no weight")
    return float(np.clip((a * b).sum() / size, -_LARGEST, _LARGEST)), len(x)


def _combine(found: Sequence[tuple[float, int]]) -> Matrix:
    """Return the predictive weights of CORRELATIONS for a new task."""
    log = np.tile(np.log(_UNIFORM), (len(_SPREADS), 1))  # of (h, ζ)
    for r, n in found:
        variance = (_SPREADS**2 + 1 / (n - 3))[:, None]
        log = log - 0.5 * np.log(variance) - 0.5 * (math.atanh(r) - _SCALE) ** 2 / variance
    posterior = np.exp(log - log.max()) * _SPREAD_WEIGHTS[:, None]
    # The new task's own correlation lies about ζ with the spread h.
    step = np.exp(-0.5 * ((_SCALE[:, None] - _SCALE) / _SPREADS[:, None, None]) ** 2)
    weights = np.einsum("hz,hzr->r", posterior, step / step.sum(axis=2, keepdims=True))
    result: Matrix = weights / weights.sum()
    return result
