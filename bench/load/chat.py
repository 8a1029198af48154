"""CHAT: in each conversation one party writes, and again when it has its answer and the other has
the message. An event is an answer.
"""

from time import perf_counter

from bench.load.cast import Cast, Pair
from bench.load.record import Record
from bench.load.talk import Voice
from bench.load.together import STRAGGLERS_S, until
from bench.load.window import measured
from bench.shapes import Outcome, Task


class Exchange:
    """One conversation, with one message on its way."""

    def __init__(self, pair: Pair, record: Record) -> None:
        self.is_running = True
        self._record = record
        self._voice = Voice(
            pair.trip.id,
            pair.trip.rider_id,
            pair.rider,
            pair.driver,
            record,
            answered=self._answered,
            heard=self._heard,
        )

    @property
    def missing(self) -> int:
        return self._voice.missing

    def go_on(self) -> None:
        if self.is_running and not self._voice.missing:
            self._voice.say(perf_counter())

    def _answered(self, at: float) -> None:
        self._record.delays.append(perf_counter() - at)
        self._record.events += 1
        self.go_on()

    def _heard(self, _at: float) -> None:
        self.go_on()


async def run(task: Task) -> Outcome:
    record = Record()
    pairs = await Cast(task.target, record).pairs(task.clients, subscribed=False)
    exchanges = [Exchange(pair, record) for pair in pairs]
    for exchange in exchanges:
        exchange.go_on()
    result = await measured(task, record)
    for exchange in exchanges:
        exchange.is_running = False
    await until(lambda: not any(e.missing for e in exchanges), within_s=STRAGGLERS_S)
    record.is_missing("answer or message", sum(e.missing for e in exchanges))
    return record.outcome(result.spent, events=result.events, delays=result.delays)
