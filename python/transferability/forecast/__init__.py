"""Learning curves: extrapolate values to more data, and forecast the data needed for a value.

:func:`fit` fits scaling laws to values at a few sizes and forecasts others, with prediction
intervals. :func:`plan` computes how many more rows a value needs. :func:`curve` computes metrics at
several sizes in one pass. :func:`rfml` forecasts the amount of data needed for an accuracy, from a
metric. :func:`compare` compares data sets at equal size.
"""

from __future__ import annotations

from .._util.public import present
from ._compare import Quality, compare
from ._curve import Curve, curve
from ._extrapolate import Extrapolation as Extrapolation  # a part of pickled forecasts
from ._fit import FORMS, fit, plan
from ._forecast import Forecast
from ._plan import Plan
from ._posterior import Posterior as Posterior
from ._rfml import RFML, rfml

__all__ = [
    "FORMS",
    "RFML",
    "Curve",
    "Forecast",
    "Plan",
    "Quality",
    "compare",
    "curve",
    "fit",
    "plan",
    "rfml",
]

present(globals())
