"""How far two places are apart, in a straight line."""

from math import asin, cos, radians, sin, sqrt
from typing import Final

DIAMETER_M: Final = 2 * 6_371_008.8
"""Twice the Earth's mean radius."""
DEGREE_M: Final = 111_196.0
"""A degree of latitude; one of longitude is this or less."""


def distance_m(lat: float, lng: float, to_lat: float, to_lng: float) -> float:
    """Metres on a sphere, which is within 0.6 % of the truth. Degrees; right everywhere.

    The haversine formula: nothing special happens at the poles and where longitudes start anew.
    """
    north, to_north = radians(lat), radians(to_lat)
    upwards = sin((to_north - north) / 2)
    sideways = sin(radians(to_lng - lng) / 2)
    chord = upwards * upwards + cos(north) * cos(to_north) * sideways * sideways
    return DIAMETER_M * asin(min(1.0, sqrt(chord)))
