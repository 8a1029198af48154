"""Who is let in at the door: not more than the instance has room for, at once and per address."""

import logging
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from realtime.buckets import Bucket, Buckets, Rate, Ticks

_log = logging.getLogger(__name__)

CROWD: Final = "too many clients come at once"


class Room(Struct, frozen=True):
    """How many an instance takes; each is for one process."""

    connects_per_s: int
    connections: int
    per_address: int
    """Connections from one address."""
    attempts_per_address_per_s: int
    opening: int
    """Sessions that wait for the stores at the same time, to be told what they follow."""


class Admission:
    """See `realtime.engine.Door`. Knows the addresses of who is in, and who was lately at the door.

    Newcomers share a token bucket that holds one second's worth: who comes alone never waits.
    """

    def __init__(self, room: Room, opening: Callable[[], int], ticks: Ticks) -> None:
        """`opening` counts the sessions being opened; `ticks` tells a time in seconds."""
        self._room = room
        self._opening = opening
        self._newcomers = Bucket(Rate.of(room.connects_per_s, 1, ticks))
        self._attempts = Buckets(Rate.of(room.attempts_per_address_per_s, ticks=ticks))
        self._inside = 0
        self._from: dict[str, int] = {}

    def refuse(self, address: str | None) -> str | None:
        """Why a newcomer has to come back a little later; None for one that is let in."""
        if address is not None and not self._attempts.of(address).take():
            return too_many("attempts", address, "ATTEMPTS_PER_ADDRESS_PER_S")
        if self._inside >= self._room.connections:
            _log.warning("no room for more clients: raise MAX_CONNECTIONS, or start more processes")
            return "the server is full"
        if address is not None and self._from.get(address, 0) >= self._room.per_address:
            return too_many("connections", address, "CONNECTIONS_PER_ADDRESS")
        self._newcomers.fill()
        if self._opening() >= self._room.opening or not self._newcomers.take():
            return CROWD
        return None

    def entered(self, address: str | None) -> None:
        self._inside += 1
        if address is not None:
            self._from[address] = self._from.get(address, 0) + 1

    def left(self, address: str | None) -> None:
        self._inside -= 1
        if address is None:
            return
        remaining = self._from[address] - 1
        if remaining:
            self._from[address] = remaining
        else:
            del self._from[address]


def too_many(what: str, address: str, setting: str) -> str:
    """Why an address is refused. The operator is told what it may be, if it is not an attack."""
    _log.warning(
        "too many %s from one address: if it is a proxy, name it in FORWARDED_ALLOW_IPS;"
        " else %s may be too low",
        what,
        setting,
        extra={"remote": address},
    )
    return f"too many {what} from one address"
