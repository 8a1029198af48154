"""Doing many things at once, but not too many; and waiting for a condition."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

STRAGGLERS_S: Final = 10.0
"""How long is waited for deliveries that are under way when a load ends."""

_LOOK_S: Final = 0.01


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int = 100
) -> list[R]:
    """Do the work for each item, so many under way at a time; the results in order.

    The first failure ends it, and is raised.
    """
    waiting = enumerate(items)
    results: dict[int, R] = {}

    async def take() -> None:
        for number, item in waiting:
            results[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(take())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [results[number] for number in sorted(results)]


async def until(is_so: Callable[[], bool], *, within_s: float) -> bool:
    """Wait for a condition; whether it came about in time."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_S)
    return True
