"""Many writers' writes as one: while a write is under way, the next gathers."""

import asyncio
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """`write` gets the items of all who came meanwhile and gives one result for each, in order.

    What it raises, each of them gets. Whoever gives up before its turn is left out.
    """

    def __init__(self, write: Callable[[list[T]], Awaitable[Sequence[R]]], at_most: int) -> None:
        self._write = write
        self._at_most = at_most
        self._waiting: list[tuple[T, Future[R]]] = []
        self._places: list[Future[R]] = []
        self._writing: Task[Sequence[R]] | None = None

    async def add(self, item: T) -> R:
        place: Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, place))
        if self._writing is None:
            self._begin()
        return await place

    def _begin(self) -> None:
        # In a context of its own: the first one's time limit is not everybody's.
        self._writing = asyncio.get_running_loop().create_task(
            self._write_group(), context=Context()
        )
        self._writing.add_done_callback(self._end)

    async def _write_group(self) -> Sequence[R]:
        waiting = [(item, place) for item, place in self._waiting if not place.done()]
        group, self._waiting = waiting[: self._at_most], waiting[self._at_most :]
        self._places = [place for _, place in group]
        return await self._write([item for item, _ in group]) if group else ()

    def _end(self, written: Task[Sequence[R]]) -> None:
        self._writing = None
        _hand_out(written, self._places)
        if self._waiting:
            self._begin()


def _hand_out(written: Task[Sequence[R]], places: list[Future[R]]) -> None:
    waiting = [(number, place) for number, place in enumerate(places) if not place.done()]
    if written.cancelled():
        for _, place in waiting:
            place.cancel()
    elif error := written.exception():
        for _, place in waiting:
            place.set_exception(error)
    else:
        for number, place in waiting:
            place.set_result(written.result()[number])
