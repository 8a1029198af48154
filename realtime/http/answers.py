"""Good answers: JSON with an ETag where there is a version, compressed where it pays."""

from typing import Final

import msgspec
from aiohttp import web

from models.trips import Trip, WatchedTrip
from realtime.http.requests import knows_state, state_of
from realtime.http.table import Route

GZIP_FROM: Final = 1_024
"""Bytes from which on an answer is compressed."""

_encode: Final = msgspec.json.Encoder().encode


def answer(request: web.Request, route: Route, content: object) -> web.Response:
    """What a route answers. For a trip that the client has already: 304 and no body."""
    state = state_of(content) if isinstance(content, Trip | WatchedTrip) else None
    if state is not None and request.method in ("GET", "HEAD") and knows_state(request, state):
        return _marked(web.Response(status=304), state, "")
    if content is None:
        return web.Response(status=route.status, headers=PRIVATE)
    response = web.Response(
        body=_encode(content), status=route.status, content_type="application/json"
    )
    suffix = "-gzip" if _compress(request, response) else ""
    return _marked(response, state, suffix)


PRIVATE: Final = {"Cache-Control": "private, no-cache"}


def _marked(response: web.Response, state: str | None, suffix: str) -> web.Response:
    """Caches keep what is one caller's for this caller, and ask before they use it again."""
    response.headers.update(PRIVATE)
    response.headers["Vary"] = "Authorization, Accept-Encoding"
    if state is not None:
        response.headers["ETag"] = f'"{state}{suffix}"'
    return response


def _compress(request: web.Request, response: web.Response) -> bool:
    """Compress a large body for a client that takes it; an encoding has an ETag of its own."""
    size = len(response.body) if isinstance(response.body, bytes) else 0
    if size < GZIP_FROM or not takes_gzip(request):
        return False
    response.enable_compression(web.ContentCoding.gzip)
    return True


def takes_gzip(request: web.Request) -> bool:
    for part in request.headers.get("Accept-Encoding", "").split(","):
        coding, _, quality = part.partition(";")
        if coding.strip().lower() == "gzip":
            return quality.strip().lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
