"""Sending everybody away before the end, a few at a time, so that they do not come back at once."""

import asyncio
from collections import deque
from collections.abc import Iterable
from secrets import randbelow
from typing import Final

from realtime.connection import Connection

LEAST_PER_S: Final = 200
"""How many leave a second at least: a few clients do not keep a server waiting."""
TICK_S: Final = 0.02
BACK_WITHIN_MS: Final = 2_000
"""Within which each is asked to come back, at a random time: the leaving itself is spread."""


async def send_away(connections: Iterable[Connection], within_s: float) -> None:
    """Say to each why it has to go, and close it, evenly over this time.

    Those with commands under way or waiting go when these are answered, or last.
    """
    loop = asyncio.get_running_loop()
    waiting = deque(connections)
    start, sent = loop.time(), 0
    per_s = max(LEAST_PER_S, len(waiting) / within_s) if within_s else float("inf")
    while waiting:
        elapsed = loop.time() - start
        is_late = elapsed >= within_s
        for _ in range(len(waiting)):
            if not is_late and sent >= elapsed * per_s + 1:
                break
            connection = waiting.popleft()
            if connection.working is not None and not is_late:
                waiting.append(connection)
            else:
                connection.end("draining", retry=True, retry_in_ms=randbelow(BACK_WITHIN_MS))
                sent += 1
        await asyncio.sleep(TICK_S)
