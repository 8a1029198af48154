"""The keys that an identity provider publishes: fetched, kept while it is away, and fetched again.

All requests are this one loop's, so there is one at a time, and a pause between two whatever
clients send. Who shows a token with an unknown key waits for the next one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from models.errors import Unavailable
from realtime import public_keys
from realtime.counting import Counts
from realtime.key_ring import TokenKey

_log = logging.getLogger(__name__)

MAX_BODY: Final = 256 * 1024
"""Bytes of a key set; usual ones have a few thousand."""
MAX_WAITING: Final = 1_000
"""Who waits for a request at the same time."""
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class Pace(Struct, frozen=True):
    """Times of the requests, in seconds."""

    fetch_within: float = 4.0
    pause: float = 3.0
    """At least, from a request's end to the next one; and after one that failed."""
    renew_every: float = 600.0
    """After how long keys that are not published any more stop to work, at the latest."""
    wait: float = 4.0
    """At most, for who shows a token: less than a command may take."""


class CannotFetch(Exception):
    """The provider did not answer, or not with keys. The message says what it was."""


class Published(Struct, frozen=True):
    """What a provider answered."""

    keys: Sequence[TokenKey]
    unusable: Sequence[str]
    """What is wrong with the other keys for signatures, if there are any."""


class ProviderKeys:
    def __init__(
        self,
        url: str,
        take: Callable[[Sequence[TokenKey]], None],
        fetches: Counts,
        pace: Pace = Pace(),  # noqa: B008 - frozen
    ) -> None:
        """`take` gets all keys whenever they were fetched; `fetches` counts by outcome."""
        self._url = url
        self._place = _place(url)
        self._take = take
        self._fetches = fetches
        self._pace = pace
        self._known: Published | None = None
        self._problem: str | None = None
        self._asked = asyncio.Event()
        self._waiting = 0
        self._next: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the request succeeds that is under way, or else the next one."""

    @property
    def missing(self) -> str | None:
        """Why the keys were never known so far; None once they were."""
        if self._known is not None:
            return None
        return f"the keys of tokens cannot be fetched: {self._problem}"

    async def fetch(self) -> None:
        """Ask the provider once. That it fails is logged; what is known stays."""
        published, problem = None, None
        try:
            published = read(await self._body())
        except CannotFetch as error:
            problem = str(error)
        self._fetches["failed" if published is None else "ok"] += 1
        if published is not None:
            self._take(published.keys)
        self._tell(published, problem)
        self._asked.clear()
        done, self._next = self._next, asyncio.get_running_loop().create_future()
        done.set_result(published is not None)

    async def run(self) -> None:
        """Fetch when somebody asks, and every so often, until cancelled."""
        while True:
            await asyncio.sleep(self._pace.pause)
            if self._problem is None:
                await self._until_asked()
            await self.fetch()

    async def renewed(self) -> None:
        """Wait for the keys to be fetched again. Raises Unavailable if that fails or takes long."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable("too many tokens wait for keys")
        self._asked.set()
        self._waiting += 1
        try:
            asked = self._next
            await asyncio.wait((asked,), timeout=self._pace.wait)
        finally:
            self._waiting -= 1
        if not asked.done() or not asked.result():
            raise Unavailable("the token's key cannot be fetched now")

    async def _until_asked(self) -> None:
        try:
            async with asyncio.timeout(self._pace.renew_every):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _body(self) -> bytes:
        """The provider's answer. Raises CannotFetch."""
        within = aiohttp.ClientTimeout(total=self._pace.fetch_within)
        try:
            async with (
                aiohttp.ClientSession(timeout=within, auto_decompress=False) as http,
                http.get(self._url, headers=_HEADERS, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise CannotFetch(f"the answer is {response.status}")
                return await _bounded(response.content)
        except TimeoutError:
            raise CannotFetch(f"no answer within {self._pace.fetch_within:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CannotFetch(str(error) or type(error).__name__) from None

    def _tell(self, published: Published | None, problem: str | None) -> None:
        """Log what has changed."""
        if problem is not None and problem != self._problem:
            _log.warning("the keys of tokens cannot be fetched: %s", problem, extra=self._about())
        elif published is not None and (published != self._known or self._problem is not None):
            _log.info("the keys of tokens were fetched", extra=self._about(published))
        self._known, self._problem = published or self._known, problem

    def _about(self, published: Published | None = None) -> dict[str, object]:
        about: dict[str, object] = {"url": self._place}
        if published is not None:
            about["keys"] = ", ".join(f"{key.kid} {key.algorithms[0]}" for key in published.keys)
            about["unusable"] = "; ".join(published.unusable) or None
        return about


def read(body: bytes) -> Published:
    """The keys of a JWK Set; those that cannot be used are left out (RFC 7517, section 5).

    Raises CannotFetch for what is none, and for one without any usable key.
    """
    keys: list[TokenKey] = []
    unusable: list[str] = []
    try:
        members = public_keys.members(body)
    except ValueError as error:
        raise CannotFetch(f"the answer {error}") from None
    for number, member in enumerate(members, 1):
        try:
            key = public_keys.load(member)
        except ValueError as error:
            unusable.append(f"key {number} {error}")
        else:
            keys += [] if key is None else [key]
    if not keys:
        raise CannotFetch("; ".join(["the answer has no key for signatures", *unusable]))
    return Published(keys, unusable)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    try:
        await content.readexactly(MAX_BODY + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    raise CannotFetch(f"the answer has more than {MAX_BODY} bytes")


def _place(url: str) -> str:
    """An address without its query, for the log."""
    return urlsplit(url)._replace(query="").geturl()
