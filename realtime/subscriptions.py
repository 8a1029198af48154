"""The channels that this instance wants, and those that Redis has confirmed."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, takewhile
from typing import Final

from realtime.redis_link import Connection, command

_CHANNELS_PER_COMMAND: Final = 500


class Subscriptions:
    """Which channels are wanted, and which Redis has confirmed on the connection that stands."""

    def __init__(self, linger: float, confirm_within: float) -> None:
        self.wanted: dict[bytes, str] = {}
        self.confirmed: set[bytes] = set()
        self.missed = False
        """A wanted channel may have missed messages since the owner last caught up."""
        self._connection: Connection | None = None
        self._waiting: dict[bytes, asyncio.Future[bool]] = {}
        self._overdue = _Deadlines(confirm_within, self._give_up)
        self._unwanted = _Deadlines(linger, self._leave)

    def subscribe(self, channel: str) -> asyncio.Future[bool]:
        name = channel.encode()
        self.wanted[name] = channel
        self._unwanted.discard(name)
        if name in self.confirmed:
            return _answered(True)
        if self._connection is None:
            self.missed = True
            return _answered(False)
        if name not in self._waiting:
            self._waiting[name] = asyncio.get_running_loop().create_future()
            self._overdue.add(name)
            self._connection.send(command(b"SUBSCRIBE", name))
        # Each caller gets its own: who is cancelled while waiting must not cancel the others.
        return asyncio.shield(self._waiting[name])

    def unsubscribe(self, channel: str) -> None:
        name = channel.encode()
        if self.wanted.pop(name, None) is not None and self._connection is not None:
            self._unwanted.add(name)

    def on_up(self, connection: Connection, last: bytes) -> None:
        self._connection = connection
        for names in _batches(chain(self.wanted, (last,))):
            connection.send(command(b"SUBSCRIBE", *names))

    def on_down(self) -> None:
        self._connection = None
        self.missed = True
        self.confirmed.clear()
        self._unwanted.clear()
        self._overdue.clear()
        self._give_up(list(self._waiting))

    def on_confirmed(self, name: bytes) -> None:
        waiting = self._waiting.pop(name, None)
        if waiting is not None:
            self._overdue.discard(name)
            waiting.set_result(True)
        elif name not in self.confirmed:
            self.missed = True  # nobody waited for it any more
        self.confirmed.add(name)

    def on_left(self, name: bytes) -> None:
        self.confirmed.discard(name)

    def _give_up(self, names: Iterable[bytes]) -> None:
        for name in names:
            self._waiting.pop(name).set_result(False)

    def _leave(self, names: list[bytes]) -> None:
        if self._connection is not None:
            self.confirmed.difference_update(names)
            for batch in _batches(names):
                self._connection.send(command(b"UNSUBSCRIBE", *batch))


class _Deadlines:
    """Names that come due the same while after each was added; one timer serves them all."""

    def __init__(self, delay: float, due: Callable[[list[bytes]], None]) -> None:
        self._delay = delay
        self._due = due
        self._times: dict[bytes, float] = {}  # the earliest first
        self._timer: asyncio.TimerHandle | None = None

    def add(self, name: bytes) -> None:
        self._times.pop(name, None)
        self._times[name] = _now() + self._delay
        if self._timer is None:
            self._wait(self._delay)

    def discard(self, name: bytes) -> None:
        self._times.pop(name, None)

    def clear(self) -> None:
        self._times.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, delay: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        now = _now()
        self._timer = None
        due = list(takewhile(lambda name: self._times[name] <= now, self._times))
        for name in due:
            del self._times[name]
        if self._times:
            earliest = next(iter(self._times.values()))
            self._wait(max(earliest - now, self._delay / 10))
        self._due(due)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _answered(answer: bool) -> asyncio.Future[bool]:
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future


def _batches(names: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    names = iter(names)
    while batch := tuple(islice(names, _CHANNELS_PER_COMMAND)):
        yield batch
