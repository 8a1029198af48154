"""Numbered facts brought into order: each once, none before its turn."""

from typing import Final, Generic, TypeVar

T = TypeVar("T")
MAX_EARLY: Final = 1_000


class Sequence(Generic[T]):
    """What was delivered of a stream numbered 1, 2, 3, …, and what came before its turn.

    Until `start` says where the stream is, everything waits.
    """

    __slots__ = ("_early", "_exists", "began", "newest")

    def __init__(self) -> None:
        self.newest: int | None = None
        self.began = 0
        """What is up to here was never delivered: a reading contained it."""
        self._exists = 0
        self._early: dict[int, T] = {}

    @property
    def has_gap(self) -> bool:
        """Whether there is more than was delivered, and something before it has not come."""
        return self.newest is not None and self._exists > self.newest

    def start(self, newest: int) -> list[tuple[int, T]]:
        """The stream was read and ends with `newest`; returns what of the waiting is due now.

        The first such reading is where delivery begins; a later one can only show a gap.
        """
        if self.newest is None:
            self.newest = self.began = newest
        self._exists = max(self._exists, newest)
        return self._due()

    def exists(self, number: int) -> None:
        """There is an item of this number, which may be on its way."""
        self._exists = max(self._exists, number)

    def take(self, number: int, item: T) -> list[tuple[int, T]]:
        """Give an item in; the items whose turn has come, in order. Known numbers are dropped."""
        self._exists = max(self._exists, number)
        newest = self.newest
        if newest is None or number > newest + 1:
            # What does not fit can be read again: that it exists is remembered.
            if len(self._early) < MAX_EARLY:
                self._early.setdefault(number, item)
            return []
        if number <= newest:
            return []
        self.newest = number
        return [(number, item), *self._due()]

    def _due(self) -> list[tuple[int, T]]:
        if self.newest is None:
            return []
        due = []
        while (item := self._early.pop(self.newest + 1, None)) is not None:
            self.newest += 1
            due.append((self.newest, item))
        if self._early:
            newest = self.newest
            self._early = {n: early for n, early in self._early.items() if n > newest}
        return due
