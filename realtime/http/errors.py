"""What all HTTP answers have in common: a request id, our errors as JSON, CORS, failures logged."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil
from typing import Final

import msgspec
from aiohttp import web

from models.errors import (
    Closed,
    Conflict,
    Forbidden,
    IllegalTransition,
    Internal,
    Invalid,
    NotFound,
    RateLimited,
    RidewireError,
    TokenExpired,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from models.fields import new_id
from realtime.http.attempts import Attempts
from realtime.http.requests import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    ORIGIN,
    TooSlow,
    UnsupportedMediaType,
    remote,
    required_version,
)
from realtime.http.table import ROUTES
from realtime.metrics import Metrics
from realtime.proxies import Origin, Proxies

_log = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-Id"
RETRY_AFTER_S: Final = 1
"""For what a store's absence or a stopping server refuses."""

STATUSES: Final[dict[type[RidewireError], int]] = {
    Invalid: 400,
    Unauthorized: 401,
    TokenExpired: 401,
    Forbidden: 403,
    NotFound: 404,
    TooSlow: 408,
    Conflict: 409,
    Closed: 409,
    IllegalTransition: 409,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    RateLimited: 429,
    Internal: 500,
    Unavailable: 503,
}
"""The status of each error. A conflict with `If-Match` is 412 (RFC 9110, 13.1.1)."""

_ROUTE_NAMES: Final[Mapping[tuple[str, str], str]] = {
    (route.method, route.path): route.name for route in ROUTES
}
_GOOD_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_NAME: Final = web.RequestKey("request_id", str)
_ALLOWED_HEADERS: Final = (
    f"Authorization, Content-Type, {IDEMPOTENCY_KEY}, {IF_MATCH}, {IF_NONE_MATCH}, {REQUEST_ID}"
)
_EXPOSED_HEADERS: Final = f"ETag, Location, Retry-After, {REQUEST_ID}"
_PREFLIGHT_S: Final = 600

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MethodNotAllowed(RidewireError):
    code = "method_not_allowed"


class Edge:
    """The middleware around all routes but Socket.IO's own."""

    def __init__(
        self,
        not_for: str,
        allowed_origins: Sequence[str],
        proxies: Proxies,
        attempts: Attempts,
        metrics: Metrics,
    ) -> None:
        """`not_for` is the path of which all this is none of its business."""
        self._attempts = attempts
        self._proxies = proxies
        self._metrics = metrics
        self._not_for = not_for
        self._origins = frozenset(allowed_origins)
        self.is_draining = False
        """Whether clients had better ask another instance next time."""
        self._under_way = 0
        self._finished: asyncio.Future[None] | None = None

    async def finish(self, within_s: float) -> None:
        """Wait until no request is under way, so long at most."""
        if self._under_way:
            self._finished = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._finished,), timeout=within_s)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == self._not_for:
            return await handler(request)
        began = time.perf_counter()
        request[_NAME] = _request_id(request)
        origin = self._proxies.origin(request)
        request[ORIGIN] = origin
        self._under_way += 1
        try:
            if request.method == "OPTIONS":
                response: web.StreamResponse = _options(request)
            else:
                response = await self._answered(request, handler, origin)
        finally:
            self._ended()
        took = time.perf_counter() - began
        self._metrics.answered_http(_route(request), request.method, response.status, took)
        return response

    async def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """What every answer has, be it streamed or not. For `Application.on_response_prepare`."""
        if _NAME not in request:
            return
        if self.is_draining:
            response.force_close()
        response.headers[REQUEST_ID] = request[_NAME]
        self._share(request, response)

    def _ended(self) -> None:
        self._under_way -= 1
        if self._under_way == 0 and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    async def _answered(
        self, request: web.Request, handler: Handler, origin: Origin
    ) -> web.StreamResponse:
        try:
            self._attempts.count(request, origin)
            return await handler(request)
        except RidewireError as error:
            self._metrics.refused_token(error)
            return _refused(request, error)
        except web.HTTPException as error:
            return _translated(request, error)
        except ConnectionError:
            return web.Response(status=400)  # the client has gone: nobody reads it
        except Exception:  # noqa: BLE001 - logged, and the client gets an answer
            _log.exception("a request failed", extra=_described(request, Internal.code))
            return refusal(Internal("the server failed"), request[_NAME])

    def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let pages of the allowed origins read the answer (Fetch standard, CORS protocol)."""
        if not self._origins:
            return
        varies = response.headers.get("Vary")
        response.headers["Vary"] = f"{varies}, Origin" if varies else "Origin"
        origin = request.headers.get("Origin")
        if origin is None or not self._origins & {origin, "*"}:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
            response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)


def request_id(request: web.Request) -> str:
    return request[_NAME]


def refusal(error: RidewireError, request_id: str, status: int | None = None) -> web.Response:
    """An error as an answer: `{"error": {"code", "message", "retry", …, "request_id"}}`."""
    body = {"error": {**error.body(), "request_id": request_id}}
    response = web.Response(
        body=msgspec.json.encode(body),
        status=status or status_of(error),
        content_type="application/json",
    )
    response.headers["Cache-Control"] = "no-store"
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(ceil(error.retry_after_ms / 1000))
    elif isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def status_of(error: RidewireError) -> int:
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def _request_id(request: web.Request) -> str:
    """The client's own id of the request, if it is a sane one; else a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _GOOD_ID.fullmatch(given) else new_id()


def _refused(request: web.Request, error: RidewireError) -> web.Response:
    by_tag = isinstance(error, Conflict) and required_version(request) is not None
    response = refusal(error, request[_NAME], 412 if by_tag else None)
    failed = response.status >= web.HTTPInternalServerError.status_code
    level = logging.WARNING if failed else logging.INFO
    _log.log(level, "a request was refused", extra=_described(request, error.code))
    return response


def _translated(request: web.Request, error: web.HTTPException) -> web.Response:
    """The refusals of aiohttp itself, as ours: no such path, no such method on it."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        refused = MethodNotAllowed(f"{request.method[:16]} is not one of {allowed}")
        response = refusal(refused, request[_NAME], error.status)
        response.headers["Allow"] = allowed
        return response
    if isinstance(error, web.HTTPNotFound):
        return _refused(request, NotFound("path"))
    return refusal(Invalid(error.reason), request[_NAME], error.status)


def _options(request: web.Request) -> web.Response:
    """Which methods a path has; also the answer to a browser that asks before it sends."""
    unmatched = request.match_info.http_exception
    if isinstance(unmatched, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted({*unmatched.allowed_methods, "OPTIONS"}))
        return web.Response(status=204, headers={"Allow": allowed})
    return refusal(NotFound("path"), request[_NAME])


def _route(request: web.Request) -> str:
    """The name of the route in the table; of others the end of their path."""
    resource = request.match_info.route.resource
    if resource is None:
        return "unknown"
    method = "GET" if request.method == "HEAD" else request.method
    return _ROUTE_NAMES.get((method, resource.canonical)) or resource.canonical.rpartition("/")[2]


def _described(request: web.Request, code: str) -> dict[str, object]:
    resource = request.match_info.route.resource
    return {
        "request": request[_NAME],
        "method": request.method[:16],
        "route": resource.canonical if resource else None,
        "code": code,
        "trip": request.match_info.get("trip_id"),
        "conversation": request.match_info.get("conversation_id"),
        "remote": remote(request),
    }
