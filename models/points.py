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


class ClockDoubt(Struct, frozen=True, array_like=True):
    """Points in a row that say the same of a phone's clock, in ms: that it is wrong.

    `ahead_from` to `ahead_to` is how far their `ts` was ahead of the server's clock.
    """

    ahead_from: int
    ahead_to: int
    points: int
    since: Millis
    """When the first of them came in, by the server's clock."""
    seen_at: Millis
    """When the last of them came in."""
    ts: Millis
    """Of the last."""
    seq: Number
    """Of the last."""


class FilterState(Struct, frozen=True, array_like=True):
    """What a driver's filter remembers besides the newest accepted point and its device."""

    before: Point | None = None
    """The accepted point before the newest."""
    odd: int = 0
    """How many accepted points in a row, up to the newest, could not follow the one before them."""
    doubted: tuple[Point, ...] = ()
    """The last points that were implausible, but agree with each other."""
    ahead_ms: int = 0
    """By how much the device's clock is known to be ahead; negative when it is behind."""
    clock: ClockDoubt | None = None


class Sighting(Struct, frozen=True):
    """The newest accepted point of a driver, and the server's time when it came in."""

    driver_id: Id
    point: Point
    device: str
    seen_at: Millis
    filtered: FilterState = FilterState()
    """For the filter to go on with, wherever the driver is next."""
