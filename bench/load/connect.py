"""CONNECT: clients come with a token each, fifty at a time, and stay."""

from time import perf_counter
from typing import Final

from bench.accounting import Reading
from bench.load.cast import Cast
from bench.load.client import Client
from bench.load.record import Record
from bench.load.together import each
from bench.shapes import Outcome, Task

AT_ONCE: Final = 50
WARM_UP: Final = 50
"""So many come before anything is measured: what a server loads at first is not theirs."""


async def run(task: Task) -> Outcome:
    record = Record()
    cast = Cast(task.target, record)

    async def connect(token: str) -> Client:
        began = perf_counter()
        client = await Client.connect(cast.riders_url, token, record)
        record.delays.append(perf_counter() - began)
        return client

    tokens = cast.strangers(task.clients + WARM_UP)
    await each(tokens[:WARM_UP], connect, at_once=AT_ONCE)
    record.start_measuring()
    before = Reading.take(task.target.pids)
    clients = await each(tokens[WARM_UP:], connect, at_once=AT_ONCE)
    spent = Reading.take(task.target.pids).since(before)
    return record.outcome(spent, events=len(clients), delays=record.delays)
