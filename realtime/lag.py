"""How late the event loop comes to what is due: everything else waits as long."""

import asyncio
import time
from typing import Final

from realtime.counting import Spread

EVERY_S: Final = 0.25


async def watch(lag: Spread) -> None:
    """Observe it regularly until cancelled."""
    while True:
        due = time.perf_counter() + EVERY_S
        await asyncio.sleep(EVERY_S)
        lag.observe(max(0.0, time.perf_counter() - due))
