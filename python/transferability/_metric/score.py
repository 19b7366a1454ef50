"""The result of one metric: a float with the data, options and warnings behind it."""

from __future__ import annotations

import math
import sys
import warnings as _warnings
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import TransferabilityWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "SETS",
    "Score",
    "Scores",
    "collect",
    "issue",
    "json_ready",
    "make_outcome",
    "make_scores",
    "unpack_outcome",
]

#: Where a score keeps the arguments of `_attributes` until its attributes are made.
_PENDING = "_pending"
#: Types that are no arrays; most facts are of these.
_PLAIN = frozenset({str, int, float, bool, tuple, dict, type(None)})
#: Names that stand for several metrics.
SETS = ("all", "recommended")


class Score(float):
    """A score: a float, higher is better, with the facts needed to judge it.

    Arithmetic and comparison use the value alone. Compare scores of models on the same rows and
    labels only.

    Attributes
    ----------
    metric : str
        Name of the metric, as ``transferability.score`` takes it.
    task : {"classification", "regression", "multilabel"}
        The task that the labels describe.
    task_note : str
        Reason for the task, in words.
    n_samples, n_features : int
        Rows and columns of the features.
    n_classes : int or None
        Number of classes that occur; None without classes.
    classes : tuple of int, str or bool, or None
        The classes that occur, sorted.
    class_counts : tuple of int or None
        Number of rows of each class.
    targets : tuple of int, str or bool
        One name for each entry of `per_target`: the classes, or the kept target columns.
    per_target : ndarray of shape (n_targets,)
        The part of each class or target, where the metric has such parts; its documentation
        states how they add up to the value.
    seconds : float
        Wall time of statistics and metric together.
    warnings : tuple of str
        Caveats, in whole sentences.
    details : mapping
        Options and results of this metric alone, also available as attributes: for LogME `alpha`,
        `beta`, `converged`, `iterations`, and with ``keep_coef=True`` `coef` and `offset`. Arrays
        are read-only.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(60, 4))
    >>> score = tx.logme(features, features[:, 0] > 0)
    >>> score.task, score.n_classes, score > -1
    ('classification', 2, True)
    """

    __module__ = "transferability"

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
        """Create a score; `facts` are the attributes listed above."""
        self = super().__new__(cls, value)
        facts["details"] = MappingProxyType(_freeze(facts.get("details", {})))
        self.__dict__.update(_freeze(facts))
        return self

    @classmethod
    def _of_outcome(cls, value: float, warnings: tuple[str, ...], *parts: Any) -> Score:
        """Create a score whose attributes are made by ``_attributes(warnings, *parts)``.

        They are made when the first of them is read, because many callers read the value alone.
        """
        self = float.__new__(cls, value)
        self.__dict__[_PENDING] = (warnings, *parts)
        return self

    def _facts(self) -> dict[str, Any]:
        """Return the attributes by name."""
        facts = self.__dict__
        if (pending := facts.get(_PENDING)) is not None:
            # Another thread may do the same meanwhile, with equal results.
            facts.update(_attributes(*pending))
            facts.pop(_PENDING, None)
        return facts

    def _known_warnings(self) -> tuple[str, ...]:
        """Return the warnings without making the other attributes."""
        pending = self.__dict__.get(_PENDING)
        return self.warnings if pending is None else pending[0]

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        """Pickle through ``__new__``."""
        return (float(self),), {**self._facts(), "details": dict(self.details)}

    def __getstate__(self) -> None:
        """Return no state: ``__new__`` sets everything."""

    def __setattr__(self, name: str, value: object) -> None:
        """Raise AttributeError: a score is immutable."""
        raise AttributeError(f"a Score cannot be changed; {name} is fixed")

    def __delattr__(self, name: str) -> None:
        """Raise AttributeError: a score is immutable."""
        raise AttributeError(f"a Score cannot be changed; {name} stays")

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that is made when it is first read, or an entry of `details`."""
        facts = self._facts()
        if name in facts:
            return facts[name]
        details: Mapping[str, Any] = facts.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(f"this Score ({facts.get('metric')}) has no {name!r}")

    def __dir__(self) -> list[str]:
        """List the attributes, and the entries of `details`."""
        return sorted({*super().__dir__(), *self._facts(), *self.details} - {_PENDING})

    def __repr__(self) -> str:
        """Return value, metric, task and shape."""
        classes = "" if self.n_classes is None else f", n_classes={self.n_classes}"
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"Score({float(self)!r}, metric={self.metric!r}, task={self.task!r}, n_samples="
            f"{self.n_samples}, n_features={self.n_features}{classes}{warned})"
        )

    __str__ = float.__repr__

    def _repr_html_(self) -> str:
        """Return value, task and shape as a table for notebooks, with the warnings below."""
        from .explain import tabulate_scores

        return tabulate_scores({self.metric: self}, {})

    def replace(self, **changes: Any) -> Score:
        """Return a copy with some attributes changed.

        Parameters
        ----------
        **changes
            ``value``, or any of the attributes listed above; TypeError for other names.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> score = tx.logme(np.eye(6)[:, :2], [0, 1, 0, 1, 0, 1])
        >>> changed = score.replace(value=0.5, warnings=("Changed by hand.",))
        >>> float(changed), changed.metric, score.warnings
        (0.5, 'logme', ())
        """
        value = changes.pop("value", float(self))
        facts = self._facts()
        if unknown := changes.keys() - facts.keys():
            raise TypeError(f"a Score has no attribute {min(unknown)!r}; see its documentation")
        return Score(value, **{**facts, **changes})

    def with_warning(self, text: str) -> Score:
        """Return a copy with one more warning.

        Parameters
        ----------
        text : str
            The warning, a whole sentence.
        """
        return self.replace(warnings=(*self.warnings, text))

    def explain(self) -> str:
        """Return an interpretation of the score in plain words.

        It has lines on the metric, the groups, the null baselines (with ``score(...,
        reference=)``), the data and the caveats.
        """
        from .explain import explain

        return "\n".join(explain(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the value and all attributes as plain Python, ready for ``json.dumps``.

        NaN becomes None; infinities become the strings "inf" and "-inf".
        """
        facts = {"value": float(self), **self._facts()}
        return {key: json_ready(value) for key, value in facts.items()}


