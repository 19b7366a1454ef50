"""The result of one metric: a float that remembers how it came about."""

from __future__ import annotations

import math
import sys
import warnings as _warnings
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import TransferabilityWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SETS", "Score", "Scores", "collect", "issue", "json_ready", "make_scores"]

#: What stands for several metrics.
SETS = ("all", "recommended")


class Score(float):
    """A score: a float, higher is better, with everything needed to judge it.

    Arithmetic and comparison are those of its value. Scores compare across models on the same
    rows and labels only.

    Attributes
    ----------
    metric : str
        Name of the metric, as ``transferability.score`` takes it.
    task : {"classification", "regression", "multilabel"}
        What the labels were read as.
    task_note : str
        How that was decided, in words.
    n_samples, n_features : int
        Rows and columns of the features.
    n_classes : int or None
        Number of classes that occur; None without classes.
    classes : tuple of int, str or bool, or None
        The classes that occur, sorted.
    class_counts : tuple of int or None
        Rows of each of them.
    targets : tuple of int, str or bool
        One name for each entry of `per_target`: the classes, or the kept target columns.
    per_target : ndarray of shape (n_targets,)
        The score of each class or target alone, where the metric has such parts; its
        documentation says how they make up the value.
    seconds : float
        Wall time of statistics and metric together.
    warnings : tuple of str
        What deserves a second look, in whole sentences.
    details : mapping
        What only this metric has, also reachable as attributes: for LogME `alpha`, `beta`,
        `converged`, `iterations`, and `coef` and `offset` if they were asked for. Arrays are
        read-only.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(60, 4))
    >>> score = tx.logme(features, features[:, 0] > 0)
    >>> score.task, score.n_classes, score > -1
    ('classification', 2, True)
    """

    metric: str
    task: str
    task_note: str
    n_samples: int
    n_features: int
    n_classes: int | None
    classes: tuple[int | str, ...] | None
    class_counts: tuple[int, ...] | None
    targets: tuple[int | str, ...]
    per_target: NDArray[np.float64]
    seconds: float
    warnings: tuple[str, ...]
    details: Mapping[str, Any]

    def __new__(cls, value: float, **facts: Any) -> Score:
        """Make a score; `facts` are the attributes listed above."""
        self = super().__new__(cls, value)
        facts["details"] = MappingProxyType(dict(facts.get("details", {})))
        for fact in (*facts.values(), *facts["details"].values()):
            if hasattr(fact, "setflags"):  # an array
                fact.setflags(write=False)
        self.__dict__.update(facts)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        """Pickle through ``__new__``."""
        return (float(self),), {**self.__dict__, "details": dict(self.details)}

    def __getstate__(self) -> None:
        """Leave nothing to set after ``__new__``."""

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a score is a value."""
        raise AttributeError(f"a Score cannot be changed; {name} is fixed")

    def __delattr__(self, name: str) -> None:
        """Refuse: a score is a value."""
        raise AttributeError(f"a Score cannot be changed; {name} stays")

    def __getattr__(self, name: str) -> Any:
        """Find the entries of `details` as attributes."""
        details: Mapping[str, Any] = self.__dict__.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(f"this Score ({self.__dict__.get('metric')}) has no {name!r}")

    def __dir__(self) -> list[str]:
        """List the entries of `details` too."""
        return sorted({*super().__dir__(), *self.details})

    def __repr__(self) -> str:
        """Show value, metric, task and shape."""
        classes = "" if self.n_classes is None else f", n_classes={self.n_classes}"
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"Score({float(self)!r}, metric={self.metric!r}, task={self.task!r}, n_samples="
            f"{self.n_samples}, n_features={self.n_features}{classes}{warned})"
        )

    __str__ = float.__repr__

    def replace(self, **changes: Any) -> Score:
        """Return a copy with some attributes changed.

        Parameters
        ----------
        **changes
            ``value``, or any of the attributes listed above.

        Returns
        -------
        score : Score
            A new object; this one does not change.

        Raises
        ------
        TypeError
            For a name that is no attribute of a score.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> score = tx.logme(np.eye(6)[:, :2], [0, 1, 0, 1, 0, 1])
        >>> changed = score.replace(value=0.5, warnings=("Changed by hand.",))
        >>> float(changed), changed.metric, score.warnings
        (0.5, 'logme', ())
        """
        value = changes.pop("value", float(self))
        if unknown := changes.keys() - self.__dict__.keys():
            raise TypeError(f"a Score has no attribute {min(unknown)!r}; see its documentation")
        return Score(value, **{**self.__dict__, **changes})

    def with_warning(self, text: str) -> Score:
        """Return a copy with one more warning.

        Parameters
        ----------
        text : str
            A whole sentence.

        Returns
        -------
        score : Score
            A new object.
        """
        return self.replace(warnings=(*self.warnings, text))

    def explain(self) -> str:
        """Say in plain words what the number means and what to watch.

        Returns
        -------
        text : str
            Some lines: what the metric is, the data, what chance gets where ``score(...,
            reference=)`` was asked for, and what deserves a second look.
        """
        from .explain import explain

        return "\n".join(explain(self))

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain Python, ready for ``json.dumps``.

        Returns
        -------
        facts : dict
            NaN becomes None; infinities become the strings "inf" and "-inf".
        """
        facts = {"value": float(self), **self.__dict__}
        return {key: json_ready(value) for key, value in facts.items()}


