"""Plot rankings, costs, agreement with the truth, layers, groups of rows and forecasts.

Every function draws into the Axes `ax`, or into those of a new figure, and returns them:
``plot.ranking(r).figure.savefig("ranking.png")``. A notebook shows a new figure below its cell. In
a script that imports ``matplotlib.pyplot``, ``plt.show()`` and ``plt.savefig()`` find it, and a
figure of the script stays the current one.
"""

from __future__ import annotations

from .._util.public import present
from ._cost import cost
from ._models import ranking, scatter
from ._profiles import forecast, groups, layers

__all__ = ["cost", "forecast", "groups", "layers", "ranking", "scatter"]

present(globals())
