"""Many callers' calls on a store as one: while one is under way, the next gathers.

For writes that is group commit. A reading begins after everybody whom it is for has asked, so it
sees what each of them knows to be there.
"""

import asyncio
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Grouped(Generic[T, R]):
    """`work` gets the items of all who came meanwhile and gives one result for each, in order.

    What it raises, each of them gets. Whoever gives up before its turn is left out. `work` has to
    end by itself: no caller's time limit is its own, and the next group waits for it.
    """

    def __init__(self, work: Callable[[list[T]], Awaitable[Sequence[R]]], at_most: int) -> None:
        self._work = work
        self._at_most = at_most
        self._waiting: list[tuple[T, Future[R]]] = []
        self._places: list[Future[R]] = []
        self._under_way: Task[Sequence[R]] | None = None

    async def add(self, item: T) -> R:
        place: Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, place))
        if self._under_way is None:
            self._begin()
        return await place

    def _begin(self) -> None:
        # In a context of its own: the first one's time limit is not everybody's.
        self._under_way = asyncio.get_running_loop().create_task(
            self._work_off(), context=Context()
        )
        self._under_way.add_done_callback(self._end)

    async def _work_off(self) -> Sequence[R]:
        waiting = [(item, place) for item, place in self._waiting if not place.done()]
        group, self._waiting = waiting[: self._at_most], waiting[self._at_most :]
        self._places = [place for _, place in group]
        return await self._work([item for item, _ in group]) if group else ()

    def _end(self, done: Task[Sequence[R]]) -> None:
        self._under_way = None
        _hand_out(done, self._places)
        if self._waiting:
            self._begin()


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