class Scores(dict[str, Score]):
    """Scores by metric name; `skipped` has those of "all" that do not apply or failed, and why."""

    def __init__(self, scores: Mapping[str, Score], skipped: Mapping[str, str]) -> None:
        super().__init__(scores)
        self.skipped = dict(skipped)


def json_ready(value: Any) -> Any:
    """Turn arrays, tuples, mappings and non-finite floats into what JSON can hold."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): json_ready(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return float(value) if isinstance(value, Score) else value


def make_scores(
    options: Mapping[str, Mapping[str, Any]],
    outcomes: Mapping[str, Any],
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> dict[str, Score | Exception]:
    """Turn native outcomes into scores; exceptions are handed through."""
    return {
        name: outcome
        if isinstance(outcome := outcomes[name], Exception)
        else Score(
            outcome["value"],
            metric=name,
            **dict(facts) | _kept(facts, outcome["details"], len(outcome["per_target"])),
            per_target=outcome["per_target"],
            warnings=(*notes, *outcome["warnings"]),
            details={**chosen, **outcome["details"]},
        )
        for name, chosen in options.items()
    }


def _kept(facts: Mapping[str, Any], details: Mapping[str, Any], n_parts: int) -> dict[str, Any]:
    """Name the targets that are left where a metric left some out, or has no parts."""
    if "kept" in details:
        return {"targets": tuple(facts["targets"][i] for i in details["kept"])}
    return {} if n_parts else {"targets": ()}


def collect(
    results: Mapping[str, Score | Exception], asked: str | Sequence[str], skipped: Mapping[str, str]
) -> Score | Scores:
    """Give what the user asked for: one Score for one name, else all; raise what failed."""
    everything = isinstance(asked, str) and asked in SETS
    scores = {name: result for name, result in results.items() if isinstance(result, Score)}
    for name, result in results.items():
        if isinstance(result, Exception):
            if not everything or not scores:
                raise result
            skipped = {**skipped, name: f"failed: {result}"}
    issue(text for score in scores.values() for text in score.warnings)
    single = isinstance(asked, str) and not everything
    return scores[str(asked)] if single else Scores(scores, skipped)


def issue(texts: Iterable[str]) -> None:
    """Issue each warning once, pointing to where the user called this package."""
    package, level, frame = __name__.partition(".")[0], 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    for text in dict.fromkeys(texts):
        _warnings.warn(text, TransferabilityWarning, stacklevel=level)
