"""Settings of the service: address, token, workers and limits."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass

from ..errors import DataError

__all__ = [
    "LOOPBACK_NAMES",
    "MOST_ANSWER",
    "MOST_UNREAD",
    "TOKEN_VARIABLE",
    "Settings",
    "check_address",
    "read_token",
]

TOKEN_VARIABLE = "TRANSFERABILITY_SERVE_TOKEN"
#: Names of this machine for itself, as the host of a URL.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
#: Bytes of the answer of a computation.
MOST_ANSWER = 16 << 20
#: Bytes of all answers that their clients have not read yet.
MOST_UNREAD = 16 * MOST_ANSWER
_LEAST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Settings:
    """Everything that a service is started with; the fields are options of the command."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    workers: int = 1
    #: Limits of one request.
    max_samples: int = 1_000_000
    max_features: int = 16_384
    max_classes: int = 10_000
    max_numbers: int = 50_000_000
    max_body: int = 256 << 20
    max_bytes: int = 2 << 30
    max_seconds: float = 60.0
    body_seconds: float = 30.0
    #: Limits of all requests together.
    max_queue: int = 64
    max_receiving: int = 64
    spool_bytes: int = 4 << 30
    max_connections: int = 1024
    #: Limits of sessions.
    max_sessions: int = 1000
    session_bytes: int = 128 << 20
    sessions_bytes: int = 1 << 30
    session_seconds: float = 3600.0
    drain_seconds: float = 30.0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)


def read_token() -> str | None:
    """Return the bearer token in the environment; None if there is none.

    Raises DataError for a token that can be guessed or that no header can carry.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if len(token) < _LEAST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise DataError(
            f"the environment variable {TOKEN_VARIABLE} has {len(token)} characters; give at least "
            f"{_LEAST_TOKEN} letters, digits or characters of '._~+/-', such as the output of "
            f"'openssl rand -hex 32'"
        )
    return token


def is_loopback(host: str) -> bool:
    """Return whether a host, an address or "localhost", is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str | None, insecure: bool) -> None:
    """Raise DataError if others could connect without a token, unless `insecure` allows it."""
    if token is None and not insecure and not is_loopback(host):
        raise DataError(
            f"host {host} can be reached from other machines, and {TOKEN_VARIABLE} is not set; set "
            f"it to a token, listen on 127.0.0.1, or allow everybody with --insecure"
        )
