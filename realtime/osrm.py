"""Routes from an OSRM server: asked within limits, and left alone while it fails.

Source: OSRM's HTTP API, version 1, the route service.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated, Final

import aiohttp
import msgspec
from msgspec import Meta, Struct
from yarl import URL

from models.eta import Remaining, Spot
from models.points import Place
from realtime.counting import Counts

_log = logging.getLogger(__name__)

WITHIN_S: Final = 2.0
AT_ONCE: Final = 16
"""Requests under way at the same time."""
MAX_FAILURES: Final = 5
"""In a row, before it is left alone."""
PAUSE_S: Final = 30.0
MAX_BYTES: Final = 65_536
"""Of an answer, which without the route's shape has one or two thousand."""
_GOOD: Final = "Ok"


class _Route(Struct, frozen=True):
    distance: Annotated[float, Meta(ge=0)]
    duration: Annotated[float, Meta(ge=0)]


class _Answer(Struct, frozen=True):
    code: str
    routes: Sequence[_Route] = ()


_read: Final = msgspec.json.Decoder(_Answer).decode


class _NoAnswer(Exception):
    """What came is none of OSRM's answers."""


class Osrm:
    def __init__(self, url: str, outcomes: Counts) -> None:
        """Outcomes are counted: `routed`, `no_route`, `failed`."""
        self._url = URL(url)
        self._outcomes = outcomes
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0
        self._failures = 0
        self._asked_again_at = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether another request may be sent now."""
        rested = asyncio.get_running_loop().time() >= self._asked_again_at
        return rested and self._under_way < AT_ONCE

    async def route(self, way: Sequence[Spot | Place]) -> Remaining | None:
        """The fastest way over these places; None where there is none, or nobody can tell."""
        self._under_way += 1
        try:
            answer = await self._ask(way)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, _NoAnswer) as error:
            self._fail(error)
            return None
        finally:
            self._under_way -= 1
        self._recover()
        if answer.code != _GOOD or not answer.routes:
            self._outcomes["no_route"] += 1
            return None
        self._outcomes["routed"] += 1
        return Remaining(answer.routes[0].distance, answer.routes[0].duration)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(self, way: Sequence[Spot | Place]) -> _Answer:
        places = ";".join(f"{place.lng:.6f},{place.lat:.6f}" for place in way)
        url = self._url.joinpath("route/v1/driving", places)
        url = url.with_query({**self._url.query, "overview": "false"})
        async with self._opened().get(url, allow_redirects=False) as response:
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > MAX_BYTES:
                    raise _NoAnswer("it is too long")
            # A bad request is one about places that no street leads to, as its code says.
            if response.status not in (200, 400):
                raise _NoAnswer(f"HTTP {response.status}")
            return _read(body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=WITHIN_S)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session

    def _fail(self, error: Exception) -> None:
        self._outcomes["failed"] += 1
        self._failures += 1
        if self._failures == MAX_FAILURES:
            _log.warning("OSRM gives no routes: %s", str(error) or type(error).__name__)
        if self._failures >= MAX_FAILURES:
            self._asked_again_at = asyncio.get_running_loop().time() + PAUSE_S

    def _recover(self) -> None:
        if self._failures >= MAX_FAILURES:
            _log.info("OSRM gives routes again")
        self._failures = 0
