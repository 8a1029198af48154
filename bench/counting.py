"""What counting costs: the instruments that one relayed location touches, as the server has them.

`python -m bench.counting LOCATIONS` writes a `Counting` as JSON. What is done here is held against
what a server counts of a location by `tests/bench/test_counting.py`, so that it stays the same.
"""

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from typing import Final

import msgspec

from bench import servers
from bench.results import Counting
from models.facts import TripLocation
from realtime.app import now
from realtime.bus import Bus
from realtime.metrics import Metrics
from realtime.redis_address import RedisAddress

TOGETHER: Final = 50
"""Locations in one turn of the loop of a server that is busy."""
ROUNDS: Final = 5
LOCATIONS: Final = 200_000
_ADDRESS: Final = "redis://127.0.0.1:6379"


class Instruments:
    """Those of one server. Nothing is connected."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.bus = Bus(RedisAddress.parse(_ADDRESS), lambda _channel, _message: None)

    def count(self, turns: int, locations: int) -> None:
        """What is done for so many locations in each of so many turns of the loop."""
        points = self.metrics.direct_points
        published = self.metrics.published.counts
        relay, bus, event = self.metrics.relay, self.bus, TripLocation.event
        shown = relay.shown
        for _ in range(turns):
            seen_at = now()
            began = time.perf_counter()
            for _ in range(locations):
                points["accepted"] += 1
                published[event] += 1
                shown[seen_at] += 1
                bus.published += 1
            relay.sent(began)


def idle(turns: int, locations: int) -> None:
    """The same without counting: a location's time of receipt is asked for anyway."""
    for _ in range(turns):
        now()
        for _ in range(locations):
            pass


async def counting(locations: int = LOCATIONS) -> Counting:
    """What a process of its own measures on the servers' core, with so many in each round."""
    process = await asyncio.create_subprocess_exec(
        *servers.on_server_core(sys.executable, "-m", "bench.counting", str(locations)),
        cwd=servers.ROOT,
        stdin=DEVNULL,
        stdout=PIPE,
    )
    said, _ = await process.communicate()
    return msgspec.json.decode(said, type=Counting)


def measured(total: int) -> Counting:
    instruments = Instruments()
    return Counting(
        alone=tuple(_ns(instruments, total, 1) for _ in range(ROUNDS)),
        together=tuple(_ns(instruments, total, TOGETHER) for _ in range(ROUNDS)),
    )


def _ns(instruments: Instruments, total: int, locations: int) -> float:
    """Of one location of all, where so many come in each turn."""
    turns = total // locations
    began = time.process_time_ns()
    instruments.count(turns, locations)
    counted = time.process_time_ns()
    idle(turns, locations)
    looped = time.process_time_ns()
    return (counted - began - (looped - counted)) / (turns * locations)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measured(int(sys.argv[1]))) + b"\n")
