"""The descriptions of both interfaces, served: two documents, and a page for people made from them.

They are made once, when the server starts, and change with its version only.
"""

import gzip
from base64 import b64encode
from hashlib import blake2b, sha256
from typing import Final

import msgspec
from aiohttp import web

from realtime.http.answers import takes_gzip
from realtime.http.documents.asyncapi import asyncapi
from realtime.http.documents.openapi import openapi
from realtime.http.documents.page import page
from realtime.http.documents.page.style import STYLE
from realtime.http.requests import IF_NONE_MATCH

_STYLE_HASH: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
_JSON: Final = "application/json"
_HTML: Final = "text/html"
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing, runs nothing, and has the one style that it came with."""


class Document:
    """A body, compressed beforehand: whoever asks, nobody else waits for it."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self._packed = gzip.compress(body)
        self._content_type = content_type
        # Weak, because it is the same for the compressed form.
        self._tag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'

    async def answer(self, request: web.Request) -> web.Response:
        """The document, or 304 to who has it already."""
        headers = {
            "ETag": self._tag,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if self._content_type == _HTML:
            headers |= {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
        if self._tag in request.headers.get(IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        packed = takes_gzip(request)
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=self._packed if packed else self.body,
            content_type=self._content_type,
            charset="utf-8",
            headers=headers,
        )


def documents() -> dict[str, Document]:
    """Every document by its path."""
    over_http, over_sockets = openapi(), asyncapi()
    return {
        "/v1/openapi.json": Document(msgspec.json.encode(over_http), _JSON),
        "/v1/asyncapi.json": Document(msgspec.json.encode(over_sockets), _JSON),
        "/v1/docs": Document(page(over_http, over_sockets).encode(), _HTML),
    }


def add_to(app: web.Application) -> None:
    """Serve them, to everybody."""
    for path, document in documents().items():
        app.router.add_get(path, document.answer)
