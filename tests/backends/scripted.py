"""An HTTP server that answers what a test wants, one answer after the other: what proxies say."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import Struct


class Said(Struct, frozen=True):
    status: int
    text: str = ""
    headers: dict[str, str] = {}


class Scripted:
    """The last answer is given again and again. `heard` are the requests' ids and bodies."""

    def __init__(self, answers: Sequence[Said]) -> None:
        self._answers = answers
        self.heard: list[tuple[str, bytes]] = []
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def saying(cls, *answers: Said) -> AsyncIterator["Scripted"]:
        scripted = cls(answers)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", scripted._answer)
        async with TestServer(app) as server:
            scripted.url = str(server.make_url("/")).rstrip("/")
            yield scripted

    async def _answer(self, request: web.Request) -> web.Response:
        said = self._answers[min(len(self.heard), len(self._answers) - 1)]
        self.heard.append((request.headers["X-Request-Id"], await request.read()))
        return web.Response(status=said.status, text=said.text, headers=said.headers)
