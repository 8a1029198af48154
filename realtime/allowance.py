"""How often a user may ask for something, by commands and HTTP requests together."""

from models.errors import RateLimited
from models.identity import Identity
from realtime.buckets import Buckets, Rate


class Allowance:
    """Of this process: several know nothing of each other's.

    Staff is not limited: a back end has one token to act for everybody with.
    """

    def __init__(self, rate: Rate) -> None:
        self._users = Buckets(rate)

    def spend(self, caller: Identity) -> None:
        """Count a command or request. Raises RateLimited when there were too many."""
        if caller.is_staff:
            return
        left = self._users.of(caller.key)
        if not left.take():
            raise RateLimited("too many commands and requests", left.retry_after_ms)
