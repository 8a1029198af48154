"""A run of a plan: each contestant is started, put under its load and ended, in turn."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from statistics import median
from typing import Final

import msgspec
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from bench import servers
from bench.figures import RATE
from bench.plan import Contestant, Plan, Row
from bench.results import Measured
from bench.shapes import Outcome, Target, Task

LIMIT_S: Final = 150.0
"""For one load in all, beside the time that is measured: what takes longer is broken off."""
GIVEN_UP: Final = "not tried again, for all rounds before were spoiled"
ATTEMPTS: Final = 2
"""Rounds of a row, all of them spoiled, after which others than Ridewire are not tried again."""


class LoadFailed(Exception):
    """The load generator gave no outcome. The message says why."""


async def run(plan: Plan) -> AsyncIterator[Measured]:
    """Each round as it is over. Every row has stores of its own, started empty."""
    earlier: list[Measured] = []
    for row in plan.rows:
        rate = half_rate(row, earlier)
        async with servers.stores() as stores:
            for number in range(1, plan.rounds + 1):
                for contestant in in_turn(row, number):
                    if has_given_up(row, contestant, earlier):
                        measured = Measured(row.name, contestant, number, failure=GIVEN_UP)
                    else:
                        measured = await _measure(row, contestant, number, rate, stores)
                    earlier.append(measured)
                    yield measured


def in_turn(row: Row, number: int) -> tuple[Contestant, ...]:
    """Who is measured when: everybody is first, last and after each other one now and then."""
    first = (number - 1) % len(row.contestants)
    return row.contestants[first:] + row.contestants[:first]


def has_given_up(row: Row, contestant: Contestant, earlier: Iterable[Measured]) -> bool:
    """Whether a contestant has shown that it does not carry a row's load."""
    own = [m.spoiled for m in earlier if (m.row, m.contestant) == (row.name, contestant)]
    return contestant is not Contestant.RIDEWIRE and len(own) >= ATTEMPTS and all(own)


def half_rate(row: Row, earlier: Sequence[Measured]) -> float:
    """Half of what the slowest of a row's contestants carried a second in an earlier row.

    0 where the row is not paced, and where one of them has no round there that counts.
    """
    if not row.half_of:
        return 0.0
    return min(_rate(row.half_of, contestant, earlier) for contestant in row.contestants) / 2


def _rate(row: str, contestant: Contestant, earlier: Sequence[Measured]) -> float:
    """The median of a contestant's rounds that count; 0 without one."""
    wanted = (row, contestant)
    outcomes = [m.outcome for m in earlier if (m.row, m.contestant) == wanted and not m.spoiled]
    rates = [RATE.of(outcome) or 0.0 for outcome in outcomes if outcome is not None]
    return median(rates) if rates else 0.0


async def _measure(
    row: Row, contestant: Contestant, number: int, rate: float, stores: servers.Stores
) -> Measured:
    if row.half_of and not rate:
        return Measured(row.name, contestant, number, failure=f"{row.half_of} gave no rate")
    try:
        async with servers.contestant(contestant, stores, row.instances) as target:
            outcome = await load(task_of(row, contestant, target, rate), row.seconds + LIMIT_S)
    except (servers.ServerFailed, LoadFailed, RedisError, PyMongoError) as error:
        return Measured(row.name, contestant, number, failure=str(error), rate=rate)
    return Measured(row.name, contestant, number, outcome, rate=rate)


def task_of(row: Row, contestant: Contestant, target: Target, rate: float = 0.0) -> Task:
    clients = row.clients_of(contestant)
    return Task(row.scenario, target, clients, row.seconds, row.warm_up_s, rate, row.in_flight)


async def load(task: Task, limit_s: float) -> Outcome:
    """What the load generator says came of a task. Raises LoadFailed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load"),
        cwd=servers.ROOT,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(limit_s):
            said, complained = await process.communicate(msgspec.json.encode(task))
    except TimeoutError:
        raise LoadFailed(f"broken off after {limit_s:.0f} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        last = complained.decode(errors="replace").strip().rpartition("\n")[2]
        raise LoadFailed(last or "the generator ended early")
    return msgspec.json.decode(said, type=Outcome)
