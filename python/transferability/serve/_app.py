"""The application: what each operation of the table does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router

from ._client import Client
from ._front import Front
from ._openapi import document
from ._operations import OPERATIONS, STATE, Operation, media_suffix, parse_json, parse_query
from ._pool import Pool
from ._problems import Problem, encode
from ._sessions import Sessions
from ._settings import Settings
from ._spool import Spool
from ._telemetry import LOG, Telemetry

__all__ = ["Application"]

_SMALL_BODY, _CHUNK, _LARGE_ANSWER = 1 << 16, 1 << 18, 1 << 16  # bytes


class Application:
    """The handlers of all operations, with the parts that they share; `asgi` is what is served."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self.pool = Pool(settings)
        self._sessions, self._spool = Sessions(settings), Spool(settings, folder)
        self._telemetry = Telemetry(self.pool, self._sessions, self._spool)
        self._document = encode(document(version("transferability"), settings.token is not None))
        router = Router(self._routes(), redirect_slashes=False, lifespan=self._run)
        self.asgi = Front(router, settings, self._telemetry)

    def _routes(self) -> list[Route]:
        """Return one route for each path, which knows all of its methods."""
        paths: dict[str, dict[str, Operation]] = {}
        for operation in OPERATIONS:
            paths.setdefault(operation.path, {})[operation.method] = operation
        return [
            Route(path, self._dispatch(methods), methods=[*methods])
            for path, methods in paths.items()
        ]

    def _dispatch(self, methods: dict[str, Operation]) -> Any:
        """Return the endpoint of a path."""
        handlers = {
            method: (operation, getattr(self, f"_{operation.handler}"))
            for method, operation in methods.items()
        }
        if "GET" in handlers:
            handlers["HEAD"] = handlers["GET"]

        async def endpoint(request: Request) -> Response:
            operation, handler = handlers[request.method]
            request.scope["operation_path"] = operation.path
            query = {}
            if operation.path.startswith("/v1/"):
                query = parse_query(operation, request.scope["query_string"])
            response: Response = await handler(request, operation, query)
            return response

        return endpoint

    @asynccontextmanager
    async def _run(self, app: Any) -> AsyncIterator[None]:
        """Keep workers and expire sessions while the server runs."""
        try:
            await self.pool.open()
        except Exception as error:  # the worker has said more
            LOG.error("no worker starts", extra={"error": type(error).__name__})
            raise
        sweeper = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeper.cancel()
            await self.pool.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, self._settings.session_seconds / 4))
            self._sessions.expire()

    async def _score(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        self.pool.check_queue()
        with self._spool.file(media_suffix(operation, _media(request))) as body:
            await self._spool.receive(request, body)
            call = {"do": "score", "body": str(body), **query}
            async with Client.of(request) as client:
                return self._computed(await self.pool.run(call, client))

    def _computed(self, result: bytes) -> Response:
        """Return what a worker has computed, which is JSON already."""
        if len(result) > _LARGE_ANSWER:
            self.asgi.check_unread(len(result))
        return Response(result, media_type="application/json")

    async def _list_metrics(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        return _json({"metrics": self.pool.metrics})

    async def _create(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        with self._spool.file(".json") as body:
            if await self._spool.receive(request, body, _SMALL_BODY):
                media_suffix(operation, _media(request))
            session = self._sessions.create(parse_json(operation, body.read_bytes()))
        headers = {"Location": f"/v1/sessions/{session.id}"}
        return _json(self._sessions.describe(session), 201, headers)

    async def _describe(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        async with self._sessions.use(request.path_params["id"]) as session:
            return _json(self._sessions.describe(session))

    async def _delete(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        self._sessions.delete(request.path_params["id"])
        return Response(status_code=204)

    async def _update(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        return await self._change(request, operation)

    async def _merge(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        return await self._change(request, operation)

    async def _change(self, request: Request, operation: Operation) -> Response:
        """Let a worker write the next state of a session, and make it the state if it could."""
        self.pool.check_queue()
        identity = request.path_params["id"]
        suffix = media_suffix(operation, _media(request))
        with self._spool.file(suffix) as body, self._spool.file(".stats") as output:
            async with self._sessions.use(identity):
                await self._spool.receive(request, body)
            call = {"do": operation.handler, "body": str(body), "output": str(output)}
            async with (
                Client.of(request) as client,
                self._sessions.change(identity, client) as session,
            ):
                holds = await self.pool.run({**call, **session.arguments()}, client)
                self._sessions.commit(session, output, json.loads(holds))
                return _json(self._sessions.describe(session))

    async def _score_session(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        if query.get("task") == "auto":
            del query["task"]
        async with (
            Client.of(request) as client,
            self._sessions.read(request.path_params["id"]) as session,
        ):
            call = {"do": "score_session", **query, **session.arguments()}
            return self._computed(await self.pool.run(call, client))

    async def _state(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                self._sessions.read(request.path_params["id"])
            )
            if session.state is None:
                raise Problem(409, "EmptyError", "the session holds no rows yet; update it first")
            file = stack.enter_context(session.state.path.open("rb"))
            return _Download(file, session.state.n_bytes, stack.pop_all())

    async def _health(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        return _json({"status": "ok"})

    async def _ready(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        if self.asgi.draining:
            return _json({"status": "stopping"}, 503, {"Retry-After": "5"})
        if not self.pool.alive:
            return _json({"status": "starting"}, 503, {"Retry-After": "1"})
        return _json({"status": "ready"})

    async def _prometheus(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        text, media = self._telemetry.expose()
        return Response(text, headers={"Content-Type": media})

    async def _openapi(
        self, request: Request, operation: Operation, query: dict[str, Any]
    ) -> Response:
        return Response(self._document, media_type="application/json")


class _Download(StreamingResponse):
    """An answer that is read from a file; `held` is what it needs until it has been sent."""

    def __init__(self, file: BinaryIO, n_bytes: int, held: AsyncExitStack) -> None:
        super().__init__(
            _read(file), headers={"Content-Length": str(n_bytes)}, media_type=next(iter(STATE))
        )
        self._held = held

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the file, or as much of it as the client takes."""
        async with self._held:
            await super().__call__(scope, receive, send)


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _media(request: Request) -> str:
    media: str = request.headers.get("content-type", "")
    return media


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(value), status, headers, "application/json")
