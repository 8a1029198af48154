"""How many newcomers an instance takes on: so many a second, and not more than it can open."""

from collections.abc import Callable
from typing import Final

MAX_OPENING: Final = 1_000
"""Sessions that wait for the stores at the same time, to be told what they follow."""


class Admission:
    """A token bucket that holds one second's worth: who comes alone never waits."""

    def __init__(
        self, per_s: float, opening: Callable[[], int], ticks: Callable[[], float]
    ) -> None:
        """`opening` counts the sessions being opened; `ticks` tells a time in seconds."""
        self._per_s = per_s
        self._opening = opening
        self._ticks = ticks
        self._left = per_s
        self._filled_at = ticks()

    def refuse(self) -> str | None:
        """Why a newcomer has to come back a little later; None for one that is let in."""
        now = self._ticks()
        self._left = min(self._per_s, self._left + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._left < 1 or self._opening() >= MAX_OPENING:
            return "too many clients come at once"
        self._left -= 1
        return None
