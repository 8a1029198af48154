"""Many callers' calls on a store as one: while one is under way, the next gathers.

For writes that is group commit. A reading begins after everybody whom it is for has asked, so it
sees what each of them knows to be there.
"""

import asyncio
from asyncio import Future, Task, TimerHandle
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

OnGroup = Callable[[int], None]
"""Told how many items a group has, when it begins. It may not fail."""

SLOW_S: Final = 0.1
"""How long a group is under way before another may begin beside it."""


class Grouped(Generic[T, R]):
    """`work` gets the items of all who came meanwhile and gives one result for each, in order.

    What it raises, each of them gets. Whoever gives up before its turn is left out. `work` has to
    end by itself: no caller's time limit is its own. The next group waits for it, or, where
    `at_once` allows for that many, until it proves slow: what takes one caller's group long is not
    everybody's delay, and what is fast has as few groups as can be.
    """

    def __init__(
        self,
        work: Callable[[list[T]], Awaitable[Sequence[R]]],
        at_most: int,
        at_once: int = 1,
        on_group: OnGroup | None = None,
        *,
        apart_s: float = 0.0,
        slow_s: float = SLOW_S,
    ) -> None:
        """A group is slow that has been under way for `slow_s` seconds.

        After a group of several the next begins `apart_s` seconds later, unless it is full: of
        many who come one after the other more are in one. Who comes alone waits for nobody.
        """
        self._work = work
        self._at_most = at_most
        self._at_once = at_once
        self._on_group = on_group
        self._apart_s = apart_s
        self._slow_s = slow_s
        self._pause: TimerHandle | None = None
        """While it lasts, only a group that is full begins."""
        self._waiting: list[tuple[T, Future[R]]] = []
        self._under_way: set[Task[Sequence[R]]] = set()
        self._newest: Task[Sequence[R]] | None = None
        """The group that the next one waits for."""
        self._patience: TimerHandle | None = None

    async def add(self, item: T) -> R:
        place: Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, place))
        self._go_on()
        return await place

    def _go_on(self) -> None:
        if not self._waiting or self._newest is not None or len(self._under_way) >= self._at_once:
            return
        if self._pause is None or len(self._waiting) >= self._at_most:
            self._begin()

    def _end_pause(self) -> None:
        self._pause = None
        self._go_on()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        places: list[Future[R]] = []
        # In a context of its own: the first one's time limit is not everybody's.
        group = loop.create_task(self._work_off(places), context=Context())
        group.add_done_callback(partial(self._end, places))
        self._under_way.add(group)
        self._newest = group
        if self._at_once > 1:
            self._patience = loop.call_later(self._slow_s, self._wait_no_longer)

    async def _work_off(self, places: list[Future[R]]) -> Sequence[R]:
        waiting = [(item, place) for item, place in self._waiting if not place.done()]
        group, self._waiting = waiting[: self._at_most], waiting[self._at_most :]
        places += [place for _, place in group]
        if len(group) > 1 and self._apart_s and self._pause is None:
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(self._apart_s, self._end_pause)
        if group and self._on_group is not None:
            self._on_group(len(group))
        return await self._work([item for item, _ in group]) if group else ()

    def _end(self, places: list[Future[R]], done: Task[Sequence[R]]) -> None:
        self._under_way.discard(done)
        _hand_out(done, places)
        if done is self._newest:
            self._wait_no_longer()
        else:
            self._go_on()

    def _wait_no_longer(self) -> None:
        """The newest group has ended, or is slow."""
        if self._patience is not None:
            self._patience.cancel()
        self._newest = self._patience = None
        self._go_on()


def _hand_out(done: Task[Sequence[R]], places: list[Future[R]]) -> None:
    waiting = [(number, place) for number, place in enumerate(places) if not place.done()]
    if done.cancelled():
        for _, place in waiting:
            place.cancel()
    elif error := done.exception():
        for _, place in waiting:
            place.set_exception(error)
    else:
        for number, place in waiting:
            place.set_result(done.result()[number])
