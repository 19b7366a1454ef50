"""The result of a check of features, and its table as text and HTML."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .._metric.score import json_ready
from .._util.table import Table, Tabular
from ._units import Norms

__all__ = ["Health", "tabulate"]


@dataclass(frozen=True, eq=False, repr=False)
class Health(Tabular):
    """Health of features, beside random features of the same shape.

    Attributes
    ----------
    n_samples, n_features : int
        Shape of the features.
    verdict : str
        One sentence on collapse, from the effective rank about the mean beside that of random
        features: below 10 % of it is a dimensional collapse, below 50 % a narrow spectrum. These
        limits are conventions.
    rankme, covariance_rank, centred_rank : float
        :func:`effective_rank` by the conventions "rankme", "covariance" and "centred".
    participation_ratio : float
        :func:`participation_ratio`.
    alpha_req, lidar : float or None
        :func:`alpha_req` and :func:`lidar`; None with a reason in `missing`.
    rank : int
        Number of eigenvalues of the covariance that are not rounding.
    variance_share : float
        Share of the variance in the mean of the squared norms; the rest is a common offset.
    norms : Norms
        :func:`norms`.
    dead_units : tuple of int
        :func:`dead_units`.
    duplicate_units : tuple of tuple of int
        :func:`duplicate_units`.
    null : mapping of str to float
        The mean value for random features, by the name of the attribute; "norm_variation" for
        ``norms.variation``.
    missing : mapping of str to str
        Reasons why an attribute is None.
    notes : tuple of str
        Remarks on the rows and units, in sentences.
    """

    n_samples: int
    n_features: int
    verdict: str
    rankme: float
    covariance_rank: float
    centred_rank: float
    participation_ratio: float
    alpha_req: float | None
    lidar: float | None
    rank: int
    variance_share: float
    norms: Norms
    dead_units: tuple[int, ...]
    duplicate_units: tuple[tuple[int, ...], ...]
    null: Mapping[str, float]
    missing: Mapping[str, str]
    notes: tuple[str, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the mappings as dicts."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        facts |= {"null": dict(self.null), "missing": dict(self.missing)}
        return functools.partial(Health, **facts), ()

    def _table(self) -> Table:
        """Return the table of all numbers, the verdict and the notes."""
        return tabulate({"value": self})

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as plain Python, ready for ``json.dumps``."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        norms = {"rms": self.norms.rms, "variation": self.norms.variation}
        return {name: json_ready(value) for name, value in {**facts, "norms": norms}.items()}


#: The rows of the table: a title, the name of the null value, and the value.
_ROWS: tuple[tuple[str, str, Callable[[Health], float | None]], ...] = (
    ("effective rank, RankMe", "rankme", lambda h: h.rankme),
    ("effective rank, covariance", "covariance_rank", lambda h: h.covariance_rank),
    ("effective rank, centred", "centred_rank", lambda h: h.centred_rank),
    ("participation ratio", "participation_ratio", lambda h: h.participation_ratio),
    ("α-ReQ", "alpha_req", lambda h: h.alpha_req),
    ("LiDAR", "lidar", lambda h: h.lidar),
    ("rank", "rank", lambda h: h.rank),
    ("share of the variance", "variance_share", lambda h: h.variance_share),
    ("norm, root mean square", "norm_rms", lambda h: h.norms.rms),
    ("variation of squared norms", "norm_variation", lambda h: h.norms.variation),
    ("dead units", "dead_units", lambda h: len(h.dead_units)),
    ("duplicate units", "duplicate_units", lambda h: sum(len(g) - 1 for g in h.duplicate_units)),
)


def tabulate(found: Mapping[str, Health]) -> Table:
    """Return a table with a value and its null value for each name, verdicts and notes below.

    The null values of all have one heading, which is in brackets because it names no features.
    """
    header = [""]
    for name in found:
        header += [name, "(random)"]
    shape = ["rows x features"]
    for health in found.values():
        shape += [f"{health.n_samples} x {health.n_features}", ""]
    rows = [shape]
    for title, key, value_of in _ROWS:
        row = [title]
        for health in found.values():
            row += [_format(value_of(health)), _format(health.null.get(key))]
        rows.append(row)
    return Table("", header, rows, _below(found), together=2)


def _below(found: Mapping[str, Health]) -> list[str]:
    """Return verdicts, then remarks, each once; with several sets each line names its own."""
    lines: list[str] = []
    for name, health in found.items():
        prefix = f"{name}: " if len(found) > 1 else ""
        own, general = [*health.notes[:-1]], health.notes[-1:]
        lines += [prefix + line for line in (health.verdict, *own)]
    return [*lines, *general] if found else lines


def _format(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) or value == round(value):
        return f"{value:.0f}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
