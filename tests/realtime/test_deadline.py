"""Whatever the stores do, a command is answered."""

import asyncio

import pytest

from models.errors import NotFound, Unavailable
from realtime.deadline import Deadline


async def test_what_takes_too_long_has_an_unknown_outcome() -> None:
    with pytest.raises(Unavailable):
        async with Deadline(0.01):
            await asyncio.Event().wait()


async def test_what_a_store_gives_up_by_itself_has_one_too() -> None:
    with pytest.raises(Unavailable):
        async with Deadline():
            raise TimeoutError


async def test_who_is_cancelled_inside_is_cancelled() -> None:
    async def work() -> None:
        async with Deadline():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_refused_in_time_is_refused() -> None:
    with pytest.raises(NotFound):
        async with Deadline():
            raise NotFound("trip")
