"""NCE: minus the conditional entropy of the labels given the source model's classes."""

from __future__ import annotations

from typing import Any

from .._metric.options import choice
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["NORMALIZE", "entropy_lines", "explain", "nce", "options"]

NORMALIZE = (None, "entropy_sum", "entropy_ratio")


def nce(
    source_labels: object,
    labels: object,
    *,
    normalize: str | None = None,
    task: str = "classification",
    n_threads: int | None = None,
) -> Score:
    r"""Compute NCE, the negative conditional entropy of the labels given a source model's classes.

    Parameters
    ----------
    source_labels : array-like of shape (n_samples,), int or str
        The class that the source model gives each row, for example
        ``source_probs.argmax(axis=1)``; any ids or names.
    labels : array-like of shape (n_samples,), int, bool or str
        Classes of the target task; any ids or names.
    normalize : {None, "entropy_sum", "entropy_ratio"}, default=None
        How to take out the part that the labels' entropy alone decides, for comparing target
        tasks of other labels: the value plus the entropy H(Y), which is the mutual information
        in nats, from 0 to H(Y); or one plus their ratio, the share of the entropy that the
        source classes explain, from 0 to 1.
    task : {"classification", "auto"}, default="classification"
        What the labels are; "auto" asks where they may be counts or targets.
    n_threads : int, optional
        As everywhere; the work here is one sort of the rows, on one thread.

    Returns
    -------
    score : Score
        In nats per sample, from -H(Y), where the source classes are uninformative, to 0; higher is
        better. `per_target` is the mean over the rows of each class; the value is their mean
        weighted by `class_counts`. Details: `label_entropy`, H(Y) in nats; `n_source_classes`,
        how many occur; `normalize`.

    Raises
    ------
    DataError
        Other numbers of rows, missing labels, labels that are no classes, an unknown `normalize`;
        "entropy_ratio" with a single class of labels.
    DtypeError
        Labels of a type that cannot name classes.

    Warns
    -----
    TransferabilityWarning
        With a single class of labels, or of source labels: the value is defined and says nothing.

    Notes
    -----
    For the N rows' source classes z and labels y,

    .. math:: \mathrm{NCE} = -H(Y \mid Z) = \sum_{y, z} \hat p(y, z) \ln \hat p(y \mid z).

    It is not symmetric: source labels come first. It does not depend on how classes are named. The
    more source classes there are for the number of rows, the higher it is by chance. `leep` is
    the same for probabilities, and equals it where each is 0 or 1.

    References
    ----------
    Tran, Nguyen, Hassner (2019). Transferability and Hardness of Supervised Classification Tasks.
    ICCV. For `normalize`: Ibrahim, Ponomareva, Mazumder (2022). Newer is not always better.
    ECML-PKDD.

    Examples
    --------
    >>> import transferability as tx
    >>> labels = ["cat", "cat", "dog", "dog"]
    >>> round(tx.nce(["feline", "canine", "canine", "canine"], labels), 4)
    -0.4774
    >>> float(tx.nce(["feline", "feline", "canine", "canine"], labels, normalize="entropy_ratio"))
    1.0
    """
    return score_one(
        "nce",
        None,
        labels,
        {"normalize": normalize},
        source_labels=source_labels,
        task=task,
        n_threads=n_threads,
    )


def options(task: str, *, normalize: str | None = None) -> dict[str, object]:
    """Validate the option and return it."""
    return {"normalize": choice("normalize", normalize, NORMALIZE)}


def influence(given: Any, options: Any, run: Any) -> Any:
    """Return the influence of every row; None where the value is normalised."""
    from ._influence import native

    return native(run(influence=True))


def explain(score: Any) -> list[str]:
    """Return sentences on the share of the labels' entropy that the source classes explain."""
    what = "minus the entropy of the labels given the source model's classes"
    return entropy_lines(score, what)


def entropy_lines(score: Any, what: str) -> list[str]:
    """Return sentences that compare NCE or LEEP with the entropy of the labels."""
    entropy, n_source = score.label_entropy, int(score.n_source_classes)
    normalize = score.details.get("normalize")
    unit = {
        None: f"It is {what}, in nats per row.",
        "entropy_sum": f"It is {what}, plus the labels' own entropy, in nats per row.",
        "entropy_ratio": f"It is {what}, divided by the labels' own entropy, plus 1.",
    }[normalize]
    known = {
        None: float(score) + entropy,
        "entropy_sum": float(score),
        "entropy_ratio": float(score) * entropy,
    }[normalize]
    lines = [unit]
    if entropy > 0:
        lines.append(
            f"The labels have an entropy of {entropy:.4f} nats, of which {n_source} source classes "
            f"explain {known:.4f} ({known / entropy:.1%}); 0 % is an uninformative model."
        )
    return lines


SPEC = MetricSpec(
    name="nce",
    options=options,
    explain=explain,
    when=(
        "Where the source model's predicted classes are all there is; rough, and higher by chance "
        "the more source classes there are for the rows."
    ),
    influence=influence,
)
