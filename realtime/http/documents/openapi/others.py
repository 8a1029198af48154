"""The routes that are not in the table, as OpenAPI has them: for operators, and the documents."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from realtime.http.documents.openapi.components import header_refs, parameter_refs
from realtime.http.documents.schemas.types import Kind, ref
from realtime.http.requests import IF_NONE_MATCH

Object = dict[str, Any]


class Health(Struct, frozen=True):
    """The process runs."""

    status: Literal["ok"]


class Readiness(Struct, frozen=True):
    """Whether the server may get traffic, and what keeps it from that."""

    status: Literal["ready", "unready"]
    problems: dict[str, str] | UnsetType = UNSET


def types_of_others() -> tuple[Kind, ...]:
    return (Health, Readiness)


def operations_of_others() -> dict[str, Object]:
    return {
        "/healthz": _get(
            "healthz",
            "operations",
            "Say that the process runs.",
            {"200": _answer("It runs.", "application/json", ref(Health))},
        ),
        "/readyz": _get(
            "readyz",
            "operations",
            "Say whether the server may get traffic.",
            {
                "200": _answer("It may.", "application/json", ref(Readiness)),
                "503": _answer(
                    "It may not: a store is away, or it is stopping.",
                    "application/json",
                    ref(Readiness),
                ),
            },
        ),
        "/metrics": _get(
            "metrics",
            "operations",
            "What the process counts, for Prometheus.",
            {"200": _answer("In Prometheus' text format.", "text/plain", {"type": "string"})},
        ),
        "/v1/openapi.json": _document("openapi", "Describe the HTTP side: this document."),
        "/v1/asyncapi.json": _document("asyncapi", "Describe the Socket.IO side."),
        "/v1/docs": _get(
            "docs",
            "documents",
            "Show both documents to people.",
            {
                "200": _answer("A page.", "text/html", {"type": "string"}),
                "304": _known(),
            },
            known=True,
        ),
    }


def _document(name: str, summary: str) -> Object:
    responses = {
        "200": _answer("The document.", "application/json", {"type": "object"}),
        "304": _known(),
    }
    return _get(name, "documents", summary, responses, known=True)


def _get(
    name: str, tag: str, summary: str, responses: dict[str, Object], *, known: bool = False
) -> Object:
    headers = [IF_NONE_MATCH] if known else []
    return {
        "get": {
            "operationId": name,
            "tags": [tag],
            "summary": summary,
            "security": [],
            "parameters": parameter_refs(*headers),
            "responses": responses,
        }
    }


def _answer(words: str, content_type: str, schema: Object) -> Object:
    return {
        "description": words,
        "headers": header_refs(),
        "content": {content_type: {"schema": schema}},
    }


def _known() -> Object:
    return {
        "description": "As the caller has it.",
        "headers": header_refs(),
    }
