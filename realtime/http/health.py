"""The HTTP routes for operators: whether the process runs, may get traffic, and what it counts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web

CHECK_WITHIN_S: Final = 2.0

Check = Callable[[], Awaitable[str | None]]
"""What is wrong with one part now; None when it is well."""
Expose = Callable[[str], Awaitable[tuple[bytes, str]]]
"""What is counted, and its content type, by an `Accept` header."""


class Routes:
    def __init__(self, checks: Mapping[str, Check], expose: Expose) -> None:
        self._checks = checks
        self._expose = expose

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        """200, or 503 with what is wrong by part: `{"status": "unready", "problems": {…}}`."""
        found = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        problems = {name: what for name, what in zip(self._checks, found, strict=True) if what}
        if problems:
            return _json({"status": "unready", "problems": problems}, status=503)
        return _json({"status": "ready"})

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = await self._expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


async def _ask(check: Check) -> str | None:
    try:
        return await asyncio.wait_for(check(), CHECK_WITHIN_S)
    except TimeoutError:
        return f"no answer within {CHECK_WITHIN_S:g} s"


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
