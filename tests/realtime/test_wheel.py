"""Everybody is visited once at each of their times, by one timer, whatever the others do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random

import pytest

from realtime.wheel import Wheel
from tests.clients import WAIT_S

TICK_S = 0.25


class Log:
    """A wheel's visits: who, and when. It comes again after `every_s`, where that is set."""

    def __init__(self) -> None:
        self.wheel: Wheel[str] = Wheel(TICK_S, self.visit)
        self.visits: list[tuple[str, float]] = []
        self.every_s: float | None = None

    def visit(self, member: str, now: float) -> float | None:
        self.visits.append((member, now))
        return None if self.every_s is None else now + self.every_s

    def turn(self, to: float, since: float = 0.0) -> list[str]:
        """Turn the wheel tick by tick; who was visited."""
        self.visits.clear()
        for tick in range(int(since / TICK_S), int(to / TICK_S) + 1):
            self.wheel.turn(tick * TICK_S)
        return [member for member, _ in self.visits]


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    log = Log()
    yield log
    log.wheel.stop()


@pytest.fixture
async def start() -> float:
    """A time on which the wheel has not turned yet, and its own timer will not within the test."""
    return asyncio.get_running_loop().time() + 1_000


async def test_a_member_is_visited_within_a_tick_of_its_time_and_not_before(
    log: Log, start: float
) -> None:
    chance = Random(1)  # noqa: S311 - the same times for the same seed
    times = {str(number): start + chance.random() * 100 for number in range(1_000)}
    for member, when in times.items():
        log.wheel.add(member, when)
    visited = log.turn(start + 101, start)
    assert sorted(visited) == sorted(times)
    for member, now in log.visits:
        assert times[member] <= now <= times[member] + TICK_S
    assert len(log.wheel) == 0


async def test_a_member_is_visited_again_when_it_says_so(log: Log, start: float) -> None:
    log.every_s = 2.0
    log.wheel.add("a", start)
    assert log.turn(start + 20, start) == ["a"] * 9
    times = [now for _, now in log.visits]
    assert all(2.0 <= later - now <= 2.0 + TICK_S for now, later in pairwise(times))


async def test_a_time_that_is_past_is_the_next_tick(log: Log, start: float) -> None:
    log.every_s = -1_000.0
    log.wheel.add("a", start - 500)
    log.wheel.turn(start)
    assert log.visits == [("a", start)]
    log.wheel.turn(start + TICK_S)
    assert len(log.visits) == 2


async def test_a_member_has_one_time_only(log: Log, start: float) -> None:
    log.wheel.add("a", start + 1)
    log.wheel.add("a", start + 10)
    assert len(log.wheel) == 1
    assert log.turn(start + 5, start) == []
    assert log.turn(start + 11, start + 5) == ["a"]
    log.wheel.add("a", start + 30)
    log.wheel.add("a", start + 20)
    assert log.turn(start + 21, start + 11) == ["a"]
    assert log.turn(start + 31, start + 21) == []


async def test_who_was_removed_is_visited_no_more(log: Log, start: float) -> None:
    log.wheel.add("a", start + 1)
    log.wheel.add("b", start + 1)
    log.wheel.remove("a")
    log.wheel.remove("a")
    log.wheel.remove("nobody")
    assert log.turn(start + 5, start) == ["b"]


async def test_a_wheel_that_stood_still_visits_everybody_once(log: Log, start: float) -> None:
    log.every_s = 1.0
    for number in range(100):
        log.wheel.add(str(number), start + number / 10)
    log.wheel.turn(start + 3_600)
    assert len(log.visits) == len(log.wheel) == 100
    assert len({member for member, _ in log.visits}) == 100


async def test_a_visit_may_remove_and_move_whom_it_likes(start: float) -> None:
    visits: list[str] = []

    def visit(member: str, now: float) -> None:
        visits.append(member)
        other = "b" if member == "a" else "a"
        wheel.remove("gone")
        wheel.add(other, now + 10)
        wheel.add("new", now - 10)

    wheel: Wheel[str] = Wheel(TICK_S, visit)
    for member in ("a", "b"):
        wheel.add(member, start)
    wheel.add("gone", start + 1)
    wheel.turn(start + 2 * TICK_S)
    assert visits in (["a"], ["b"]), "who came first has moved the other"
    wheel.turn(start + 3 * TICK_S)
    assert visits[1] == "new"
    assert "gone" not in visits
    wheel.stop()


async def test_a_visit_that_fails_is_logged_and_costs_nobody_else_a_visit(
    start: float, caplog: pytest.LogCaptureFixture
) -> None:
    visits: list[str] = []

    def visit(member: str, _now: float) -> None:
        visits.append(member)
        if member == "broken":
            raise LookupError(member)

    wheel: Wheel[str] = Wheel(TICK_S, visit)
    for member in ("a", "broken", "b"):
        wheel.add(member, start)
    wheel.add("c", start + 5)
    with caplog.at_level(logging.ERROR):
        wheel.turn(start + 10)
    assert sorted(visits) == ["a", "b", "broken", "c"]
    assert "LookupError" in caplog.text
    assert len(wheel) == 0
    wheel.stop()


async def test_the_wheel_turns_by_itself_until_it_is_stopped() -> None:
    loop = asyncio.get_running_loop()
    visited: asyncio.Future[float] = loop.create_future()
    visits: list[str] = []

    def visit(member: str, now: float) -> None:
        visits.append(member)
        if not visited.done():
            visited.set_result(now)

    wheel: Wheel[str] = Wheel(0.005, visit)
    due = loop.time() + 0.02
    wheel.add("a", due)
    assert await asyncio.wait_for(visited, WAIT_S) >= due
    wheel.add("b", loop.time())
    wheel.stop()
    assert len(wheel) == 0
    wheel.turn(loop.time() + 1)
    assert visits == ["a"]


async def test_a_wheel_that_was_stopped_can_be_used_again() -> None:
    loop = asyncio.get_running_loop()
    visited: asyncio.Future[str] = loop.create_future()
    wheel: Wheel[str] = Wheel(0.005, lambda member, _now: visited.set_result(member))
    wheel.add("a", loop.time() + 1_000)
    wheel.stop()
    wheel.stop()
    wheel.add("b", loop.time())
    assert await asyncio.wait_for(visited, WAIT_S) == "b"
    wheel.stop()
