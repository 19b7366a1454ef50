"""Adapters: metrics of this package as estimators of transformer-ranker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .._metric import registry as _registry
from .._scoring.score_features import score_one
from ..errors import DataError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._metric.score import Score

__all__ = ["Estimator", "install"]

#: The needs that embeddings and labels meet, which is all that a ranker passes.
_AT_HAND = {"stats", "class_scatters", "samples"}


class Estimator:
    """One metric of this package, made and called as transformer-ranker does its own.

    Parameters
    ----------
    regression : bool, default False
        Whether the labels are targets and not classes.

    Attributes
    ----------
    metric : str
        Name of the metric.
    score : Score or None
        Result of the last `fit`.
    """

    metric: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    def __init__(self, regression: bool = False) -> None:
        spec = _registry.spec_of(self.metric)
        self.regression = regression
        self.task = "regression" if regression else "classification"
        self.score: Score | None = None
        if self.task not in spec.tasks:
            raise DataError(
                f"{self.metric} is not for {self.task}, which is this ranker's task; choose "
                "another estimator"
            )

    def fit(self, embeddings: object, labels: object, **kwargs: object) -> float:
        """Return the score; other keywords are ignored, as the ranker's own estimators do."""
        self.score = score_one(self.metric, embeddings, labels, self.options, task=self.task)
        return float(self.score)


def install(
    ranker: Any, metrics: str | Sequence[str] = "all", **options: Any
) -> dict[str, Callable[..., Any]]:
    """Add this package's metrics to a ranker's `transferability_metrics`.

    Then ``ranker.run(models, estimator="transrate")`` and the like work, and
    ``estimator="logme"`` is the true maximum of the evidence: a metric replaces what the ranker
    has under the same name. Its "hscore" and "knn" stay unless that is the name here too.

    Parameters
    ----------
    ranker : transformer_ranker.TransformerRanker
        Or anything with a dict `transferability_metrics` of names and estimator classes.
    metrics : str or sequence of str, default="all"
        Which metrics; "all" for every one that needs no more than embeddings and labels.
    **options
        Options of the metrics, as :func:`transferability.score` takes them.

    Returns
    -------
    replaced : dict
        The ranker's own entries that were replaced, by name;
        ``ranker.transferability_metrics.update(replaced)`` brings them back.

    Raises
    ------
    DataError
        For unknown metrics, and those that need more than embeddings and labels.
    DtypeError
        If `ranker` has no such dict, and for options that no metric takes.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat import transformer_ranker
    >>> class Ranker:  # stands for transformer_ranker.TransformerRanker
    ...     transferability_metrics = {"hscore": object}
    >>> transformer_ranker.install(Ranker, "logme")
    {}
    >>> sorted(Ranker.transferability_metrics)
    ['hscore', 'logme']
    >>> metric = Ranker.transferability_metrics["logme"](regression=False)
    >>> embeddings = np.random.default_rng(0).normal(size=(60, 5))
    >>> round(metric.fit(embeddings=embeddings, labels=embeddings[:, 0] > 0), 4)
    -0.9558
    """
    table = getattr(ranker, "transferability_metrics", None)
    if not isinstance(table, dict):
        raise DtypeError(
            f"{type(ranker).__name__} has no dict transferability_metrics; pass a "
            "transformer_ranker.TransformerRanker"
        )
    names = _registry.metric_names(metrics)
    beyond = {name: sorted(set(_registry.spec_of(name).needs) - _AT_HAND) for name in names}
    if metrics == "all":
        names = [name for name in names if not beyond[name]]
    for name in names:
        if beyond[name]:
            raise DataError(
                f"{name} needs {', '.join(beyond[name])}, and a ranker has embeddings and labels"
            )
    takes = {name: _registry.spec_of(name).option_names for name in names}
    for option in options:
        if not any(option in known for known in takes.values()):
            raise DtypeError(f"unknown option {option!r}; {', '.join(names)} do not take it")
    replaced = {name: table[name] for name in names if name in table}
    for name in names:
        own = {option: value for option, value in options.items() if option in takes[name]}
        fields = {"metric": name, "options": own, "__doc__": f"{_registry.spec_of(name).summary}."}
        table[name] = type(f"Estimator_{name}", (Estimator,), fields)
    return replaced
