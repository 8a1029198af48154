"""Where something is: a phone's measurement, an address on a map."""

from typing import Annotated

from msgspec import Meta, Struct

from models.fields import Accuracy, Heading, Id, Latitude, Longitude, Millis, Number, Speed


class Point(Struct, frozen=True, omit_defaults=True):
    """One position as the phone measured it. Degrees WGS84, metres, m/s, ms since the epoch.

    `seq` grows, by any step, within one device.
    """

    lat: Latitude
    lng: Longitude
    ts: Millis
    seq: Number
    heading: Heading | None = None
    speed: Speed | None = None
    accuracy: Accuracy | None = None


class Place(Struct, frozen=True, omit_defaults=True):
    """A pick-up, a stop, a destination."""

    lat: Latitude
    lng: Longitude
    address: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class Sighting(Struct, frozen=True):
    """The newest accepted point of a driver, and the server's time when it came in."""

    driver_id: Id
    point: Point
    device: str
    seen_at: Millis
