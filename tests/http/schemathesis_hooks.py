"""What OpenAPI cannot say of a good request, told to schemathesis.

It asks again whether the request is good after these changes, so that bad requests stay bad.
"""

import os
from itertools import cycle
from typing import Any

import schemathesis

from realtime.http.documents.schemas.ride import DRIVER, RIDER
from realtime.http.requests import IDEMPOTENCY_KEY, IF_MATCH

PAGED = ("after_seq", "before_seq", "cursor")


@schemathesis.auth(refresh_interval=None)
class Token:
    """The callers' tokens, from the environment of the run, in turn."""

    def __init__(self) -> None:
        self._tokens = cycle(os.environ["CALLER_TOKENS"].split())

    def get(self, _case: schemathesis.Case[Any], _context: schemathesis.AuthContext) -> str:
        return next(self._tokens)

    def set(
        self, case: schemathesis.Case[Any], token: str, _context: schemathesis.AuthContext
    ) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.check
def code_conformance(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """A refusal has one of the codes that the operation names for its status."""
    described = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    if case.method == case.operation.method.upper() and "x-codes" in described:
        assert response.json()["error"]["code"] in described["x-codes"]


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]
) -> None:
    if isinstance(case.body, dict):
        _write_whole(case.body)
        _say_who(case.body, case.operation.definition.raw["operationId"])
    _quote(case.headers)
    _agree(case.body if isinstance(case.body, dict) else {}, case.headers)
    _page(case.query)


def _write_whole(value: Any) -> None:
    """JSON Schema takes 1.0 for an integer; nobody writes integers so."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, float) and part.is_integer():
            value[key] = int(part)
        elif isinstance(part, dict | list):
            _write_whole(part)


def _say_who(body: dict[str, Any], operation: str) -> None:
    """Staff has to name the rider of a new trip, and the driver for whom it accepts one."""
    if operation == "create_trip" and body.get("rider_id") is None:
        body["rider_id"] = RIDER.user_id
    if operation == "update_trip" and body.get("driver_id") is None:
        body["driver_id"] = DRIVER.user_id


def _agree(body: dict[str, Any], headers: Any) -> None:
    """A field that is in a header, too, is the same there."""
    if IDEMPOTENCY_KEY in headers and headers[IDEMPOTENCY_KEY] != body.get("client_id"):
        del headers[IDEMPOTENCY_KEY]
    if IF_MATCH in headers and headers[IF_MATCH] != f'"{body.get("version")}"':
        body.pop("version", None)


def _quote(headers: Any) -> None:
    """Schemathesis puts only letters and digits into headers; an ETag has quotes."""
    if headers and str(headers.get(IF_MATCH, "")).isdigit():
        headers[IF_MATCH] = f'"{headers[IF_MATCH]}"'


def _page(query: Any) -> None:
    """One way to page at a time; and cursors are the server's own."""
    if query:
        query.pop("cursor", None)
        if "after_seq" in query:
            query.pop("before_seq", None)
