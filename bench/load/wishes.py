"""What a backend asks of `/v1/trips`, and whether it is answered rightly."""

import secrets
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

import msgspec
from msgspec import Struct

from bench.load.cast import PICKUP
from bench.load.client import Refused
from bench.load.http import HttpClient, request

_DROPOFF: Final = {"lat": 52.53, "lng": 13.45}
_OK, _CREATED = 200, 201


class Place(Struct, frozen=True):
    lat: float
    lng: float


class Requested(Struct, frozen=True):
    """What an answer says of a trip that nobody drives yet."""

    id: str
    rider_id: str
    status: str
    version: int
    pickup: Place
    dropoff: Place
    driver_id: str | None = None


class Wish(Struct, frozen=True):
    """A request, ready for the wire, and what tells whether `(status, body)` is its answer."""

    request: bytes
    is_right: Callable[[int, bytes], bool]


class Wishes:
    """Of one backend, with the token of a service."""

    def __init__(self, url: str, token: str) -> None:
        self._trips = f"{url}/v1/trips"
        self._token = token
        self._run = secrets.token_hex(4)
        self._numbers = count()

    def create(self) -> Wish:
        """A trip of its own."""
        name = f"{self._run}-{next(self._numbers)}"
        rider_id = f"rider-{name}"
        draft = {
            "client_id": f"trip-{name}",
            "rider_id": rider_id,
            "pickup": PICKUP,
            "dropoff": _DROPOFF,
        }
        sent = request("POST", self._trips, self._token, draft)
        return Wish(sent, partial(_is_created, rider_id))

    async def read_one_more(self, client: HttpClient) -> Wish:
        """To read a trip that is created first. Raises Refused."""
        creating = self.create()
        status, body = await client.call(creating.request)
        if not creating.is_right(status, body):
            raise Refused(f"a trip was not created: {status} {body.decode(errors='replace')}")
        trip = msgspec.json.decode(body, type=Requested)
        sent = request("GET", f"{self._trips}/{trip.id}", self._token)
        return Wish(sent, partial(_is_read, trip))


_decode: Final = msgspec.json.Decoder(Requested).decode


def _trip_in(body: bytes) -> Requested | None:
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return None


def _is_created(rider_id: str, status: int, body: bytes) -> bool:
    trip = _trip_in(body)
    if trip is None or status != _CREATED:
        return False
    wanted = Requested(trip.id, rider_id, "requested", 1, Place(**PICKUP), Place(**_DROPOFF))
    return trip == wanted


def _is_read(wanted: Requested, status: int, body: bytes) -> bool:
    return status == _OK and _trip_in(body) == wanted
