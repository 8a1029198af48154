"""How many requests an address may send, whatever tokens they have: counted before one is read."""

from typing import Final

from aiohttp import web

from models.errors import RateLimited
from realtime.admission import too_many
from realtime.buckets import Bucket, Buckets, Rate
from realtime.proxies import Origin

PREFIX: Final = "/v1/"
"""What is limited: the other paths are the operator's own, and those of sockets count elsewhere."""
_BUCKET: Final = web.RequestKey("attempts", Bucket)


class Attempts:
    def __init__(self, rate: Rate) -> None:
        self._addresses = Buckets(rate)

    def count(self, request: web.Request, origin: Origin) -> None:
        """Raises RateLimited where there were too many. An unknown address is not limited."""
        if origin.counts_as is None or not request.path.startswith(PREFIX):
            return
        left = self._addresses.of(origin.counts_as)
        if not left.take():
            why = too_many("requests", origin.counts_as, "REQUESTS_PER_ADDRESS_PER_S")
            raise RateLimited(why, left.retry_after_ms)
        request[_BUCKET] = left


def excuse(request: web.Request) -> None:
    """It was staff, which may ask as often as it likes: the request does not count."""
    if _BUCKET in request:
        request[_BUCKET].give()
