"""Encoded polylines: a line of places as text, each as its difference from the one before.

Source: Google, "Encoded Polyline Algorithm Format". Its precision is 5 decimals; other tools use 6.
"""

from typing import Final

_OFFSET: Final = 63
_CHUNK_BITS: Final = 5
_MORE: Final = 0x20


class PolylineEncoder:
    """Encodes one line, piece by piece."""

    __slots__ = ("_factor", "_lat", "_lng")

    def __init__(self, precision: int) -> None:
        """`precision` is how many decimals of a degree are kept."""
        self._factor = 10**precision
        self._lat = 0
        self._lng = 0

    def add(self, lat: float, lng: float) -> str:
        """The next place, in degrees."""
        north, east = round(lat * self._factor), round(lng * self._factor)
        text = _number(north - self._lat) + _number(east - self._lng)
        self._lat, self._lng = north, east
        return text


def _number(value: int) -> str:
    """A signed number in chunks of five bits, the lowest first, each a printable character."""
    left = ~(value << 1) if value < 0 else value << 1
    text = ""
    while left >= _MORE:
        text += chr((_MORE | (left & (_MORE - 1))) + _OFFSET)
        left >>= _CHUNK_BITS
    return text + chr(left + _OFFSET)
