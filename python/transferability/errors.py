"""Exceptions and the warning category of this package.

Every error derives from :class:`TransferabilityError` and from the built-in exception that a
NumPy user would expect: ``except ValueError`` works as well as ``except TransferabilityError``.
The native module raises these classes too, so this file imports nothing.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "DtypeError",
    "InternalError",
    "LimitError",
    "MissingDependencyError",
    "NumericalError",
    "OutOfMemoryError",
    "TransferabilityError",
    "TransferabilityWarning",
]


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__]


class TransferabilityError(Exception):
    """Base class of all errors that this package raises on purpose."""


class DataError(TransferabilityError, ValueError):
    """An argument has bad values, a bad shape or an unknown name."""


class LimitError(DataError):
    """An argument exceeds a limit that the caller has set, such as `max_samples` of an Engine."""


class DtypeError(TransferabilityError, TypeError):
    """An argument has a type or dtype that cannot be used."""


class NumericalError(TransferabilityError, RuntimeError):
    """A factorisation failed on data that passed the input checks."""


class InternalError(TransferabilityError, RuntimeError):
    """A bug in this package; please report it with the message."""


class OutOfMemoryError(MemoryError, TransferabilityError):  # the other order has no safe __new__
    """Memory for a computation could not be allocated; the message has its purpose and size."""


class MissingDependencyError(TransferabilityError, ImportError):
    """An optional package is needed and not installed."""


class TransferabilityWarning(UserWarning):
    """A result is defined but may mislead; the text is also in ``Score.warnings``."""
