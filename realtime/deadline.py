"""How long a command may take, whatever the stores do: then its outcome is unknown."""

import asyncio
from types import TracebackType
from typing import Final

from models.errors import Unavailable

COMMAND_WITHIN_S: Final = 4.8
"""An answer is promised within five seconds; one call on a store has four."""


class Deadline:
    """Bounds what runs inside of it, from when it is made. Raises Unavailable."""

    __slots__ = ("_timeout",)

    def __init__(self, within_s: float = COMMAND_WITHIN_S) -> None:
        self._timeout = asyncio.timeout(within_s)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
            if isinstance(error, TimeoutError):  # a store's own
                raise error
        except TimeoutError as late:
            raise Unavailable("the stores did not answer in time") from late
