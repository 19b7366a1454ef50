"""Learning curves and their forecast: how much data is needed, and what more of it will bring.

:func:`fit` reads values at a few sizes and foretells others, with intervals; :func:`curve` makes
such values of metrics, all sizes in one pass; :func:`rfml` is the procedure that reads the data
needed off a metric; :func:`compare` tells which of several data sets is worth more per sample.
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
