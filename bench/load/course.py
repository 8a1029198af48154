"""A driver's way as points: straight north at 10 m/s, so that no filter has a reason to refuse.

The bytes are what every JSON writer makes of these numbers: no fraction ends in a zero. So what a
rider gets can be compared with what it should, mostly without parsing.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

_MAX_LEAD_MS: Final = 4_000
"""How far a driver's clock may be ahead of the time; servers take a point up to 5 s ahead."""

_WAIT_S: Final = 0.01
_UNITS_PER_MS: Final = 9
"""10 m/s in 1e-8 degrees of latitude, of which one is 1.11 mm."""
_DRIVERS_PER_ROW: Final = 100
_ROW: Final = 200_000
"""Between two starting points: 222 m to the north, or 0.002 degrees to the east."""
_SOUTH: Final = 10_000_001


class Course:
    """One driver's points. `ts` is the time in ms, or else 1 ms after the point before."""

    __slots__ = ("_began", "_format", "_lead_ms", "_seq", "_start", "_ts")

    def __init__(self, number: int) -> None:
        row, column = divmod(number, _DRIVERS_PER_ROW)
        self._format = (
            b'"lat":52.%%08d,"lng":13.%08d,"ts":%%d,"seq":%%d,'
            b'"heading":0.25,"speed":10.01,"accuracy":4.5}]' % (_SOUTH + column * _ROW)
        )
        self._start = _SOUTH + row * _ROW
        self._began = self._ts = _now()
        self._seq = 0
        self._lead_ms = 0

    def holds_back(self, send: Callable[[], None]) -> bool:
        """Whether the newest point is as far ahead of the time as it may be.

        If so, `send` is called a little later.
        """
        if self._lead_ms <= _MAX_LEAD_MS:
            return False
        self._lead_ms = 0
        asyncio.get_running_loop().call_later(_WAIT_S, send)
        return True

    def next(self) -> bytes:
        """The next point, without what a payload begins with: `"lat":…}]`."""
        now = _now()
        self._ts = ts = max(now, self._ts + 1)
        self._lead_ms = ts - now
        self._seq += 1
        north = self._start + _UNITS_PER_MS * (ts - self._began)
        return self._format % (north | 1, ts, self._seq)


def _now() -> int:
    return time.time_ns() // 1_000_000