class Scores(dict[str, Score]):
    """Scores by metric name.

    Parameters
    ----------
    scores : mapping of str to Score
        The entries.
    skipped : mapping of str to str
        The attribute of this name.

    Attributes
    ----------
    skipped : dict of str to str
        The metrics of "all" that do not apply or failed, with the reason.
    """

    __module__ = "transferability"

    def __init__(self, scores: Mapping[str, Score], skipped: Mapping[str, str]) -> None:
        super().__init__(scores)
        self.skipped = dict(skipped)

    def _repr_html_(self) -> str:
        """Return the scores as a table for notebooks; warnings and skipped metrics stand below."""
        from .explain import tabulate_scores

        return tabulate_scores(self, self.skipped)


def json_ready(value: Any) -> Any:
    """Convert arrays, tuples, mappings and non-finite floats to types that JSON has."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): json_ready(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return float(value) if isinstance(value, Score) else value


def make_outcome(
    value: float, details: Mapping[str, Any] | None = None, warnings: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the outcome of a metric without `per_target` that Python computes."""
    import numpy as np

    return {
        "value": value,
        "per_target": np.empty(0),
        "details": dict(details or {}),
        "warnings": [*warnings],
        "exact": True,
    }


def make_scores(
    options: Mapping[str, Mapping[str, Any]],
    outcomes: Mapping[str, Any],
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> dict[str, Score | Exception]:
    """Convert native outcomes to scores, and keep the exceptions among them."""
    scores: dict[str, Score | Exception] = {}
    for name, chosen in options.items():
        outcome = outcomes[name]
        if isinstance(outcome, Exception):
            scores[name] = outcome
        else:
            value, warnings = _read_outcome(outcome)
            scores[name] = Score._of_outcome(
                value, (*notes, *warnings), name, outcome, chosen, facts
            )
    return scores


def _read_outcome(outcome: Any) -> tuple[float, Sequence[str]]:
    """Return the value and the warnings of an outcome, the native module's or one of Python."""
    if isinstance(outcome, _core.Outcome):
        return outcome.value, outcome.warnings
    return outcome["value"], outcome["warnings"]


def unpack_outcome(outcome: Any) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return `per_target` and the details of an outcome, the same objects in every call."""
    if isinstance(outcome, _core.Outcome):
        per_target, details = outcome.unpack()
        for array in (per_target, *details.values()):
            if type(array) not in _PLAIN and hasattr(array, "setflags"):
                array.setflags(write=False)  # nobody else has it
        return per_target, details
    return outcome["per_target"], outcome["details"]


def _attributes(
    warnings: tuple[str, ...],
    metric: str,
    outcome: Any,
    chosen: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the attributes of a score: its outcome, the options chosen, the facts of the call."""
    per_target, details = unpack_outcome(outcome)
    targets = facts["targets"] if len(per_target) else ()
    if "kept" in details:
        targets = tuple(facts["targets"][i] for i in details["kept"])
    own = {
        "metric": metric,
        **facts,
        "targets": targets,
        "per_target": per_target,
        "warnings": warnings,
        "details": MappingProxyType(_freeze({**chosen, **details})),
    }
    return _freeze(own)


def _freeze(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with read-only arrays: copies of those that their owner may still change."""
    frozen = dict(facts)
    for name, fact in facts.items():
        if type(fact) not in _PLAIN and hasattr(fact, "setflags") and fact.flags.writeable:
            frozen[name] = fact.copy()
            frozen[name].setflags(write=False)
    return frozen


def collect(
    results: Mapping[str, Score | Exception], asked: str | Sequence[str], skipped: Mapping[str, str]
) -> Score | Scores:
    """Return the Score of a single name, else all Scores; raise if a named metric failed."""
    everything = isinstance(asked, str) and asked in SETS
    scores = {name: result for name, result in results.items() if isinstance(result, Score)}
    for name, result in results.items():
        if isinstance(result, Exception):
            if not everything or not scores:
                raise result
            skipped = {**skipped, name: f"failed: {result}"}
    if texts := [text for score in scores.values() for text in score._known_warnings()]:
        issue(texts)
    single = isinstance(asked, str) and not everything
    return scores[str(asked)] if single else Scores(scores, skipped)


def issue(texts: Iterable[str]) -> None:
    """Issue each warning once, at the line that called this package."""
    package, level, frame = __name__.partition(".")[0], 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    for text in dict.fromkeys(texts):
        _warnings.warn(text, TransferabilityWarning, stacklevel=level)
