"""LabMSE: minus the mean squared error of a linear fit from the source model's outputs."""

from __future__ import annotations

from .._inputs.arguments import name_arguments
from .._inputs.types import ArrayLike
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from .lin_mse import explain, options

__all__ = ["lab_mse"]


def lab_mse(
    source_outputs: ArrayLike,
    targets: ArrayLike,
    *,
    ridge: float = 0.0,
    penalty: bool = False,
    outputs: str = "mean",
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    """Compute LabMSE: minus the mean squared error of a linear fit from the source model's outputs.

    This is :func:`transferability.lin_mse` with the outputs of the source model in place of
    features. ``score`` and ``rank`` take them as ``source_probs``.

    Parameters
    ----------
    source_outputs : array-like of shape (n_samples, n_outputs)
        Outputs of the source model's own head, real numbers of any kind. Pass source classes as
        0/1 columns, one for each class: ids are names, not quantities.
    targets : array-like of shape (n_samples,) or (n_samples, n_targets)
        Real values, or 0/1 columns; keypoints (n_samples, 17, 2) are 34 targets.
    ridge, penalty, outputs, task, precision, n_threads
        As in :func:`transferability.lin_mse`; `ridge` has the unit of a squared output.

    Returns
    -------
    score : Score
        In squared units of the targets, at most 0; higher is better. Parts, details and warnings
        are as in :func:`transferability.lin_mse`.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.lin_mse`.

    Notes
    -----
    Probabilities that sum to 1 are linearly dependent; the rank accounts for that.

    References
    ----------
    Nguyen et al. (2023). Simple Transferability Estimation for Regression Tasks. UAI.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> source_outputs = rng.dirichlet(np.ones(5), size=200)
    >>> targets = source_outputs[:, 0] + 0.01 * rng.normal(size=200)
    >>> -0.0002 < tx.lab_mse(source_outputs, targets) < 0
    True
    """
    asked = {"ridge": ridge, "penalty": penalty, "outputs": outputs}
    with name_arguments(labels="targets", source_probs="source_outputs"):
        return score_one(
            "lab_mse",
            None,
            targets,
            asked,
            source_probs=source_outputs,
            task=task,
            precision=precision,
            n_threads=n_threads,
        )


WHEN = "Regression, where the source model's own outputs are at hand."
SPEC = MetricSpec("lab_mse", options, explain, WHEN)
