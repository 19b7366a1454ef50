"""Race: the options of a race, and their validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real

from ..errors import DataError, DtypeError

__all__ = ["Race", "read_race"]


@dataclass(frozen=True)
class Race:
    """Options of a race, for ``rank(..., race=)`` and ``rank_models(..., race=)``.

    Rows come in rounds, the same for all models: a prefix of one random order, in which every
    class has its share of each prefix. After each round, models that are unlikely to be among the
    best on all rows are dropped.

    Parameters
    ----------
    top : int, default=3
        Number of finalists: the race ends when no more models are left.
    confidence : float, default=0.98
        The best model is among the finalists with at least this probability. The probabilities of
        having dropped it, doubled and added up over all models and rounds, stay below
        ``1 - confidence``.
    level : float, default=0.15
        Bound on the expected share of the true `top` models that are dropped, added up over all
        models and rounds in the same way.
    first : int, optional
        Rows of the first round. Default: 100, or four for each class if that is more.
    growth : float, default=1.5
        Factor by which the variance that is left, in proportion to 1/n - 1/N after n of N rows,
        falls from one round to the next. While n is small the rows grow by this factor, and later
        by less.
    max_samples : int, optional
        The race ends with a round of at most this many rows. Default: all rows.
    seconds : float, optional
        Time budget: no round begins that would probably end later.
    seed : int, default=0
        Seed of the order of the rows. Equal seeds give equal races.

    Raises
    ------
    DataError, DtypeError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2000, 8))
    >>> models = {f"noise {s}": x + s * rng.normal(size=x.shape) for s in (0, 1, 2, 4, 8)}
    >>> ranking = tx.rank(models, x[:, 0] > 0, race=tx.Race(top=2, seed=1))
    >>> ranking.best.name, ranking.race.passes_saved > 0
    ('noise 0', True)
    """

    __module__ = "transferability"

    top: int = 3
    confidence: float = 0.98
    level: float = 0.15
    first: int | None = None
    growth: float = 1.5
    max_samples: int | None = None
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate all values."""
        _check_count("top", self.top, 1)
        _check_count("seed", self.seed, 0)
        for name in ("first", "max_samples"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), 4)
        _check_number("confidence", self.confidence, 0.5, 1.0)
        _check_number("level", self.level, 0.0, 1.0)
        _check_number("growth", self.growth, 1.05, 100.0)
        if self.seconds is not None:
            _check_number("seconds", self.seconds, 0.0, math.inf)
        for field in fields(self):  # numbers of numpy become plain
            value = getattr(self, field.name)
            if isinstance(value, Integral):
                object.__setattr__(self, field.name, int(value))
            elif value is not None:
                object.__setattr__(self, field.name, float(value))


def read_race(race: object, seed: int = 0) -> Race | None:
    """Return the options of the argument `race`; None without a race."""
    if race is None or race is False:
        return None
    if race is True:
        return Race(seed=seed)
    if isinstance(race, Race):
        return race
    raise DtypeError(f"race is {race!r}; give True, or transferability.Race(...) with options")


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise DtypeError(f"{name} of a race must be a whole number, got {value!r}")
    if value < least:
        raise DataError(f"{name} of a race is {value}; give at least {least}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise DtypeError(f"{name} of a race must be a number, got {value!r}")
    if not low < float(value) < high:
        raise DataError(f"{name} of a race is {value}; give a number between {low} and {high}")
