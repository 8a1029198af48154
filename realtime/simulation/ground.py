"""Short distances and directions on the ground, in metres and degrees.

The earth is taken as flat around the points: right to a thousandth within a city.
"""

import math
from typing import Final

METRES_PER_DEGREE: Final = 111_195.0
"""Along a meridian."""


def offset_m(lat: float, lng: float, to_lat: float, to_lng: float) -> tuple[float, float]:
    """How far east and north of the first point the second one is."""
    east = (to_lng - lng) * METRES_PER_DEGREE * math.cos(math.radians((lat + to_lat) / 2))
    return east, (to_lat - lat) * METRES_PER_DEGREE


def distance_m(lat: float, lng: float, to_lat: float, to_lng: float) -> float:
    return math.hypot(*offset_m(lat, lng, to_lat, to_lng))


def bearing(lat: float, lng: float, to_lat: float, to_lng: float) -> float:
    """Clockwise from north, [0, 360)."""
    east, north = offset_m(lat, lng, to_lat, to_lng)
    return math.degrees(math.atan2(east, north)) % 360 % 360  # the first can round up to 360.0


def moved(lat: float, lng: float, east_m: float, north_m: float) -> tuple[float, float]:
    """The point that is so far east and north."""
    to_lat = lat + north_m / METRES_PER_DEGREE
    return to_lat, lng + east_m / METRES_PER_DEGREE / math.cos(math.radians((lat + to_lat) / 2))
