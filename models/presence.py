"""Whether a driver is heard: an honest "connection is poor" instead of a frozen car."""

from typing import Final

from msgspec import Struct

from models.facts import Hearing
from models.fields import Millis

APPROACH_MS: Final = 60_000
"""How much older than its acceptance a driver's position may be to be shown on the trip."""


class PresenceLimits(Struct, frozen=True):
    """After how many ms without a point a driver is stale, and offline."""

    stale_ms: Millis = 10_000
    offline_ms: Millis = 60_000

    def hearing(self, last_seen: Millis, now: Millis) -> Hearing:
        """Of a driver not heard yet, `last_seen` is when it came onto the trip."""
        if now - last_seen >= self.offline_ms:
            return Hearing.OFFLINE
        return Hearing.STALE if now - last_seen >= self.stale_ms else Hearing.LIVE
