"""How late the simulation itself is: what it is late by is in the latencies that it measures."""

import asyncio
import time
from typing import Final

_EVERY_S: Final = 0.02


class Lag:
    """Measures how much later than asked for the event loop comes to something, in s."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []
        self._cpu_s = time.process_time()
        self._since = time.perf_counter()

    async def watch(self) -> None:
        """Measure until cancelled."""
        self._cpu_s, self._since = time.process_time(), time.perf_counter()
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_EVERY_S)
            self.delays_s.append(max(0.0, time.perf_counter() - before - _EVERY_S))

    @property
    def cpu_share(self) -> float:
        """Of one core, since the watch began."""
        return (time.process_time() - self._cpu_s) / (time.perf_counter() - self._since)
