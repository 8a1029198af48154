"""Whatever the stores do, a command is answered."""

import asyncio

import pytest

from models.errors import NotFound, Unavailable
from realtime.deadline import answered_within


async def test_what_takes_too_long_has_an_unknown_outcome() -> None:
    with pytest.raises(Unavailable):
        async with answered_within(0.01):
            await asyncio.Event().wait()


async def test_what_is_refused_in_time_is_refused() -> None:
    with pytest.raises(NotFound):
        async with answered_within():
            raise NotFound("trip")
