"""Much work in many turns of the event loop, so that nobody else waits for all of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

IN_A_TURN: Final = 1_000
"""How much weight: points that are sorted or encoded in about a millisecond. With less there are
more turns, each of which finds fewer clients to serve."""


async def in_turns(items: Iterable[T], weight: Callable[[T], int]) -> AsyncIterator[T]:
    """The items, with a turn for everybody else after each so many of their weight."""
    done = 0
    for item in items:
        yield item
        done += weight(item)
        if done >= IN_A_TURN:
            done = 0
            await asyncio.sleep(0)
