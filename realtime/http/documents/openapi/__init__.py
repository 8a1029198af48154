"""The OpenAPI 3.1 document of the HTTP side, made from the table of routes."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from handlers.access import ACCESS
from models.errors import Conflict, RateLimited, RidewireError, TooLarge, Unavailable
from models.identity import Role
from realtime.http.documents.openapi.components import (
    HEADERS,
    OF_TYPES,
    PARAMETERS,
    TOKEN,
    header_refs,
    parameter_refs,
)
from realtime.http.documents.openapi.others import operations_of_others, types_of_others
from realtime.http.documents.schemas import Schemas, errors, examples
from realtime.http.documents.schemas.fields import UNITS
from realtime.http.documents.schemas.types import ref
from realtime.http.errors import STATUSES, MethodNotAllowed
from realtime.http.requests import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    TooSlow,
    UnsupportedMediaType,
)
from realtime.http.table import JSON, ROUTES, Method, Route, by_path

Object = dict[str, Any]

ABOUT: Final = f"""\
Ridewire over HTTP, for a company's own backend and for what an app does once in a while: trips, \
messages, share links, pushed events, revoked tokens. It has the same identities, rules and \
errors as the Socket.IO side, which `/v1/asyncapi.json` describes and which is the way to *hear* \
of things.

{UNITS}

Every answer has an `X-Request-Id`, the request's own if it had a good one. A refusal is \
`{{"error": {{"code", "message", "retry", "request_id", …}}}}`; `retry` says whether the same \
request may succeed later. When no answer came, send a request that creates something again with \
the same `client_id`: nothing happens twice.
"""

TAGS: Final = {
    "trips": "A ride from its request to its end.",
    "conversations": "Chat. A trip's conversation has the trip's id.",
    "drivers": "Who takes trips, and where.",
    "users": "What the company's service does to a user's connections and tokens.",
    "operations": "For operators, without a token: to be kept from the public.",
    "documents": "What describes both interfaces, without a token.",
}

_GOOD: Final = {
    200: "As it is now.",
    201: "Created; or what the first request with this `client_id` created.",
    202: "On its way.",
    204: "Done.",
}


def openapi() -> Object:
    """The document, ready to be written as JSON."""
    schemas = Schemas(
        asked=[route.takes for route in ROUTES],
        told=[
            *(route.answers for route in ROUTES if route.answers),
            *types_of_others(),
            errors.HttpRefusal,
        ],
    )
    schemas.set_field(errors.HttpError, "code", errors.code_schema(_codes()))
    paths = {
        path: {route.method.lower(): _operation(route, schemas) for route in routes}
        for path, routes in by_path().items()
    }
    paths |= operations_of_others()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ridewire over HTTP",
            "version": "1",
            "summary": "Trips, chat and connections of rides.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.named_in(paths),
            "headers": HEADERS,
            "parameters": PARAMETERS,
            "securitySchemes": {"token": TOKEN},
        },
    }


def _codes() -> Iterator[str]:
    """The codes of all refusals."""
    yield MethodNotAllowed.code
    for route in ROUTES:
        for codes in refusals_of(route).values():
            yield from codes


def refusals_of(route: Route) -> dict[int, list[str]]:
    """The codes that a request of this route may be refused with, by status."""
    found: dict[int, set[type[RidewireError]]] = {}
    of_bodies = (TooLarge, UnsupportedMediaType, TooSlow) if route.method.has_body else ()
    for kind in (*errors.of_request(route.access), *of_bodies):
        found.setdefault(STATUSES[kind], set()).add(kind)
    if route.takes_version:
        found[HTTPStatus.PRECONDITION_FAILED] = {Conflict}
    return {status: errors.codes(kinds) for status, kinds in sorted(found.items())}


def roles_of(event: str) -> list[str]:
    """The roles that may ask for it, in the order of `Role`."""
    return [str(role) for role in Role if role in ACCESS[event].roles]


def _operation(route: Route, schemas: Schemas) -> Object:
    roles = roles_of(route.access)
    return {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.about,
        "description": f"For {', '.join(f'`{role}`' for role in roles)}.",
        "x-roles": roles,
        "parameters": [*_fields(route, schemas), *parameter_refs(*_headers(route))],
        **({"requestBody": _body(route, schemas)} if route.method.has_body else {}),
        "responses": {
            str(route.status): _good(route),
            **({"304": _not_modified()} if _may_be_known(route) else {}),
            **{str(status): refused(status, codes) for status, codes in refusals_of(route).items()},
        },
    }


def _fields(route: Route, schemas: Schemas) -> list[Object]:
    """What comes in the path and, where there is no body, in the query."""
    properties = schemas.components[route.takes.__name__]["properties"]
    in_query = () if route.method.has_body else (n for n in properties if n not in route.in_path)
    return [
        *(_field(route, schemas, name, "path") for name in route.in_path),
        *(_field(route, schemas, name, "query") for name in in_query),
    ]


def _field(route: Route, schemas: Schemas, name: str, where: str) -> Object:
    schema = schemas.field(route.takes, name)
    needed = where == "path" or name in schemas.components[route.takes.__name__].get("required", ())
    example = examples.of_type(route.takes.__name__).get(name)
    return {
        "name": name,
        "in": where,
        "description": schema.pop("description"),
        **({"required": True} if needed else {}),
        "schema": schema,
        **({"example": example} if example is not None else {}),
    }


def _headers(route: Route) -> list[str]:
    """Which headers a request may have."""
    return [
        *([IDEMPOTENCY_KEY] if route.takes_key else []),
        *([IF_MATCH] if route.takes_version else []),
        *([IF_NONE_MATCH] if _may_be_known(route) else []),
    ]


def _may_be_known(route: Route) -> bool:
    return route.is_versioned and route.method is Method.GET


def _body(route: Route, schemas: Schemas) -> Object:
    schema = schemas.body(route.takes, route.in_path)
    resolved = schemas.resolved(schema)
    whole = examples.of_type(route.takes.__name__)
    example = {name: value for name, value in whole.items() if name not in route.in_path}
    return {
        "required": not resolved.keys().isdisjoint({"required", "anyOf"}),
        "content": {JSON: {"schema": schema, "example": example}},
    }


def _good(route: Route) -> Object:
    headers = [
        *(["ETag"] if route.is_versioned else []),
        *(["Location"] if route.name == "create_trip" else []),
    ]
    answer: Object = {"description": _GOOD[route.status], "headers": header_refs(*headers)}
    if route.answers is not None:
        example = examples.of_answer(route.name, route.answers)
        content = {"schema": ref(route.answers), "example": example}
        answer["content"] = {JSON: content, **{kind: OF_TYPES[kind] for kind in route.also}}
    return answer


def _not_modified() -> Object:
    return {
        "description": "The trip is as the caller has it.",
        "headers": header_refs("ETag"),
    }


def refused(status: int, codes: Iterable[str]) -> Object:
    """A refusal, with the codes that it may have."""
    codes = list(codes)
    headers = {
        401: ["WWW-Authenticate"],
        STATUSES[RateLimited]: ["Retry-After"],
        STATUSES[Unavailable]: ["Retry-After"],
    }
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}.",
        "x-codes": codes,
        "headers": header_refs(*headers.get(status, [])),
        "content": {JSON: {"schema": ref(errors.HttpRefusal)}},
    }
