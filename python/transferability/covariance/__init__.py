"""Covariance, shrinkage and coding rates of features: functions of arrays.

The estimators have the names, arguments and values of ``sklearn.covariance``, so that it is enough
to replace the import. They read any array that :func:`transferability.logme` takes, in one pass and
without a copy of the whole, and multiply in float64. :class:`transferability.Stats` has the same as
methods, for features that come in blocks or on several machines.
"""

from __future__ import annotations

from .._stats.covariance import ClassCovariances, CodingRateReduction
from .._util.public import present
from ._classes import class_covariances
from ._coding_rate import coding_rate, coding_rate_reduction
from ._estimates import (
    empirical_covariance,
    ledoit_wolf,
    ledoit_wolf_shrinkage,
    oas,
    shrunk_covariance,
)

__all__ = [
    "ClassCovariances",
    "CodingRateReduction",
    "class_covariances",
    "coding_rate",
    "coding_rate_reduction",
    "empirical_covariance",
    "ledoit_wolf",
    "ledoit_wolf_shrinkage",
    "oas",
    "shrunk_covariance",
]

present(globals())
