"""How late the event loop is, measured on a real one."""

import asyncio
import time

from realtime import lag
from realtime.counting import Key, Spread


class Noted(Spread):
    """Tells the first value."""

    def __init__(self) -> None:
        super().__init__("lag", "Seconds.")
        self.first: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def observe(self, value: float, key: Key = (), weight: int = 1) -> None:
        super().observe(value, key, weight)
        if not self.first.done():
            self.first.set_result(value)


async def test_a_loop_that_stands_still_is_seen_to() -> None:
    noted = Noted()
    watching = asyncio.create_task(lag.watch(noted))
    await asyncio.sleep(0)
    time.sleep(2 * lag.EVERY_S)  # noqa: ASYNC251 - the loop is to stand still
    async with asyncio.timeout(15):
        assert await noted.first >= 0.9 * lag.EVERY_S
    watching.cancel()
