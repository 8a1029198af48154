"""A driver that sends when it is told, whatever comes back, and the rider it is shown to."""

from time import perf_counter

from bench.load.awaited import Awaited
from bench.load.cast import Pair
from bench.load.client import Client
from bench.load.course import Course
from bench.load.frames import REPORT, expected_location, is_location
from bench.load.record import Record


class Drive:
    """Delays count from the time when a location was to be sent."""

    __slots__ = ("_course", "_driver", "_head", "_record", "awaited")

    def __init__(self, pair: Pair, record: Record) -> None:
        self.awaited: Awaited[bytes, bytes] = Awaited("location", record, is_location)
        self._driver = pair.driver
        self._record = record
        self._course = Course(pair.trip.number)
        self._head = expected_location(pair.trip.id)
        self.show(pair.rider)

    def show(self, rider: Client) -> None:
        """From now on this connection has the locations."""
        rider.on_location = self._arrived

    def send(self, at: float) -> None:
        """`at` is when it should be."""
        point = self._course.next()
        self.awaited.expect(self._head + point, at)
        self._driver.send(REPORT + point)

    def _arrived(self, packet: bytes) -> None:
        at = self.awaited.arrived(packet)
        if at is not None:
            self._record.delays.append(perf_counter() - at)
            self._record.events += 1
