"""FAN_OUT: one driver, many subscribers; the next location when all have an earlier one."""

from collections.abc import Sequence
from time import perf_counter

from bench.load.cast import Cast, Trip
from bench.load.client import Client
from bench.load.course import Course
from bench.load.frames import REPORT, expected_location, is_location
from bench.load.record import Record
from bench.load.together import STRAGGLERS_S, until
from bench.load.window import measured
from bench.shapes import Outcome, Task


class Flight:
    """One location on its way to the audience."""

    __slots__ = ("left", "packet", "sent_at")

    def __init__(self, packet: bytes, audience: int) -> None:
        self.packet = packet
        self.left = audience
        """How many do not have it yet."""
        self.sent_at = perf_counter()

    def is_in(self, packet: bytes) -> bool:
        """Whether that is it; once one is written otherwise, all have to be."""
        if packet == self.packet:
            return True
        if not is_location(packet, self.packet):
            return False
        self.packet = packet
        return True


class FanOut:
    """A driver and what it has on its way to its audience."""

    def __init__(
        self, trip: Trip, driver: Client, audience: Sequence[Client], record: Record
    ) -> None:
        self.is_running = True
        self.flights: dict[int, Flight] = {}
        """By their number."""
        self._number = 0
        self._driver = driver
        self._audience = [Listening(client, self, record) for client in audience]
        self._course = Course(trip.number)
        self._head = expected_location(trip.id)

    @property
    def left(self) -> int:
        """Deliveries that have not come yet."""
        return sum(flight.left for flight in self.flights.values())

    def send(self) -> None:
        if self._course.holds_back(self.send):
            return
        point = self._course.next()
        self._number += 1
        self.flights[self._number] = Flight(self._head + point, len(self._audience))
        self._driver.send(REPORT + point)

    def has_one_more(self, number: int, flight: Flight) -> None:
        flight.left -= 1
        if not flight.left:
            del self.flights[number]
            if self.is_running:
                self.send()


class Listening:
    """One of the audience: gets every location once, in order."""

    __slots__ = ("_fan_out", "_heard", "_record")

    def __init__(self, client: Client, fan_out: FanOut, record: Record) -> None:
        self._fan_out = fan_out
        self._heard = 0
        self._record = record
        client.on_location = self._arrived

    def _arrived(self, packet: bytes) -> None:
        number = self._heard + 1
        flight = self._fan_out.flights.get(number)
        if flight is None or not flight.is_in(packet):
            self._record.is_wrong("location that was not sent, or not now")
            return
        self._heard = number
        record = self._record
        record.delays.append(perf_counter() - flight.sent_at)
        record.events += 1
        self._fan_out.has_one_more(number, flight)


async def run(task: Task) -> Outcome:
    record = Record()
    cast = Cast(task.target, record)
    (trip,) = await cast.trips(1)
    driver = await cast.driver(trip)
    fan_out = FanOut(trip, driver, await cast.viewers(trip, task.clients), record)
    for _ in range(task.in_flight):
        fan_out.send()
    result = await measured(task, record)
    fan_out.is_running = False
    await until(lambda: not fan_out.flights, within_s=STRAGGLERS_S)
    record.is_missing("location", fan_out.left)
    return record.outcome(result.spent, events=result.events, delays=result.delays)
