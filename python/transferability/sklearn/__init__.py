"""scikit-learn estimators: prediction with LogME's weights, and covariances that stream.

The covariance estimators have the names, parameters, attributes and values of those in
``sklearn.covariance``, so that it is enough to replace the import, and ``partial_fit`` besides.
scikit-learn 1.6 or later is needed.
"""

from __future__ import annotations

from .._util.public import present
from ..errors import MissingDependencyError

try:
    from sklearn.utils.validation import validate_data  # noqa: F401  # since 1.6
except ImportError as error:
    raise MissingDependencyError(
        "the estimators need scikit-learn >= 1.6: pip install 'transferability[sklearn]'"
    ) from error

from ._covariance import OAS, EmpiricalCovariance, LedoitWolf, ShrunkCovariance
from ._logme import LogMEClassifier, LogMERegressor

__all__ = [
    "OAS",
    "EmpiricalCovariance",
    "LedoitWolf",
    "LogMEClassifier",
    "LogMERegressor",
    "ShrunkCovariance",
]

present(globals())
