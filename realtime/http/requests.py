"""Requests read into the types of the table: path, query, body and the headers that stand for
fields. What cannot be read is `Invalid`, with the path of what is wrong.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import msgspec.inspect
import msgspec.structs
from aiohttp import web
from msgspec import Struct

from models.errors import Invalid, RidewireError, TooLarge, Unauthorized
from models.fields import Id
from models.trips import Trip, WatchedTrip
from realtime import payloads
from realtime.http.table import Route
from realtime.proxies import Origin

MAX_BODY: Final = 256 * 1024
"""Bytes of a request's body."""
BODY_WITHIN_S: Final = 10.0
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IF_MATCH: Final = "If-Match"
IF_NONE_MATCH: Final = "If-None-Match"
NO_VERSION: Final = 0
"""Trips begin with version 1."""

ORIGIN: Final = web.RequestKey("origin", Origin)
_BEARER: Final = "bearer "
_JSON: Final = "application/json"
_DIGITS: Final = re.compile(r"-?[0-9]{1,16}", re.ASCII)
_DECIMAL: Final = re.compile(
    r"-?[0-9]{1,16}(\.[0-9]{1,64})?(e[+-]?[0-9]{1,3})?", re.ASCII | re.IGNORECASE
)
_TAG: Final = re.compile(
    r'"(?P<state>(?P<version>[0-9]{1,16})(?:\.[0-9]{1,16})?)(?:-gzip)?"', re.ASCII
)
"""A trip's version, and how far it went, once that is known: it is there later than the version."""
_TAGS: Final = re.compile(r'(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*')
_read_object: Final = msgspec.json.Decoder(dict[str, object]).decode


class UnsupportedMediaType(RidewireError):
    """The body is not what the route takes: JSON in UTF-8, not compressed."""

    code = "unsupported_media_type"


class TooSlow(RidewireError):
    """The body did not arrive in time."""

    code = "timeout"
    retry = True


def remote(request: web.Request) -> str:
    """The address that it came from, as far as its proxies tell."""
    return request[ORIGIN].address


def place(request: web.Request) -> str:
    """What it counts as for the limits of a user with many places."""
    return request[ORIGIN].place


def bearer(headers: Mapping[str, str]) -> str:
    """The token of a request. It is not looked for in the query, which ends up in logs."""
    authorization = headers.get("Authorization", "")
    if not authorization.lower().startswith(_BEARER):
        raise Unauthorized("no token: it is expected as Authorization: Bearer <token>", "missing")
    return authorization[len(_BEARER) :].strip()


class Reader:
    """Reads what one route takes."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._kind: type[Any] = route.takes
        self._fields = frozenset(self._kind.__struct_encode_fields__)
        self._numbers = _fields_with(self._kind, msgspec.inspect.IntType)
        self._decimals = _fields_with(self._kind, msgspec.inspect.FloatType)

    async def read(self, request: web.Request) -> Any:  # noqa: ANN401 - what the route takes
        has_body = self._route.method.has_body
        given = _object(await _body(request)) if has_body else self._queried(request)
        for name in self._route.in_path:
            _put(given, name, request.match_info[name])
        if self._route.takes_key and IDEMPOTENCY_KEY in request.headers:
            _put(given, "client_id", request.headers[IDEMPOTENCY_KEY])
        if self._route.takes_version and (version := required_version(request)) is not None:
            _put(given, "version", version)
        try:
            return msgspec.convert(given, self._kind)
        except msgspec.ValidationError as error:
            raise payloads.invalid(error, self._kind) from error

    def _queried(self, request: web.Request) -> dict[str, object]:
        """The query's fields, numbers as numbers. Raises Invalid for one that comes twice."""
        queried: dict[str, object] = {}
        for name, value in request.query.items():
            if name not in self._fields:
                continue
            if name in queried:
                raise Invalid("Expected one value, got several", name)
            queried[name] = self._value(name, value)
        return queried

    def _value(self, name: str, value: str) -> int | float | str:
        if name in self._numbers and _DIGITS.fullmatch(value):
            return int(value)
        if name in self._decimals and _DECIMAL.fullmatch(value):
            return float(value)
        return value


def required_version(request: web.Request) -> int | None:
    """The version that `If-Match` asks for; None for any.

    Of several tags the newest version counts, and a tag that is no version's is one that no trip
    has (RFC 9110, 13.1.1). A proxy that compresses makes a tag weak, which is taken all the same.
    """
    given = request.headers.get(IF_MATCH, "*").strip()
    if given == "*":
        return None
    if not _TAGS.fullmatch(given):
        raise Invalid('Expected ETags as the server gives them, like "7", or *', IF_MATCH)
    return max((int(tag["version"]) for tag in _TAG.finditer(given)), default=NO_VERSION)


def state_of(trip: Trip | WatchedTrip) -> str:
    """What an ETag says of a trip."""
    metres = None if isinstance(trip, WatchedTrip) else trip.distance_m
    return f"{trip.version}" if metres is None else f"{trip.version}.{metres}"


def knows_state(request: web.Request, state: str) -> bool:
    """Whether `If-None-Match` names this state of a trip: the client has it already."""
    given = request.headers.get(IF_NONE_MATCH, "")
    return given.strip() == "*" or any(tag["state"] == state for tag in _TAG.finditer(given))


async def _body(request: web.Request) -> bytes:
    """The body, empty or JSON by its own account."""
    if not request.can_read_body:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Expected a body without Content-Encoding")
    if request.content_type != _JSON or (request.charset or "utf-8").lower() != "utf-8":
        raise UnsupportedMediaType(f"Expected Content-Type: {_JSON}")
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.read()
    except TimeoutError as error:
        raise TooSlow(f"the body did not come within {BODY_WITHIN_S:g} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(f"a body has at most {MAX_BODY} bytes") from error


def _object(body: bytes) -> dict[str, object]:
    if not body:
        return {}
    try:
        return _read_object(body)
    except msgspec.ValidationError as error:
        raise Invalid("Expected a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"Expected JSON: {error}") from error


def _put(given: dict[str, object], name: str, value: Id | int) -> None:
    """Set a field from elsewhere than the body, which may repeat it, but not say otherwise.

    As JSON has it, true is not 1.
    """
    same = name not in given or (type(given[name]) is type(value) and given[name] == value)
    if not same:
        raise Invalid("Expected the same as in the path and headers, or nothing", name)
    given[name] = value


def _fields_with(kind: type[Struct], part: type[msgspec.inspect.Type]) -> frozenset[str]:
    """The fields of a type that may have such a value."""
    return frozenset(
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if _may_be(part, msgspec.inspect.type_info(field.type))
    )


def _may_be(part: type[msgspec.inspect.Type], kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_may_be(part, each) for each in kind.types)
    return isinstance(kind, part)
