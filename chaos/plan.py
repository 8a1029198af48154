"""Which faults happen when: drawn from a seed, in waves of one or several at once."""

from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec import Struct

from chaos.faults import KINDS, Fault

AT_ONCE: Final = 3
STAGGER_S: Final = 2.0
"""Within which the faults of a wave begin."""


class Strike(Struct, frozen=True):
    """One fault of a wave: seconds after the wave's beginning, and how long it lasts."""

    kind: str
    fault: Fault
    after_s: float
    lasts_s: float


class Wave(Struct, frozen=True):
    """Faults at once, after so many more commands were answered."""

    answers: int
    strikes: Sequence[Strike]


def waves(rng: Random, kinds: Sequence[str], faults: int, answers: int) -> list[Wave]:
    """At least that many faults, with up to so many answers before each wave."""
    drawn: list[Wave] = []
    while (left := faults - sum(len(wave.strikes) for wave in drawn)) > 0:
        strikes = _together(rng, kinds, min(rng.randint(1, AT_ONCE), left))
        drawn.append(Wave(rng.randint(answers // 10, answers), strikes))
    return drawn


def one_of_each(rng: Random, kinds: Sequence[str], answers: int, longest_s: float) -> list[Wave]:
    """Every kind once and for at most this time, in as few waves as may be."""
    left = rng.sample(kinds, len(kinds))
    drawn = []
    while left:
        strikes: list[Strike] = []
        for kind in list(left):
            fault = KINDS[kind](rng.randrange(2))
            if len(strikes) < AT_ONCE and _is_free(fault, strikes):
                left.remove(kind)
                lasts = min(fault.duration_s(rng), longest_s)
                strikes.append(Strike(kind, fault, rng.uniform(0, 0.5), lasts))
        drawn.append(Wave(answers, strikes))
    return drawn


def _together(rng: Random, kinds: Sequence[str], count: int) -> list[Strike]:
    """Up to so many faults that do not need the same."""
    strikes: list[Strike] = []
    for kind in rng.sample(kinds, min(count, len(kinds))):
        fault = KINDS[kind](rng.randrange(2))
        if _is_free(fault, strikes):
            after = rng.uniform(0, STAGGER_S) if strikes else 0.0
            strikes.append(Strike(kind, fault, after, fault.duration_s(rng)))
    return strikes


def _is_free(fault: Fault, strikes: Sequence[Strike]) -> bool:
    return not any(fault.needs & strike.fault.needs for strike in strikes)
