"""Problems: errors as HTTP statuses and ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ..errors import (
    DataError,
    DtypeError,
    InternalError,
    LimitError,
    MissingDependencyError,
    NumericalError,
    OutOfMemoryError,
    TransferabilityError,
)

__all__ = [
    "PROBLEM_TYPE",
    "STATUSES",
    "BodyError",
    "Problem",
    "StorageError",
    "busy",
    "describe_error",
    "encode",
    "stopping",
]

PROBLEM_TYPE = "application/problem+json"


class BodyError(DataError):
    """A body is truncated, damaged, or not of the format that its media type says."""


class StorageError(TransferabilityError):
    """The disk of the service is full, or fails."""

    def __init__(self, what: str, error: OSError) -> None:
        super().__init__(f"the service cannot store {what}: {error.strerror}")


#: The status of each error of a computation; the first class that fits decides.
_BY_ERROR: tuple[tuple[type[BaseException], int], ...] = (
    (BodyError, 400),
    (LimitError, 413),
    (DataError, 422),
    (DtypeError, 422),
    (NumericalError, 422),
    (OutOfMemoryError, 503),
    (StorageError, 503),
    (MemoryError, 503),
    (MissingDependencyError, 501),
    (InternalError, 500),
    (Exception, 500),
)

#: The statuses of problems with their meaning, for the OpenAPI document and the log.
STATUSES = {
    400: "The body is truncated, damaged or of another format, or the request is no HTTP.",
    401: "The bearer token is missing or wrong.",
    403: "The service has no token, and the request comes from a page of another host.",
    404: "There is no such path or session.",
    405: "The path has no such method.",
    408: "The body was received too slowly.",
    409: "The session holds no rows yet.",
    413: "The request exceeds a limit of the service.",
    415: "The body has another media type or coding than those listed.",
    421: "The service has no token, and the Host header is no name of this machine.",
    422: "An option or the data cannot be used; the detail names the argument and the remedy.",
    429: "The queue or the store of sessions is full; Retry-After has the seconds to wait.",
    500: "An error of the service; the log has its place under the request id.",
    501: "An optional package that the metric needs is not installed.",
    503: "Memory, disk, connections or a worker ran out, or the service is stopping.",
    504: "The computation took too long and was stopped.",
}


class Problem(Exception):
    """A response that reports an error.

    `error` is its kind in CamelCase, such as the name of an exception of this package; `detail` is
    a sentence for the caller.
    """

    def __init__(
        self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {error}")  # without the detail, which may quote data
        self.status, self.error, self.detail = status, error, detail
        self.headers = dict(headers or {})

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        slug = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.error).lower()
        return {
            "type": f"urn:transferability:problem:{slug}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "error": self.error,
            "request_id": request_id,
        }


def busy(reason: str, seconds: int = 1) -> Problem:
    """Return Problem 429 with the seconds after which to try again."""
    detail = f"{reason}; try again after {seconds} s"
    return Problem(429, "BusyError", detail, {"Retry-After": str(seconds)})


def stopping() -> Problem:
    """Return Problem 503 of a service that ends."""
    again = {"Retry-After": "5", "Connection": "close"}
    return Problem(503, "StoppingError", "the service is stopping; try another one", again)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return the arguments of the Problem that reports an error of a computation.

    Errors that are not of this package have no detail: it could quote anything.
    """
    kind, status = next(entry for entry in _BY_ERROR if isinstance(error, entry[0]))
    detail = str(error)
    if kind is Exception:
        kind = InternalError
        detail = f"{type(error).__name__} in a worker; please report it with the line of the log"
    elif kind is MemoryError:
        kind, detail = OutOfMemoryError, "the worker has not enough memory for this request"
    return {"status": status, "error": kind.__name__, "detail": detail}


def encode(value: Any) -> bytes:
    """Return a value as JSON, without blanks and without NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
