"""The front of the application: request ids, the token, problems, counts and the log."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ._client import Disconnected
from ._operations import OPERATIONS
from ._problems import PROBLEM_TYPE, STATUSES, Problem, busy, encode, stopping
from ._settings import LOOPBACK_NAMES, MOST_UNREAD, Settings
from ._spool import discard_body
from ._telemetry import LOG, Telemetry

__all__ = ["Front"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_OPEN_PATHS = frozenset(operation.path for operation in OPERATIONS if operation.is_open)
#: Problems with what is received, of which no more is read.
_ENDS = (400, 408)
_GONE = 499  # in the log: the client has closed the connection


class Front:
    """An ASGI application around another: nothing passes it without an id and a permission."""

    def __init__(self, app: Any, settings: Settings, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry
        self._token = None if settings.token is None else settings.token.encode()
        self._names = (
            None
            if settings.token is not None or not settings.is_loopback
            else {*LOOPBACK_NAMES, settings.host}
        )
        self._most_connections = settings.max_connections
        self.connections: Collection[Any] = ()
        self.draining = False
        self._working: set[asyncio.Task[Any] | None] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass on the start and the end of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        exchange = _Exchange(
            _request_id(headers), receive, send, b"expect" in dict(scope["headers"])
        )
        scope["app"] = self  # the router raises 404 and 405 instead of answering in its own way
        is_work = scope["path"] not in _OPEN_PATHS
        task = asyncio.current_task()
        if is_work:
            self._working.add(task)
        try:
            try:
                _check_framing(headers)
                if is_work:
                    self._check(headers)
                await self._app(scope, exchange.receive, exchange.send)
            except Problem as problem:
                await exchange.report(problem, scope)
            except HTTPException as error:
                await exchange.report(_as_problem(error), scope)
        except Disconnected:
            exchange.status = _GONE
        except asyncio.CancelledError:  # the time to finish requests is over
            has_begun = exchange.status
            await exchange.report(stopping(), scope, reads_rest=False)
            if has_begun:
                raise
        except Exception:
            LOG.exception("error", extra={"request_id": exchange.id})
            detail = "an error of the service; please report it with its line of the log"
            await exchange.report(Problem(500, "InternalError", detail), scope)
        finally:
            self._working.discard(task)
            self._log(scope, exchange, time.perf_counter() - start)

    @property
    def active(self) -> int:
        """Number of requests that are not answered yet, beside those that are always allowed."""
        return len(self._working)

    def give_up(self) -> None:
        """Answer all active requests that the service is stopping, and end them."""
        for task in self._working:
            if task is not None:
                task.cancel()

    def check_unread(self, n_bytes: int) -> None:
        """Raise Problem 429 if this would be too much to keep until clients have read it."""
        unread = sum(each.transport.get_write_buffer_size() for each in self.connections)
        if unread + n_bytes > MOST_UNREAD:
            raise busy(f"answers that their clients have not read take {unread:,} bytes")

    def _check(self, headers: dict[str, bytes]) -> None:
        """Raise Problem if a request may not be answered: no token, a foreign host, or the end."""
        if len(self.connections) > self._most_connections:
            detail = f"the service has max_connections = {self._most_connections} connections"
            again = {"Retry-After": "1", "Connection": "close"}
            raise Problem(503, "BusyError", f"{detail}; try again after 1 s", again)
        if self._token is not None:
            scheme, _, given = headers.get("authorization", b"").partition(b" ")
            known = hmac.compare_digest(given.strip(), self._token)
            if scheme.lower() != b"bearer" or not known:
                detail = "give the token of the service as 'Authorization: Bearer TOKEN'"
                raise Problem(401, "TokenError", detail, {"WWW-Authenticate": "Bearer"})
        if self._names is not None:
            host = re.sub(r":\d*$", "", headers.get("host", b"").decode("latin-1"))
            if host.lower() not in self._names:  # a page that has rebound its name to this machine
                detail = f"without a token, the host is one of {', '.join(sorted(self._names))}"
                raise Problem(421, "HostError", detail)
            origin = headers.get("origin", b"").decode("latin-1").lower()
            if origin and re.sub(r":\d*$", "", origin.partition("://")[2]) not in self._names:
                detail = "without a token, pages of other hosts may not use the service"
                raise Problem(403, "OriginError", detail)
        if self.draining:
            raise stopping()

    def refuse_malformed(self, reason: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Log a request that is no HTTP; return headers and body of status 400."""
        exchange = _Exchange(uuid.uuid4().hex)
        exchange.status, exchange.error = 400, "RequestError"
        self._log({}, exchange, 0.0)
        body = encode(_malformed(reason).to_dict(exchange.id))
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        return [*headers, *exchange.headers], body

    def _log(self, scope: Message, exchange: _Exchange, seconds: float) -> None:
        """Count and log a request by the path of the table, which has no id of a session."""
        path = scope.get("operation_path", "other")
        method = scope["method"] if path != "other" else "other"
        self._telemetry.observe(method, path, exchange.status, seconds)
        LOG.info(
            "request",
            extra={
                "request_id": exchange.id,
                "method": method,
                "path": path,
                "status": exchange.status,
                "error": exchange.error,
                "seconds": round(seconds, 6),
                "received": exchange.received,
            },
        )


class _Exchange:
    """One request and its answer: what was received of the one, and sent of the other."""

    def __init__(
        self, id: str, receive: Any = None, send: Any = None, expects: bool = False
    ) -> None:
        self.id, self._receive, self._send, self._expects = id, receive, send, expects
        self.status, self.received, self._is_read = 0, 0, False
        self.error: str | None = None
        self.headers = [
            (b"x-request-id", id.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def receive(self) -> Message:
        """Return the next piece of the body."""
        message: Message = await self._receive()
        self.received += len(message.get("body", b""))
        self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer; its head gets the headers of all answers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers]
        await self._send(message)

    async def report(self, problem: Problem, scope: Message, reads_rest: bool = True) -> None:
        """Answer with a problem document, unless an answer has begun."""
        self.error = problem.error
        if self.status:
            return
        headers = dict(problem.headers)
        if not self._is_read and reads_rest and problem.status not in _ENDS:
            waits = self._expects and not self.received  # it sends a body when it is asked to
            if waits or not await discard_body(self.receive):
                headers["Connection"] = "close"
        body = encode(problem.to_dict(self.id))
        response = Response(body, problem.status, headers, PROBLEM_TYPE)
        await response(scope, self.receive, self.send)


def _check_framing(headers: Mapping[str, bytes]) -> None:
    """Raise Problem 400 if a body has two lengths: a proxy may have believed the other one."""
    if "transfer-encoding" in headers and "content-length" in headers:
        raise _malformed("it has Content-Length and Transfer-Encoding; give one of them")


def _malformed(reason: str) -> Problem:
    detail = f"the request is not well-formed HTTP/1.1: {reason}"
    return Problem(400, "RequestError", detail, {"Connection": "close"})


def _as_problem(error: Any) -> Problem:
    """Return the Problem for an exception of the router."""
    status, names = error.status_code, {404: "PathError", 405: "MethodError"}
    detail = STATUSES.get(status, error.detail)
    return Problem(status, names.get(status, "RequestError"), detail, error.headers)


def _request_id(headers: dict[str, bytes]) -> str:
    """Return the id that the client has given, if it is well-formed, or a new one."""
    given = headers.get("x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
