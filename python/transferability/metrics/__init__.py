"""One module a metric; each holds the function of the same name.

These modules import NumPy and the native module only when called, so that importing
``transferability`` and ``transferability --help`` stay light.
"""

from __future__ import annotations

from .gbc import gbc
from .logme import logme
from .transrate import transrate

__all__ = ["gbc", "logme", "transrate"]
