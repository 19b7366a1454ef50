"""NCE: minus the conditional entropy of the labels given the source model's classes."""

from __future__ import annotations

from .._inputs.types import ArrayLike
from .._metric.options import choice
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["NORMALIZE", "entropy_lines", "explain", "nce", "note_tasks", "options"]

NORMALIZE = (None, "entropy_sum", "entropy_ratio")


def nce(
    source_labels: ArrayLike,
    labels: ArrayLike,
    *,
    normalize: str | None = None,
    task: str = "classification",
    n_threads: int | None = None,
) -> Score:
    r"""Compute NCE, the negative conditional entropy of the labels given a source model's classes.

    Parameters
    ----------
    source_labels : array-like of shape (n_samples,), int or str
        The source model's class of each row, for example ``source_probs.argmax(axis=1)``; any ids
        or names.
    labels : array-like of shape (n_samples,), int, bool or str
        Classes of the target task; any ids or names.
    normalize : {None, "entropy_sum", "entropy_ratio"}, default=None
        Correction for the entropy H(Y) of the labels, to compare target tasks with different
        labels: "entropy_sum" adds H(Y), which gives the mutual information in nats, from 0 to H(Y);
        "entropy_ratio" adds one to the ratio of the value and H(Y), which gives the share of the
        entropy that the source classes explain, from 0 to 1.
    task : {"classification", "auto"}, default="classification"
        With "auto", labels that may be counts or targets are an error.
    n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        In nats per sample, from -H(Y), where the source classes are uninformative, to 0; higher is
        better. `per_target` is the mean over the rows of each class; the value is their mean
        weighted by `class_counts`. Details: `label_entropy`, H(Y) in nats; `n_source_classes`,
        the number of source classes that occur; `normalize`. With a single class of labels or
        source labels the value is uninformative, with a warning.

    Raises
    ------
    DataError, DtypeError
        Different numbers of rows, missing labels, labels that are not classes; an unknown
        `normalize`, or "entropy_ratio" with a single class of labels.

    Notes
    -----
    For the N rows' source classes z and labels y,

    .. math:: \mathrm{NCE} = -H(Y \mid Z) = \sum_{y, z} \hat p(y, z) \ln \hat p(y \mid z).

    Tran et al. bound the log likelihood per row that a new head on the source model's
    representation can reach on the same rows, from below, by

    .. math:: l_Z - H(Y \mid Z),

    with :math:`l_Z \le 0` the log likelihood of the source labels under the source model's own
    head. NCE leaves :math:`l_Z` out. That is licensed

    - for one source model and several target tasks on the same rows, where :math:`l_Z` is the same,
      also with "entropy_sum", which then bounds the gain over guessing by the labels' shares;
    - not with "entropy_ratio", which divides :math:`l_Z` by entropies that differ: an empirical
      correction;
    - not for several source models, or for tasks on different rows: :math:`l_Z` differs. Rankings
      note it. :func:`transferability.leep` is a bound by itself, with nothing left out.

    NCE is not symmetric: source labels come first. It does not depend on how classes are named. The
    more source classes there are for the number of rows, the higher it is by chance. It equals
    :func:`transferability.leep` of probabilities that are 0 or 1.

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
    asked = {"normalize": normalize}
    return score_one(
        "nce", None, labels, asked, source_labels=source_labels, task=task, n_threads=n_threads
    )


def options(task: str, *, normalize: str | None = None) -> dict[str, object]:
    """Validate the option and return those of the kernel."""
    return {"normalize": choice("normalize", normalize, NORMALIZE)}


def explain(score: Score) -> list[str]:
    """Return sentences on the share of the labels' entropy that the source classes explain."""
    return entropy_lines(score, "minus the entropy of the labels given the source model's classes")


def entropy_lines(score: Score, what: str) -> list[str]:
    """Return sentences that compare NCE or LEEP with the entropy of the labels."""
    entropy, n_source = score.label_entropy, int(score.n_source_classes)
    normalize = score.details.get("normalize")
    unit, known = {
        None: ("in nats per row", score + entropy),
        "entropy_sum": ("plus the labels' own entropy, in nats per row", float(score)),
        "entropy_ratio": ("divided by the labels' own entropy, plus 1", score * entropy),
    }[normalize]
    lines = [f"It is {what}, {unit}."]
    if entropy > 0:
        lines.append(
            f"The labels have an entropy of {entropy:.4f} nats, of which {n_source} source classes "
            f"explain {known:.4f} ({known / entropy:.1%}); 0 % is an uninformative model."
        )
    return lines


def note_tasks(normalize: str | None, same_rows: bool) -> str | None:
    """Return a note on a comparison of target tasks that the bound of NCE does not license."""
    left_out = "its bound on the log likelihood leaves out that of the source labels"
    if not same_rows:
        return (
            f"nce: {left_out}, which is the same for tasks on the same rows only, and these have "
            f"other source labels; leep leaves out nothing"
        )
    if normalize == "entropy_ratio":
        return (
            f"nce: {left_out}, which is the same for all tasks until normalize='entropy_ratio' "
            f"divides it by their entropies: an empirical correction; normalize='entropy_sum' "
            f"keeps the bound, and leep leaves out nothing"
        )
    return None


WHEN = (
    "Where only the source model's predicted classes are known; rough, and higher by chance "
    "the more source classes there are for the rows."
)
AMONG_MODELS = (
    "nce orders target tasks of one model: its bound on the log likelihood leaves out that of the "
    "source labels under the model's own head, which differs between models; leep leaves out "
    "nothing"
)
SPEC = MetricSpec("nce", options, explain, WHEN, influence=True, among_models=AMONG_MODELS)
