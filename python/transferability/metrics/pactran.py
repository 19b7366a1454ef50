"""PACTran: a PAC-Bayes bound on the loss of a linear classifier with a Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._inputs.types import ArrayLike
from .._metric.options import number
from .._metric.score import Score, make_outcome
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one
from ..errors import DataError
from ._sklearn import read_classes, record_warnings, scikit_learn

__all__ = ["pactran"]


def pactran(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    prior: float = 1.0,
    variance: float = 100.0,
    task: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute PACTran with a Gaussian prior: minus a PAC-Bayes bound on the log loss.

    Needs scikit-learn (``pip install 'transferability[sklearn]'``).

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; copied to float64. At least two classes.
    prior : float, default=1.0
        λ, the weight of the data against the prior; the authors try 10, 1 and 0.1.
    variance : float, default=100.0
        Variance of the prior, times n_features; the authors try 100 and 10 with λ = 1, and ten
        times or a tenth of these with λ = 10 or 0.1.
    task, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".
        `n_threads` has no effect: scikit-learn follows its own settings.

    Returns
    -------
    score : Score
        Minus the bound, in nats per sample; higher is better. The bound is `loss`, the regularised
        log loss of the fitted classifier, plus `flatness`. `per_target` is empty. A warning states
        if the logistic regression has not converged.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    DataError, DtypeError
        As :func:`transferability.logme`; options that are not positive; a single class.

    Notes
    -----
    With centred features x, C classes, weights w (D, C), intercepts b, softmax p, and h the
    second derivatives of the summed log loss with respect to each of w and b,

    .. math:: -\min_{w, b}\Big[ -\tfrac1N \sum_i \ln p_{i y_i} + \tfrac{|w|^2}{2 \lambda N} \Big]
              - \frac{C \sigma^2}{2 \lambda N} \ln\Big(\frac{\lambda N}{D C}
              \Big[\sum_{jc} h_{jc} + \frac{C D}{\lambda N}\Big]\Big)

    with σ² = `variance`, as in google-research/pactran_metrics, which also weighs the summed h,
    not their mean, against the prior. There the minimisation stops after 100 iterations from a
    random start; here it runs until it converges. Only classes that occur are counted.

    References
    ----------
    Ding et al. (2022). PACTran: PAC-Bayesian Metrics for Estimating the Transferability of
    Pretrained Models to Classification Tasks. ECCV.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> labels = np.repeat([0, 1], 50)
    >>> noise = np.random.default_rng(0).normal(size=(100, 3))
    >>> tx.pactran(noise + 2 * labels[:, None], labels) > tx.pactran(noise, labels)
    True
    """
    asked = {"prior": prior, "variance": variance}
    return score_one("pactran", features, labels, asked, task=task, n_threads=n_threads)


def options(task: str, *, prior: float = 1.0, variance: float = 100.0) -> dict[str, object]:
    """Validate the options and return those of `compute`."""
    advice, within = "a number from 1e-100 to 1e100", (1e-100, 1e100)
    return {
        "prior": number("prior", prior, advice, within),
        "variance": number("variance", variance, advice, within),
    }


def compute(given: Any, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Fit the classifier and compute the PAC-Bayes bound from the curvature of its loss."""
    linear = scikit_learn("linear_model", "pactran")
    x, codes = read_classes(given, "pactran")
    x = x - x.mean(axis=0)
    (n_samples, n_features), n_classes = x.shape, int(codes.max()) + 1
    weight = options["prior"]
    # With two classes scikit-learn has one column v, which stands for w = (-v/2, v/2).
    scale = 2.0 if n_classes == 2 else 1.0
    with record_warnings("pactran") as notes:
        model = linear.LogisticRegression(
            C=scale * weight, solver="newton-cg", tol=1e-9, max_iter=1000
        ).fit(x, codes)
    w, b = model.coef_, model.intercept_
    if n_classes == 2:
        w, b = np.vstack([-w / 2, w / 2]), np.hstack([-b / 2, b / 2])
    logits = x @ w.T + b
    logits -= logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    probs = np.exp(log_probs)
    strength = weight * n_samples
    loss = -log_probs[np.arange(n_samples), codes].mean() + (w**2).sum() / (2 * strength)
    spread = (probs * -np.expm1(log_probs)).sum(axis=1)
    curvature = ((x**2).sum(axis=1) + 1) @ spread + n_classes * n_features / strength
    flatness = n_classes * options["variance"] / (2 * strength)
    flatness *= math.log(curvature * strength / (n_features * n_classes))
    value = -float(loss + flatness)
    if not math.isfinite(value):
        raise DataError(
            f"pactran: the bound is {value} on features of up to {np.abs(x).max():g} about their "
            f"mean; scale them to about 1, or choose a prior and a variance nearer to 1"
        )
    if not x.any():
        notes.insert(0, "every feature is the same in all rows: the score is uninformative")
    details = {"loss": float(loss), "flatness": float(flatness)}
    return make_outcome(value, details, notes)


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    return [
        f"It is minus a bound on the log loss of a linear classifier: {score.loss:.4f} for the "
        f"fitted classifier and {score.flatness:.4f} for how sharp its minimum is."
    ]


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    Copies of the features, and logits of each row.
    """
    return 5.0 * size.n_samples * size.n_features + 8.0 * size.n_samples * size.n_classes


SPEC = MetricSpec(
    name="pactran",
    options=options,
    explain=explain,
    when="Few-shot linear probes, where a flat minimum matters; expects features of unit scale.",
    title="PACTran-Gauss",
    summary="minus the PAC-Bayes bound on the log loss of a linear classifier of the features",
    needs=("samples",),
    requires="sklearn",
    tasks=("classification",),
    cost="N D C an iteration of a logistic regression",
    source="Ding et al., ECCV 2022",
    compute=compute,
    memory=memory,
)
