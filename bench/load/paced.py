"""PACED_RELAY: the pairs of the relay at a given rate in all, whatever comes back.

Delays count from the time when a location was to be sent.
"""

from bench.load.cast import Cast
from bench.load.drive import Drive
from bench.load.metronome import Metronome
from bench.load.record import Record
from bench.load.together import STRAGGLERS_S, until
from bench.load.window import measured
from bench.shapes import Outcome, Task


async def run(task: Task) -> Outcome:
    record = Record()
    cast = Cast(task.target, record)
    drives = [Drive(p, record) for p in await cast.pairs(task.clients, subscribed=True)]
    metronome = Metronome(task.rate, lambda number, at: drives[number % len(drives)].send(at))
    result = await measured(task, record)
    metronome.stop()
    await until(lambda: not any(d.awaited.missing for d in drives), within_s=STRAGGLERS_S)
    record.is_missing("location", sum(d.awaited.missing for d in drives))
    return record.outcome(result.spent, events=result.events, delays=result.delays)
