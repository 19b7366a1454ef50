"""Pictures of rankings, of agreement with the truth, of layers, groups and forecasts.

Every function draws into the Axes it is given, or into those of a new figure, and returns them:
``plot.ranking(r).figure.savefig("ranking.png")``. Nothing is kept in ``matplotlib.pyplot``.
"""

from __future__ import annotations

from .._util.public import set_modules
from ._models import ranking, scatter
from ._profiles import forecast, groups, layers

__all__ = ["forecast", "groups", "layers", "ranking", "scatter"]

set_modules(globals())
