"""RELAY: each driver sends its next location when its rider has received the one before."""

from time import perf_counter

from bench.load.cast import Cast, Pair
from bench.load.course import Course
from bench.load.frames import REPORT, expected_location, is_location
from bench.load.record import Record
from bench.load.together import STRAGGLERS_S, until
from bench.load.window import measured
from bench.shapes import Outcome, Task


class Relay:
    """One driver and its rider, with one location on its way at most."""

    __slots__ = ("_course", "_driver", "_expected", "_head", "_record", "_sent_at", "is_running")

    def __init__(self, pair: Pair, record: Record) -> None:
        self.is_running = True
        self._driver = pair.driver
        self._record = record
        self._course = Course(pair.trip.number)
        self._head = expected_location(pair.trip.id)
        self._expected = b""
        self._sent_at = 0.0
        pair.rider.on_location = self._arrived

    @property
    def is_waiting(self) -> bool:
        return bool(self._expected)

    def send(self) -> None:
        if self._course.holds_back(self.send):
            return
        point = self._course.next()
        self._expected = self._head + point
        self._sent_at = perf_counter()
        self._driver.send(REPORT + point)

    def _arrived(self, packet: bytes) -> None:
        record = self._record
        if packet != self._expected and not is_location(packet, self._expected):
            record.is_wrong("location that was not sent, or not now")
            return
        record.delays.append(perf_counter() - self._sent_at)
        record.events += 1
        self._expected = b""
        if self.is_running:
            self.send()


async def run(task: Task) -> Outcome:
    record = Record()
    pairs = await Cast(task.target, record).pairs(task.clients, subscribed=True)
    relays = [Relay(pair, record) for pair in pairs]
    for relay in relays:
        relay.send()
    result = await measured(task, record)
    for relay in relays:
        relay.is_running = False
    await until(lambda: not any(r.is_waiting for r in relays), within_s=STRAGGLERS_S)
    record.is_missing("location", sum(r.is_waiting for r in relays))
    return record.outcome(result.spent, events=result.events, delays=result.delays)
