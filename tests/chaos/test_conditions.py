"""What excuses lateness, and how much of it."""

import asyncio
import time

from chaos.checks.conditions import RETURN_S, Conditions, Disturbance, outside
from chaos.load.pulse import BEAT_S, Interval, Pulse

HERE = "http://here"
FREEZE = Disturbance(Interval(10, 20), frozenset({"instance 0"}))


def test_what_overlaps_is_counted_once() -> None:
    assert outside(0, 10, [Interval(1, 3), Interval(2, 4), Interval(9, 12)]) == 6
    assert outside(0, 10, []) == 10
    assert outside(5, 6, [Interval(0, 9)]) == 0


def test_only_what_stands_on_the_way_of_an_answer_excuses_its_lateness() -> None:
    there = Conditions([FREEZE], places={HERE: frozenset({"instance 0"})})
    elsewhere = Conditions([FREEZE], places={HERE: frozenset({"instance 1"})})
    assert there.awaited_s(HERE, 8, 25) == 7
    assert elsewhere.awaited_s(HERE, 8, 25) == 17


def test_it_is_calm_a_while_after_a_fault() -> None:
    assert Conditions([FREEZE]).calm_s(8, 20 + RETURN_S + 1) == 3


async def test_a_machine_that_stands_still_is_noticed() -> None:
    pulse = Pulse()
    async with pulse.beating(), asyncio.timeout(10):
        while not pulse.stalls:
            time.sleep(4 * BEAT_S)  # noqa: ASYNC251 - nothing else gets to run meanwhile
            await asyncio.sleep(0)
    stall = pulse.stalls[0]
    assert stall.end - stall.begin > 2 * BEAT_S
