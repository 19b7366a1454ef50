"""How much data is needed, and what will more of it bring? Learning curves and their forecast.

:func:`fit` reads values at a few sizes and foretells others, with intervals; :func:`curve` makes
such values of metrics, all sizes in one pass; :func:`rfml` is the procedure that reads the
accuracy off a metric; :func:`compare` tells which of several data sets is worth more per sample.
"""

from __future__ import annotations

from ._fit import FORMS, Forecast, fit

__all__ = ["FORMS", "Forecast", "fit"]
