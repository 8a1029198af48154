"""How the newest seq of many conversations is found with few questions: as there are no holes, a
seq that exists and a next one that does not are the proof.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from models.fields import Id

Position = tuple[Id, int]
"""A conversation and a seq."""

ONE_STEP: Final = (1,)
"""First question where most have nothing new."""
SHORT_STEPS: Final = (1, 2, 3, 4)
"""First question where a little is new as a rule."""
_GALLOP: Final = tuple(2**power for power in range(12))
_SPLITS: Final = 16


class KnownSeqs:
    """The newest seqs that were seen stored, for the conversations used last: lower bounds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._seqs: OrderedDict[Id, int] = OrderedDict()

    def get(self, conversation_id: Id) -> int | None:
        seq = self._seqs.get(conversation_id)
        if seq is not None:
            self._seqs.move_to_end(conversation_id)
        return seq

    def learn(self, conversation_id: Id, seq: int) -> None:
        self._seqs[conversation_id] = max(seq, self._seqs.get(conversation_id, 0))
        self._seqs.move_to_end(conversation_id)
        if len(self._seqs) > self._capacity:
            self._seqs.popitem(last=False)


class _Search(Struct):
    """Between a seq that exists (0: nothing known) and one that does not (None: none seen yet)."""

    low: int
    high: int | None = None
    steps: Sequence[int] = ONE_STEP

    @property
    def is_over(self) -> bool:
        return self.high is not None and self.high <= self.low + 1

    def questions(self) -> list[int]:
        if self.high is None:
            return [self.low + step for step in self.steps]
        step = max(1, (self.high - self.low) // _SPLITS)
        return list(range(self.low + step, self.high, step))

    def learn(self, existing: set[int]) -> None:
        asked = self.questions()
        self.low = max(existing, default=self.low)
        self.high = min((seq for seq in asked if seq > self.low), default=self.high)
        self.steps = _GALLOP


async def newest_seqs(
    known: Mapping[Id, int],
    existing: Callable[[list[Position]], Awaitable[set[Position]]],
    first_steps: Sequence[int] = ONE_STEP,
) -> dict[Id, int]:
    """The newest seqs, from a lower bound (0: nothing known) for each conversation.

    One question where no more is new than the first steps reach, else a few rounds.
    """
    searches = {key: _Search(seq, steps=first_steps) for key, seq in known.items()}
    while open_ones := {key: search for key, search in searches.items() if not search.is_over}:
        asked = [(key, seq) for key, search in open_ones.items() for seq in search.questions()]
        found: dict[Id, set[int]] = {}
        for key, seq in await existing(asked):
            found.setdefault(key, set()).add(seq)
        for key, search in open_ones.items():
            search.learn(found.get(key, set()))
    return {key: search.low for key, search in searches.items()}
