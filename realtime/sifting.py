"""Finds what a store refuses among what it takes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from models.errors import Unavailable

T = TypeVar("T")


async def refused(
    keep: Callable[[Sequence[T]], Awaitable[None]], some: Sequence[T]
) -> AsyncIterator[tuple[T, Exception]]:
    """Have them kept: all together, or else in halves, until those are found that cannot be.

    Raises Unavailable: where the store does not answer, that says nothing about them.
    """
    left = [some]
    while left:
        part = left.pop()
        try:
            await keep(part)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, others must not wait for it
            half = len(part) // 2
            if half:
                left += part[half:], part[:half]
            else:
                yield part[0], error
