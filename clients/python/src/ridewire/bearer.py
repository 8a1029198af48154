"""The token of every request: a text, or what a function answers, asked again once it is refused.

What the function raises is the caller's to see as it is: nothing here, and nothing that sends
requests, may take it for an answer that was lost.
"""

import threading
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import httpx

_NONE: Final = ""


class Bearer:
    """Keeps the token that it got."""

    def __init__(self, source: str | Callable[[], str]) -> None:
        self._ask: Callable[[], str] = _always(source) if isinstance(source, str) else source
        self._token = _NONE
        self._asking = threading.Lock()

    def token(self) -> str:
        return self.other_than(_NONE)

    def other_than(self, refused: str) -> str:
        """The token, asked for if it is still this one; who comes meanwhile waits for the same.

        A text, or a function that has no other, gives the same one again.
        """
        with self._asking:
            if self._token == refused:
                self._token = self._ask()
            return self._token


class AsyncBearer:
    """The same for event loops; the function may be asynchronous, too."""

    def __init__(self, source: str | Callable[[], str | Awaitable[str]]) -> None:
        self._ask = _always(source) if isinstance(source, str) else source
        self._token = _NONE
        self._asking = anyio.Lock()

    async def token(self) -> str:
        return await self.other_than(_NONE)

    async def other_than(self, refused: str) -> str:
        async with self._asking:
            if self._token == refused:
                asked = self._ask()
                self._token = asked if isinstance(asked, str) else await asked
            return self._token


def signing(token: str) -> Callable[[httpx.Request], httpx.Request]:
    """What httpx takes as `auth`, so that no other credentials of its client get in between."""

    def signed(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return signed


def _always(token: str) -> Callable[[], str]:
    return lambda: token
