"""The table of operations: paths, parameters and media types, from which requests are read.

The OpenAPI document is made of the same table, so it says what the service does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ._problems import Problem

__all__ = [
    "ARRAYS",
    "OPERATIONS",
    "STATE",
    "Operation",
    "Parameter",
    "media_suffix",
    "parse_json",
    "parse_query",
]

#: Media types of arrays, with the suffix of the format.
ARRAYS = {
    "application/x-npy": ".npy",
    "application/x-npz": ".npz",
    "application/zip": ".npz",
    "application/x-safetensors": ".safetensors",
    "application/vnd.apache.arrow.stream": ".arrow",
    "application/vnd.apache.arrow.file": ".arrow",
}
STATE = {"application/x-transferability-stats": ".stats"}
JSON = {"application/json": ".json"}
_MOST_LEVELS = 8  # of lists and objects in the options of metrics
_TASKS = ("auto", "classification", "regression", "multilabel")


@dataclass(frozen=True)
class Parameter:
    """A query parameter, or a member of a JSON body: its schema and its meaning."""

    name: str
    schema: Mapping[str, Any]
    text: str
    #: Read the text of a query parameter; members of JSON have their type already.
    read: Callable[[str], Any] = str


@dataclass(frozen=True)
class Operation:
    """One method of one path; `handler` is the name of its method in the application."""

    handler: str
    method: str
    path: str
    summary: str
    status: int
    returns: str  # name of the schema, or "" for none
    problems: tuple[int, ...] = ()
    query: tuple[Parameter, ...] = ()
    body: Mapping[str, str] | None = None  # suffix by media type
    members: tuple[Parameter, ...] = ()  # of a JSON body
    is_open: bool = False  # without a token, and while the service stops


def parse_options(text: str) -> dict[str, Any]:
    """Read the options of metrics: a JSON object."""
    try:
        options = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise unusable(
            f'options is not JSON ({reason}); give an object such as {{"k": 10}}'
        ) from None
    if not isinstance(options, dict):
        raise unusable(f'options is {text[:50]!r}; give an object such as {{"k": 10}}')
    if _nests(options, _MOST_LEVELS):
        raise unusable(
            f"options has lists or objects within each other, over {_MOST_LEVELS} levels deep; "
            f'give an object such as {{"k": 10}}'
        )
    return options


def _nests(value: Any, levels: int) -> bool:
    """Return whether a value of JSON has lists and objects within each other beyond some levels."""
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return not levels or any(_nests(each, levels - 1) for each in inner)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _choice(name: str, values: tuple[str, ...], default: str, text: str) -> Parameter:
    return Parameter(name, {"type": "string", "enum": [*values], "default": default}, text)


_METRICS = Parameter(
    "metrics",
    {"type": "string", "default": "logme", "minLength": 1},
    'Names separated by commas, as GET /v1/metrics lists them; "all", or "recommended".',
)
_OPTIONS = Parameter(
    "options",
    {"type": "string", "contentMediaType": "application/json"},
    'Options of the metrics, as a JSON object: {"k": 10}.',
    parse_options,
)
_TASK = _choice("task", _TASKS, "auto", "Type of the labels.")
_PRECISION = _choice("precision", ("double", "single"), "double", "Of products of float32.")
_METHOD = _choice("method", ("auto", "tridiagonal", "svd"), "auto", "As in transferability.score.")
_NEW_SESSION = (
    _choice("task", (*_TASKS, "unlabelled"), "auto", "Type of the labels."),
    _PRECISION,
    Parameter(
        "class_scatters",
        {"type": "boolean", "default": False},
        "Keep separate statistics of every class, which some metrics need.",
    ),
)

_ANY = (400, 401, 403, 421, 500, 503)
_SESSION = (*_ANY, 404)
_QUERY = (*_ANY, 422)
_COMPUTED = (*_QUERY, 408, 413, 415, 429, 501, 504)

OPERATIONS = (
    Operation(
        *("score", "POST", "/v1/score", "Score features against labels.", 200, "Scores"),
        _COMPUTED,
        (_METRICS, _TASK, _PRECISION, _METHOD, _OPTIONS),
        ARRAYS,
    ),
    Operation(
        *("list_metrics", "GET", "/v1/metrics", "List the metrics.", 200, "Metrics"),
        _QUERY,
    ),
    Operation(
        *("create", "POST", "/v1/sessions", "Create a session without rows.", 201, "Session"),
        (*_QUERY, 408, 413, 415, 429),
        body=JSON,
        members=_NEW_SESSION,
    ),
    Operation(
        *("describe", "GET", "/v1/sessions/{id}", "Describe a session.", 200, "Session"),
        (*_SESSION, 422),
    ),
    Operation(
        *("delete", "DELETE", "/v1/sessions/{id}", "Delete a session.", 204, ""),
        (*_SESSION, 422),
    ),
    Operation(
        *("update", "POST", "/v1/sessions/{id}/update", "Add rows.", 200, "Session"),
        (*_COMPUTED, 404),
        body=ARRAYS,
    ),
    Operation(
        *("merge", "POST", "/v1/sessions/{id}/merge", "Merge statistics.", 200, "Session"),
        (*_COMPUTED, 404),
        body=STATE,
    ),
    Operation(
        *("score_session", "POST", "/v1/sessions/{id}/score", "Score a session.", 200, "Scores"),
        (*_COMPUTED, 404),
        (_METRICS, _choice("task", _TASKS, "auto", "Decide an open task."), _OPTIONS),
    ),
    Operation(
        *("state", "GET", "/v1/sessions/{id}/state", "Download the statistics.", 200, "State"),
        (*_SESSION, 409, 422),
    ),
    Operation(
        *("health", "GET", "/healthz", "Whether the process answers.", 200, "Status"),
        is_open=True,
    ),
    Operation(
        *("ready", "GET", "/readyz", "Whether requests are taken.", 200, "Status", (503,)),
        is_open=True,
    ),
    Operation(
        *("prometheus", "GET", "/metrics", "Figures for Prometheus.", 200, "Prometheus"),
        _ANY,
    ),
    Operation(
        *("openapi", "GET", "/openapi.json", "This document.", 200, "Document"),
        _ANY,
    ),
)


def parse_query(operation: Operation, query: bytes) -> dict[str, Any]:
    """Read the query parameters of a request; raise Problem 422 for unknown and repeated ones."""
    known = {parameter.name: parameter for parameter in operation.query}
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise unusable("the query is no UTF-8 in percent-encoding") from None
    for name, text in pairs:
        if name not in known:
            raise _unknown("query parameter", name, known)
        if name in values:
            raise unusable(f"{name} is given twice; give it once")
        _check_choice(known[name], text)
        values[name] = known[name].read(text)
    return values


def parse_json(operation: Operation, body: bytes) -> dict[str, Any]:
    """Read the members of a JSON body, with the defaults of those that are not given."""
    try:
        given = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "BodyError", "body is not JSON; give an object, or nothing") from None
    if not isinstance(given, dict):
        raise unusable("body is JSON but no object; give an object, or nothing")
    known = {parameter.name: parameter for parameter in operation.members}
    for name, value in given.items():
        if name not in known:
            raise _unknown("member", name, known)
        _check_choice(known[name], value)
        if known[name].schema["type"] == "boolean" and not isinstance(value, bool):
            raise unusable(f"{name} is {json.dumps(value)[:50]}; give true or false")
    return {name: given.get(name, known[name].schema["default"]) for name in known}


def media_suffix(operation: Operation, content_type: str) -> str:
    """Return the suffix of the format of a body; raise Problem 415 for another media type."""
    body = operation.body or {}
    suffix = body.get(content_type.partition(";")[0].strip().lower())
    if suffix is None:
        shown = repr(content_type[:100]) if content_type else "missing"
        raise Problem(
            415, "MediaTypeError", f"Content-Type is {shown}; give one of {', '.join(body)}"
        )
    return suffix


def _check_choice(parameter: Parameter, value: Any) -> None:
    choices = parameter.schema.get("enum")
    if choices is not None and value not in choices:
        shown = json.dumps(value)[:50]
        raise unusable(f"{parameter.name} is {shown}; choose from {', '.join(choices)}")


def _unknown(kind: str, name: str, known: Mapping[str, Any]) -> Problem:
    choices = f"choose from {', '.join(known)}" if known else "there are none here"
    return unusable(f"unknown {kind} {name[:50]!r}; {choices}")


def unusable(detail: str) -> Problem:
    """Return Problem 422 for an option that cannot be used."""
    return Problem(422, "DataError", detail)
