"""Both Python clients under one interface, so that every test is about the two of them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ridewire import AsyncRidewire, Retries, Ridewire

KINDS: Final = ("sync", "async")
QUICK: Final = Retries(attempts=4, within_s=30, first_pause_s=0.01, longest_pause_s=0.05)
"""As by default, with shorter pauses."""

Token = str | Callable[[], str]


class Backend:
    """A client. The synchronous one runs in a thread, beside the servers of the test's loop."""

    def __init__(self, client: Ridewire | AsyncRidewire) -> None:
        self._client = client

    @classmethod
    def of(cls, kind: str, url: str, token: Token, **options: Any) -> "Backend":
        options = {"retries": QUICK, **options}
        if kind == "sync":
            return cls(Ridewire(url, token=token, **options))
        return cls(AsyncRidewire(url, token=token, **options))

    async def close(self) -> None:
        await _awaited(self._client.close())

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """The client's method of this name, to be awaited."""
        method = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(await asyncio.to_thread(method, *args, **kwargs))

        return call

    async def all(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Everything that one of the iterating methods brings."""
        found = getattr(self._client, name)(*args, **kwargs)
        if hasattr(found, "__aiter__"):
            return [item async for item in found]
        return await asyncio.to_thread(list, found)


async def _awaited(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer
