"""One module a metric; each holds the function of the same name.

These modules import NumPy and the native module only when called, so that importing
``transferability`` and ``transferability --help`` stay light.
"""

from __future__ import annotations

from .lda import lda
from .logme import logme
from .ridge_probe import ridge_probe
from .sfda import sfda

__all__ = ["lda", "logme", "ridge_probe", "sfda"]
