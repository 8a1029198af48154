"""LEAVE: all clients of a process are gone at once, while another client goes on asking.

What counts is how long its answers stay away, and the CPU time until the servers have forgotten
the others. That these end costs the system something too, on the generator's core: they are put
behind everything else there, and how late the questions themselves were is noted.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

import msgspec

from bench.accounting import Reading, open_files
from bench.load.cast import Cast
from bench.load.client import Client, Refused
from bench.load.crowd import Crowd
from bench.load.metronome import Metronome
from bench.load.quiet import quiet
from bench.load.record import Record
from bench.load.together import STRAGGLERS_S, until
from bench.shapes import Outcome, Task

_PER_S: Final = 100
_QUESTION: Final = (b"trip:unsubscribe", b'{"trip_id":"trip-of-nobody"}')
_LOWEST_PRIORITY: Final = 19
_SETTLE_S: Final = 30.0
_GONE_S: Final = 60.0
_OWN_FILES: Final = 8
"""Files that a server may open for itself meanwhile, such as one more connection to a store."""
_BUSY: Final = 0.2
"""The share of a core that a server at rest may take, answering questions."""


class Asking:
    """One client that asks every 10 ms, whether or not the last question was answered."""

    def __init__(self, client: Client) -> None:
        self.unanswered = 0
        self.latest = 0.0
        """By how many seconds a question was too late."""
        self._client = client
        self._last = perf_counter()
        self._largest = 0.0
        self._metronome = Metronome(_PER_S, self._ask)

    def start_measuring(self) -> None:
        self._largest = self.latest = 0.0

    def stop(self) -> None:
        self._metronome.stop()

    @property
    def largest_gap(self) -> float:
        """Seconds between two answers, or since the last."""
        return max(self._largest, perf_counter() - self._last)

    def _ask(self, _number: int, at: float) -> None:
        self.latest = max(self.latest, perf_counter() - at)
        self.unanswered += 1
        self._client.ask(*_QUESTION, self._answered)

    def _answered(self, _answer: bytes) -> None:
        self.unanswered -= 1
        now = perf_counter()
        self._largest = max(self._largest, now - self._last)
        self._last = now


async def run(task: Task) -> Outcome:
    """`seconds` lasts until the servers are at rest again."""
    record = Record()
    cast = Cast(task.target, record)
    (token,) = cast.strangers(1)
    client = await Client.connect(cast.riders_url, token, record)
    before = _files(task)
    async with _crowd(Crowd(cast.riders_url, cast.strangers(task.clients))) as crowd:
        await quiet(task.target.pids, look_s=0.5, within_s=_SETTLE_S)
        full = _files(task)
        record.is_missing("client that was not there", max(0, before + task.clients - full))
        asking = Asking(client)
        await asyncio.sleep(task.warm_up_s)
        return await _parting(task, crowd, asking, full, record)


async def _parting(
    task: Task, crowd: Process, asking: Asking, full: int, record: Record
) -> Outcome:
    """Kill the crowd and see how the servers get over it. `full`: files that they have open."""
    empty = full - task.clients + _OWN_FILES
    os.setpriority(os.PRIO_PROCESS, crowd.pid, _LOWEST_PRIORITY)
    asking.start_measuring()
    reading = Reading.take(task.target.pids)
    crowd.kill()
    if not await until(lambda: _files(task) <= empty, within_s=_GONE_S):
        record.is_missing("connection that was not closed", _files(task) - empty)
    closed_s = perf_counter() - reading.at
    await quiet(task.target.pids, look_s=0.1, within_s=_GONE_S, busy=_BUSY)
    spent, gap = Reading.take(task.target.pids).since(reading), asking.largest_gap
    asking.stop()
    await until(lambda: not asking.unanswered, within_s=STRAGGLERS_S)
    record.is_missing("answer", asking.unanswered)
    late_ms = asking.latest * 1000
    record.notes[f"all closed in {closed_s:.2f} s; asked up to {late_ms:.0f} ms too late"] += 1
    return record.outcome(spent, events=task.clients, largest_gap_ms=gap * 1000)


def _files(task: Task) -> int:
    """All files that the servers hold open: their connections, and some for themselves."""
    return sum(open_files(pid) for pid in task.target.pids)


@asynccontextmanager
async def _crowd(clients: Crowd) -> AsyncIterator[Process]:
    """A process with these clients, connected. It is ended by its id, if it still runs."""
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load.crowd", stdin=PIPE, stdout=PIPE
    )
    try:
        if crowd.stdin is None or crowd.stdout is None:
            raise Refused("the crowd cannot be spoken to")
        crowd.stdin.write(msgspec.json.encode(clients) + b"\n")
        if not await crowd.stdout.readline():
            raise Refused("the crowd could not connect")
        yield crowd
    finally:
        if crowd.returncode is None:
            crowd.kill()
        await crowd.wait()
