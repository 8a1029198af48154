"""What handlers need of the world besides the stores: a clock, an audience, where drivers are."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from models.commands import DriverAvailability
from models.facts import Fact
from models.fields import Id, Millis
from models.points import Point, Sighting
from models.rooms import Room

Clock = Callable[[], Millis]
"""Milliseconds since the epoch."""


class Later(Protocol):
    def __call__(self, in_ms: Millis, call: Callable[[], None]) -> object:
        """Have something called once, in so many ms. Returns at once."""


class Publish(Protocol):
    def __call__(self, room: Room, fact: Fact, *, source: str = "", version: int = 0) -> None:
        """Tell a fact to a room's members, here and on every other instance.

        Never waits and never fails; at most once. `source` is whom the fact is of: the author (key)
        of typing, the connection that sent a receipt, the driver who arrives. `version` is the one
        that the trip had when a message, receipt or typing was allowed: nobody has it who was taken
        off before.
        """


class Show(Protocol):
    def __call__(self, trips: tuple[Id, ...], point: Point, driver_id: Id, seen_at: Millis) -> None:
        """Tell those who look at these trips where their driver is, here and on every other
        instance.

        Never waits and never fails; at most once. `seen_at` is the server's time.
        """


class Drivers(Protocol):
    """Where drivers are and whether they take trips: shared by all instances, not kept for ever."""

    def saw(self, sighting: Sighting, points: Sequence[Point] = ()) -> None:
        """Note a driver's newest accepted point, and record these with it. Never waits."""

    def record(self, driver_id: Id, points: Sequence[Point]) -> None:
        """Have accepted points, oldest first, in the tracks of what the driver served. Never waits.

        They are safe with the next write, together with the newest point's filter state.
        """

    def has_room(self) -> bool:
        """Whether points that are recorded now are kept. Else they are dropped."""

    def is_safe(self, driver_id: Id) -> bool:
        """Whether all that was recorded of the driver would outlive this process."""

    def tell_when_safe(self, driver_id: Id, told: Callable[[bool], None]) -> None:
        """Call once when all is safe that was recorded of the driver so far; with False if not."""

    async def newest(self, driver_id: Id) -> Sighting | None:
        """The driver's newest accepted point; None when there is none or nobody can tell now."""

    async def set_status(self, driver_id: Id, status: DriverAvailability) -> None:
        """Raises Unavailable when it could not be noted."""

    async def status(self, driver_id: Id) -> DriverAvailability | None: ...

    def came(self, driver_id: Id, status: DriverAvailability | None) -> None:
        """A connection of the driver was opened here. The status is what was read for it.

        As long as it stands, its status is kept, even if the store of all instances loses it.
        """

    def went(self, driver_id: Id) -> None:
        """A connection that came has ended."""


class Candidate(Struct, frozen=True):
    """What is kept of a driver that a search found: the newest point, and what it says."""

    sighting: Sighting | None
    status: DriverAvailability | None


class Nearby(Protocol):
    """Where the available drivers are, shared by all instances."""

    async def around(
        self, lat: float, lng: float, radius_m: int, at_most: int
    ) -> Sequence[Candidate]:
        """Whoever was available and within this radius lately, the nearest first.

        Fewer than `at_most` are all that there are. Raises Unavailable when nobody can tell.
        """
