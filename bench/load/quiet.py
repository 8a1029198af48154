"""Waiting until the servers have done what they had to do."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from bench.accounting import Reading

BUSY: Final = 0.05
"""The share of a core that heartbeats of many connections may take."""
_QUIET_LOOKS: Final = 3


async def quiet(pids: Sequence[int], *, look_s: float, within_s: float, busy: float = BUSY) -> bool:
    """Wait until the processes have used little of a core for three looks; whether they did."""
    deadline = time.monotonic() + within_s
    looks = 0
    before = Reading.take(pids)
    while looks < _QUIET_LOOKS:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(look_s)
        now = Reading.take(pids)
        looks = looks + 1 if now.since(before).busy < busy else 0
        before = now
    return True
