"""The measured time: from warmed up to its end, with the clocks read at both."""

import asyncio
from array import array

from msgspec import Struct

from bench.accounting import Reading, Spent
from bench.load.record import Record
from bench.shapes import Task


class Measured(Struct, frozen=True):
    """What was delivered between two readings of the clocks."""

    spent: Spent
    events: int
    delays: "array[float]"
    """Seconds."""


async def measured(task: Task, record: Record) -> Measured:
    """Let a load that runs go on for the task's time; what it did then."""
    await asyncio.sleep(task.warm_up_s)
    record.start_measuring()
    before = Reading.take(task.target.pids)
    await asyncio.sleep(task.seconds)
    spent = Reading.take(task.target.pids).since(before)
    return Measured(spent, record.events, record.delays[:])
