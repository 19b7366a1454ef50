"""LEEP: the log likelihood of the labels under a source model's class probabilities."""

from __future__ import annotations

from .._inputs.types import ArrayLike
from .._metric.options import choice, flag
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from .nce import NORMALIZE, entropy_lines

__all__ = ["explain", "leep", "options"]


def leep(
    source_probs: ArrayLike,
    labels: ArrayLike,
    *,
    from_logits: bool = False,
    normalize: str | None = None,
    task: str = "classification",
    n_threads: int | None = None,
) -> Score:
    r"""Compute LEEP, the log expected empirical prediction, of a source model's probabilities.

    Parameters
    ----------
    source_probs : array-like of shape (n_samples, n_source_classes), float
        Probabilities of the source classes from the source model's own head, used as they are, in
        float64. Rows sum to 1 within 1e-5 (3.5e-4 for float32, 3.1e-2 for float16: the root of
        their precision).
    labels : array-like of shape (n_samples,), int, bool or str
        Classes of the target task; any ids or names.
    from_logits : bool, default=False
        Whether `source_probs` holds logits, or log probabilities, which then go through a softmax
        in float64; -inf is a probability of zero.
    normalize : {None, "entropy_sum", "entropy_ratio"}, default=None
        As in :func:`transferability.nce`: the value plus H(Y), from 0 to H(Y) nats; or one plus
        their ratio, from 0 to 1.
    task, n_threads
        As in :func:`transferability.nce`.

    Returns
    -------
    score : Score
        In nats per sample, from -H(Y), where the probabilities are uninformative, to 0 (and
        above, where rows sum to more than 1); higher is better. `per_target` is the mean over the
        rows of each class; the value is their mean weighted by `class_counts`. Details:
        `label_entropy`, H(Y) in nats; `n_source_classes`, the number of source classes with mass
        in some row; `from_logits`, `normalize`. With a single class of labels, or a single source
        class that has mass, the value is uninformative, with a warning.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.nce`; rows that do not sum to 1 (with row and sum), negative,
        infinite or NaN entries (with row and column).

    Notes
    -----
    For probabilities P, the sum over rows i with label y gives
    :math:`J(y, z) = \sum_{i: y_i = y} P_{iz}` and :math:`Q(y \mid z) = J(y, z) / \sum_y J(y, z)`:

    .. math:: \mathrm{LEEP} = \frac1N \sum_i \ln \sum_z Q(y_i \mid z) P_{iz}.

    LEEP is the mean log likelihood of a classifier on top of the source model's, and so bounds that
    of the best new head from below, for each model and task: models on one task compare, and so do
    tasks of one model. With `normalize` the value bounds the gain over guessing by the labels'
    shares, in nats or as a share of H(Y); among models on one task neither changes the order.
    :func:`transferability.nce` leaves out a term that differs between models.

    Source classes without mass in any row are left out; implementations in papers return NaN for
    them (``transferability.compat`` has their numbers).

    References
    ----------
    Nguyen, Hassner, Seeger, Archambeau (2020). LEEP: A New Measure to Evaluate Transferability of
    Learned Representations. ICML. For `normalize`: Ibrahim, Ponomareva, Mazumder (2022). Newer is
    not always better. ECML-PKDD.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> round(tx.leep(probs, ["cat", "dog", "cat"]), 4)
    -0.4087
    >>> round(tx.leep(np.log(probs) + 7, ["cat", "dog", "cat"], from_logits=True), 4)
    -0.4087
    """
    asked = {"from_logits": from_logits, "normalize": normalize}
    return score_one(
        "leep", None, labels, asked, source_probs=source_probs, task=task, n_threads=n_threads
    )


def options(
    task: str, *, from_logits: bool = False, normalize: str | None = None
) -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    return {
        "from_logits": flag("from_logits", from_logits),
        "normalize": choice("normalize", normalize, NORMALIZE),
    }


def explain(score: Score) -> list[str]:
    """Return sentences on the share of the labels' entropy that the probabilities explain."""
    what = "the mean log probability of the labels, through the source model's classes"
    return entropy_lines(score, what)


WHEN = (
    "Where the source model's own head is at hand and its classes are related to yours; "
    "cheaper than any metric of features."
)
SPEC = MetricSpec("leep", options, explain, WHEN, influence=True)
