"""Everything that happened in a run: the rides' books, the connections, what went wrong."""

from collections import Counter
from collections.abc import Sequence

from realtime.simulation.record import Count, RideRecord


class Tally:
    def __init__(self) -> None:
        self.rides: list[RideRecord] = []
        self.connections = 0
        self.reconnections = 0
        self.errors: Counter[str] = Counter()
        """What must not happen, by the command and its code, or in words."""
        self.points: Counter[str] = Counter()
        """Of the drivers: `sent`, `accepted`, and why others were not."""
        self.faults: Counter[str] = Counter()
        """What was done to them on purpose."""
        self.put_off: Counter[str] = Counter()
        """Refusals that ask for another try, which then was made; ends of sessions likewise."""

    @property
    def finished(self) -> int:
        return sum(ride.is_finished for ride in self.rides)

    @property
    def locations(self) -> Count:
        return sum((ride.locations for ride in self.rides), Count())

    @property
    def messages(self) -> Count:
        return sum((ride.messages for ride in self.rides), Count())

    @property
    def statuses(self) -> Count:
        return sum((ride.statuses for ride in self.rides), Count())

    @property
    def is_settled(self) -> bool:
        return all(ride.is_settled for ride in self.rides)

    def location_latencies_s(self) -> list[float]:
        return [latency for ride in self.rides for latency in ride.relay.latencies_s]

    def message_latencies_s(self) -> list[float]:
        return [latency for ride in self.rides for latency in ride.message_latencies_s()]

    def problems(self) -> list[str]:
        """What speaks against the server (or the way to it), in words; empty when all is well."""
        if not self.finished:
            return ["no ride was finished", *self._losses(), *self._errors()]
        unfinished = len(self.rides) - self.finished
        rides = [f"rides not finished: {unfinished:,}"] if unfinished else []
        return [*rides, *self._losses(), *self._errors()]

    def _losses(self) -> list[str]:
        found = []
        for name, count in self._counts():
            for number, word in (
                (count.lost, "lost"),
                (count.doubled, "doubled"),
                (count.out_of_order, "out of order"),
            ):
                if number:
                    found.append(f"{name} {word}: {number:,}")
        relays = [ride.relay for ride in self.rides]
        if foreign := sum(relay.foreign for relay in relays):
            found.append(f"locations that were never sent on the ride: {foreign:,}")
        if after_end := sum(relay.after_end for relay in relays):
            found.append(f"locations after the ride's end: {after_end:,}")
        return found

    def _errors(self) -> list[str]:
        return [f"{error} ({times:,} times)" for error, times in sorted(self.errors.items())]

    def _counts(self) -> Sequence[tuple[str, Count]]:
        return (
            ("locations", self.locations),
            ("messages", self.messages),
            ("status events", self.statuses),
        )
