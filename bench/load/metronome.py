"""An even beat, finer than the milliseconds of an event loop's timers, on Linux' timerfd.

Each beat is told when it was meant to be. A load that waits for no answer counts delays from
then: what a slow server, or generator, holds up is not left out.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from time import CLOCK_MONOTONIC, perf_counter
from typing import Final, Self

Beat = Callable[[int, float], None]
"""Gets the number of the beat, from 0, and its time (`time.perf_counter`)."""

_NANO: Final = 1_000_000_000


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

    @classmethod
    def of(cls, nanoseconds: int) -> Self:
        return cls(*divmod(nanoseconds, _NANO))


class _Schedule(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("first", _TimeSpec))


class Metronome:
    """Beats from when it is made until it is stopped."""

    def __init__(self, rate: float, beat: Beat) -> None:
        """`rate` is beats a second."""
        self._beat = beat
        self._period = 1 / rate
        self._count = 0
        self._timer = _timer(round(_NANO / rate))
        self._began = perf_counter() + self._period
        asyncio.get_running_loop().add_reader(self._timer, self._due)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._timer)
        os.close(self._timer)

    def _due(self) -> None:
        """All beats whose time has come; one, unless the process was held up."""
        os.read(self._timer, 8)
        now = perf_counter()
        while (at := self._began + self._count * self._period) <= now:
            self._count += 1
            self._beat(self._count - 1, at)


def _timer(period_ns: int) -> int:
    """The descriptor of a timer that is readable once a period."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer: int = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    period = _TimeSpec.of(max(1, period_ns))
    if timer < 0 or libc.timerfd_settime(timer, 0, ctypes.byref(_Schedule(period, period)), None):
        raise OSError(ctypes.get_errno(), "no timerfd")
    return timer
