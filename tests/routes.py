"""A server that answers as OSRM's route service does: in its shape, or in none of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from aiohttp import web

from tests.apps import served

ROUTE: Final[dict[str, Any]] = {
    "code": "Ok",
    "routes": [
        {
            "legs": [{"steps": [], "weight": 263.1, "distance": 1886.8, "duration": 260.1}],
            "weight_name": "routability",
            "weight": 263.1,
            "distance": 1886.8,
            "duration": 260.1,
        }
    ],
    "waypoints": [
        {"hint": "x", "distance": 4.2, "name": "", "location": [13.388798, 52.517033]},
        {"hint": "y", "distance": 2.2, "name": "", "location": [13.397631, 52.529432]},
    ],
}
_WITHIN_S: Final = 15


class RouteServer:
    """`answer` is what it says next, with which status; it is silent while there is none."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: tuple[int, Any] | None = (200, ROUTE)
        self.asked: list[str] = []
        self._news = asyncio.Condition()
        self._over = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        server = cls()
        app = web.Application()
        app.router.add_get("/{path:.*}", server._serve)
        async with served(app) as server.url:
            try:
                yield server
            finally:
                server._over.set()

    async def is_asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        async with asyncio.timeout(_WITHIN_S), self._news:
            await self._news.wait_for(lambda: len(self.asked) >= times)

    async def _serve(self, request: web.Request) -> web.Response:
        async with self._news:
            self.asked.append(request.path_qs)
            self._news.notify_all()
        if self.answer is None:
            await self._over.wait()
            return web.Response()
        status, body = self.answer
        if isinstance(body, bytes):
            return web.Response(status=status, body=body)
        return web.json_response(body, status=status)
