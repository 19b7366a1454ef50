"""The OpenAPI 3.1 document of the service, made from the table of operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._operations import OPERATIONS, Operation, Parameter
from ._problems import PROBLEM_TYPE, STATUSES

__all__ = ["document"]

_NUMBER_OR_NONE = {"type": ["number", "string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_REQUEST_ID = {"X-Request-ID": {"schema": {"type": "string"}, "description": "Also in the log."}}
_RETRY = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds to wait."}}

#: Schemas by name, with the media type of what they describe.
_SCHEMAS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Scores": (
        "application/json",
        {
            "type": "object",
            "required": ["scores", "skipped"],
            "properties": {
                "scores": {
                    "type": "object",
                    "description": "Score.to_dict() by metric; NaN is null.",
                    "additionalProperties": {
                        "type": "object",
                        "required": ["value"],
                        "properties": {"value": _NUMBER_OR_NONE},
                    },
                },
                "skipped": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    ),
    "Session": (
        "application/json",
        {
            "type": "object",
            "required": ["id", "version", "n_samples", "n_features", "task"],
            "properties": {
                "id": {"type": "string"},
                "version": {**_COUNT, "description": "Number of changes."},
                "expires_in": {"type": "number", "description": "Seconds without a request."},
                "task": {"type": "string"},
                "precision": {"type": "string"},
                "class_scatters": {"type": "boolean"},
                "n_samples": _COUNT,
                "n_features": _COUNT,
                "n_classes": _COUNT,
                "n_bytes": _COUNT,
            },
        },
    ),
    "Metrics": (
        "application/json",
        {
            "type": "object",
            "required": ["metrics"],
            "properties": {"metrics": {"type": "array", "items": {"type": "object"}}},
        },
    ),
    "Status": (
        "application/json",
        {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string"}},
        },
    ),
    "Document": ("application/json", {"type": "object"}),
    "Prometheus": ("text/plain", {"type": "string"}),
    "State": ("application/x-transferability-stats", {"type": "string", "format": "binary"}),
    "Problem": (
        PROBLEM_TYPE,
        {
            "type": "object",
            "required": ["type", "title", "status", "detail", "error", "request_id"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "error": {"type": "string", "description": "Such as LimitError or DataError."},
                "request_id": {"type": "string"},
            },
        },
    ),
}


def document(version: str, needs_token: bool) -> dict[str, Any]:
    """Return the OpenAPI document; with a token, operations name the bearer scheme."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        described = _describe(operation)
        if needs_token and not operation.is_open:
            described["security"] = [{"token": []}]
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    components: dict[str, Any] = {
        "schemas": {name: schema for name, (_, schema) in _SCHEMAS.items()},
    }
    if needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "transferability",
            "version": version,
            "summary": "Transferability metrics of posted features.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": components,
    }


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler,
        "summary": operation.summary,
        "parameters": [_describe_query(parameter) for parameter in operation.query],
        "responses": {str(operation.status): _respond(operation.summary, operation.returns)},
    }
    if "{id}" in operation.path:
        identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        described["parameters"].append(identifier)
    if operation.members:
        described["requestBody"] = {
            "content": {media: {"schema": _members(operation)} for media in operation.body or ()}
        }
    elif operation.body is not None:
        binary = {"schema": {"type": "string", "format": "binary"}}
        described["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(operation.body, binary),
        }
    for status in sorted(operation.problems):
        response = _respond(STATUSES[status], "Status" if operation.is_open else "Problem")
        if status in (429, 503):
            response["headers"] = {**response["headers"], **_RETRY}
        described["responses"][str(status)] = response
    return described


def _describe_query(parameter: Parameter) -> dict[str, Any]:
    described = {"name": parameter.name, "in": "query", "required": False}
    return {**described, "description": parameter.text, "schema": parameter.schema}


def _members(operation: Operation) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            member.name: {**member.schema, "description": member.text}
            for member in operation.members
        },
    }


def _respond(text: str, schema: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": text, "headers": dict(_REQUEST_ID)}
    if schema:
        media = _SCHEMAS[schema][0]
        response["content"] = {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return response
