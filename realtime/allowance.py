"""How often a user may ask for something, by commands and HTTP requests together."""

from models.errors import RateLimited
from models.identity import Identity, Role
from realtime.buckets import Bucket, Buckets, Rate
from realtime.spending import SharedBuckets


class Allowance:
    """Decides at once, by what is known here; `realtime.spending` brings what was spent elsewhere.

    Staff is not limited: a back end has one token to act for everybody with. Viewers with the links
    of one trip are one user, so each place that one looks from has as much as a user, and all
    together have what is a link's.
    """

    def __init__(self, rate: Rate, link: Rate) -> None:
        self.users = SharedBuckets(rate)
        self.links = SharedBuckets(link)
        self._viewers = Buckets(rate)

    def spend(self, caller: Identity, place: str) -> None:
        """Count a command or request. Raises RateLimited when there were too many.

        `place` is where it came from: an address, or a network of IPv6.
        """
        if caller.is_staff:
            return
        if caller.role is Role.VIEWER:
            _take(self._viewers.of(f"{caller.key} {place}"))
            shared = self.links
        else:
            shared = self.users
        _take(shared.of(caller.key))
        shared.note(caller.key)


def _take(left: Bucket) -> None:
    if not left.take():
        raise RateLimited("too many commands and requests", left.retry_after_ms)
