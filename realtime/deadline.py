"""How long a command may take, whatever the stores do: then its outcome is unknown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from models.errors import Unavailable

COMMAND_WITHIN_S: Final = 4.8
"""An answer is promised within five seconds; one call on a store has four."""


@asynccontextmanager
async def answered_within(seconds: float = COMMAND_WITHIN_S) -> AsyncIterator[None]:
    """Bound what runs inside. Raises Unavailable."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable("the stores did not answer in time") from error
