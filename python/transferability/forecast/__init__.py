"""Learning curves: extrapolate values to larger data, and forecast the data that a value needs.

:func:`fit` fits scaling laws to values at a few sizes and forecasts others, with prediction
intervals. :func:`curve` computes metrics at several sizes in one pass. :func:`rfml` forecasts the
data that an accuracy needs from a metric. :func:`compare` compares data sets at equal size.
"""

from __future__ import annotations

from .._util.public import set_modules
from ._compare import Quality, compare
from ._curve import Curve, curve
from ._extrapolate import Extrapolation as Extrapolation  # a part of pickled forecasts
from ._fit import FORMS, fit
from ._forecast import Forecast
from ._rfml import RFML, rfml

__all__ = ["FORMS", "RFML", "Curve", "Forecast", "Quality", "compare", "curve", "fit", "rfml"]

set_modules(globals())
