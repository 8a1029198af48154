"""Trying again while a store is away: how soon, and for who waits until it is back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import Final, TypeVar

from models.errors import Unavailable

_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)
_AGAIN_S: Final = 0.2
"""A reading waits for the store by itself: it fails at once only where that was lost just now."""

T = TypeVar("T")


def pauses() -> Iterator[float]:
    """Seconds between attempts of what nobody waits for, without end."""
    return chain(_RETRY_S, repeat(_RETRY_S[-1]))


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What is read, as soon as the store tells. The caller bounds the time."""
    while True:
        try:
            return await read()
        except Unavailable:
            await asyncio.sleep(_AGAIN_S)
