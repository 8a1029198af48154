"""IDLE: what connections cost that only stay, in memory and in what `/metrics` has to tell."""

import asyncio
from collections.abc import Sequence
from typing import Final

from bench.accounting import Reading, memory
from bench.load.cast import Cast
from bench.load.client import Client
from bench.load.connect import AT_ONCE, WARM_UP
from bench.load.http import HttpClient, request
from bench.load.quiet import quiet
from bench.load.record import Record
from bench.load.together import each
from bench.shapes import Outcome, Task

_SETTLE_S: Final = 6.0
_SCRAPES: Final = 10
_OK: Final = 200


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
    scrape_ms = await _scrape_ms(task, spent.busy, record)
    return record.outcome(spent, events=len(clients), rss=(before, after), scrape_ms=scrape_ms)


async def _scrape_ms(task: Task, busy: float, record: Record) -> float:
    """CPU time of one reading of `/metrics`, without the share that is used anyway."""
    url = task.target.urls[0]
    client = await HttpClient.connect(url, record)
    asking = request("GET", f"{url}/metrics")
    await client.call(asking)  # what it prepares once is not measured
    began = Reading.take(task.target.pids)
    for _ in range(_SCRAPES):
        status, _text = await client.call(asking)
        if status != _OK:
            record.is_wrong(f"/metrics answered {status}")
    spent = Reading.take(task.target.pids).since(began)
    client.leave()
    return (sum(spent.cpu_s) - busy * spent.seconds) * 1000 / _SCRAPES


async def _settled_memory(pids: Sequence[int], record: Record) -> int:
    """Bytes, once the servers have nothing more to do."""
    if not await quiet(pids, look_s=0.5, within_s=_SETTLE_S):
        record.notes["server that did not come to rest"] += 1
    return sum(memory(pid) for pid in pids)
