"""EMMS: minus the error of a linear fit from features to a mixture of label embeddings."""

from __future__ import annotations

from .._inputs.types import ArrayLike, ByName
from .._metric.options import number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DataError, DtypeError

__all__ = ["emms"]


def emms(
    features: ArrayLike,
    label_embeddings: ByName,
    *,
    ridge: float = 0.0,
    n_threads: int | None = None,
) -> Score:
    r"""Compute EMMS, the efficient multi-task model selector: regression on label embeddings.

    It applies to labels that other models can embed: class names, captions, answers. A *view* is
    the embedding of the labels by one model. The score is minus the error of the best linear map
    from the features to a mixture of the views, whose weights minimise that error.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`. Columns are standardised.
    label_embeddings : array-like of shape (n_samples, dimension, n_views) or mapping
        Row i of every view embeds the label of sample i. A mapping has the name of each view and
        its array of shape (n_samples, dimension), with the same dimension for all views. Values may
        be any real numbers; columns are standardised as they are read. Arrays are neither changed
        nor copied.
    ridge : float, default=0.0
        Penalty per sample on the squared coefficients of the standardised features; at least 0.
        With as many features as samples every score is 0 unless the ridge is positive.
    n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        Minus the mean squared error per entry of the standardised mixture, minus the penalty if
        `ridge` is positive; at most 0, about -1 for uninformative features and a single view
        (mixtures of unlike views have a smaller variance); higher is better. Its details are

        - ``weights``, the share of each view by its name ("0", "1", … for an array);
        - ``alone``, the score of each view by itself, by name; at most the score of the mixture;
        - ``saturated``, whether the centred features have full rank, n_samples - 1, as they usually
          do with ``n_samples <= n_features``: the score is 0 and uninformative, with a warning;
        - ``rank``, the number of independent directions of the features, where it was computed.

        Warnings also state if there is a single view, or columns of a view hardly vary.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a view that is the same in all rows, a negative ridge.

    See Also
    --------
    transferability.compat.emms : The authors' one-pass recipe and its numbers.

    Notes
    -----
    With the columns of X (N, D) at mean 0 and variance 1, and those of E_1 … E_K (N, D2) turned
    into (e - mean)/(std + 1e-8), as in the authors' code, the score is

    .. math:: -\frac{1}{N D_2} \min_{w \in \Delta, W}
              \Bigl\| X W - \sum_k w_k E_k \Bigr\|_F^2 + N \rho \|W\|_F^2
              = -\frac{1}{N D_2} \min_{w \in \Delta} w^\top M w, \quad
              M_{kl} = \langle E_k, (I - P) E_l \rangle,

    where P is the projection on the features, or their hat matrix for a ridge :math:`\rho > 0`, and
    the simplex :math:`\Delta` is the set of non-negative weights with sum 1. The minimum is exact;
    the authors' code stops after one round of an alternation. If there are several minimisers, the
    one nearest to equal weights is returned.

    References
    ----------
    Meng et al. (2023). Foundation Model is Efficient Multimodal Multitask Model Selector.
    NeurIPS; section 3.2 and algorithms 1 and 2.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 8))
    >>> noise = rng.normal(size=(2, 200, 3))
    >>> views = {"near": features[:, :3] + noise[0], "far": noise[1]}
    >>> score = tx.emms(features, views)
    >>> score.weights["near"] > score.weights["far"], score > score.alone["near"]
    (True, True)
    """
    if label_embeddings is None:
        raise DataError("label_embeddings is None; give the embeddings of the labels")
    asked = {"ridge": ridge}
    return score_one(
        "emms", features, None, asked, label_embeddings=label_embeddings, n_threads=n_threads
    )


def options(task: str, *, ridge: float = 0.0) -> dict[str, object]:
    """Validate the ridge and return the kernel options."""
    advice = "a number from 0 to 1e100"
    return {"ridge": number("ridge", ridge, advice, (0, 1e100), wrong_type=DtypeError)}


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    weights = sorted(score.weights.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights[:5])
    more = f" and {len(weights) - 5} more" if len(weights) > 5 else ""
    lines = [
        "It is minus the mean squared error of the best linear map from the features to the best "
        "mixture of the label views, per standardised entry; 0 is a perfect fit.",
        f"The mixture: {shares}{more}.",
    ]
    if score.saturated:
        lines.append("The features fit any labels, so the score does not tell models apart.")
    elif len(weights) > 1:
        name, value = max(score.alone.items(), key=lambda item: item[1])
        lines.append(f"The best view alone, {name}, would give {value:.4f}.")
    return lines


WHEN = (
    "For labels with a meaning that other models can embed (class names, captions, answers), "
    "with more samples than features or a ridge."
)
SPEC = MetricSpec("emms", options, explain, WHEN)
