"""IDLE: what connections cost that only stay, in memory and in CPU time for their heartbeats."""

import asyncio
from collections.abc import Sequence

from bench.accounting import Reading, memory
from bench.load.cast import Cast
from bench.load.client import Client
from bench.load.connect import AT_ONCE, WARM_UP
from bench.load.quiet import quiet
from bench.load.record import Record
from bench.load.together import each
from bench.shapes import Outcome, Task

_SETTLE_S = 30.0


async def run(task: Task) -> Outcome:
    """The CPU time is that of the task's seconds, after all is quiet."""
    record = Record()
    cast = Cast(task.target, record)
    pids = task.target.pids

    async def connect(token: str) -> Client:
        return await Client.connect(cast.riders_url, token, record)

    tokens = cast.strangers(task.clients + WARM_UP)
    await each(tokens[:WARM_UP], connect, at_once=AT_ONCE)
    before = await _settled_memory(pids, record)
    clients = await each(tokens[WARM_UP:], connect, at_once=AT_ONCE)
    after = await _settled_memory(pids, record)
    began = Reading.take(pids)
    await asyncio.sleep(task.seconds)
    spent = Reading.take(pids).since(began)
    return record.outcome(spent, events=len(clients), rss=(before, after))


async def _settled_memory(pids: Sequence[int], record: Record) -> int:
    """Bytes, once the servers have nothing more to do."""
    if not await quiet(pids, look_s=0.5, within_s=_SETTLE_S):
        record.notes["server that did not come to rest"] += 1
    return sum(memory(pid) for pid in pids)
