import sys

import pytest

from bench.plan import Plan, Row
from bench.results import Measured
from bench.run import half_rate, has_given_up, run
from bench.shapes import Outcome, Scenario
from tests.bench.made_up import NODE, PICOWS, RELAY, RIDEWIRE, STOCK, outcome, rounds

PACED = Row("paced_relay", Scenario.PACED_RELAY, (RIDEWIRE, NODE), 2, 0.2, half_of="relay")


async def measured(*rows: Row, count: int = 1) -> list[Measured]:
    return [one async for one in run(Plan(rows, count))]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="it pins servers to cores")


@on_linux
@pytest.mark.usefixtures("on_shared_stores")
async def test_everybody_is_measured_in_turn_by_a_load_that_loses_nothing() -> None:
    relay = Row("relay", Scenario.RELAY, (RIDEWIRE, PICOWS), 2, 0.2)
    done = await measured(relay, count=2)
    assert [one.spoiled for one in done] == [""] * 4
    assert [one.contestant for one in done] == [RIDEWIRE, PICOWS, PICOWS, RIDEWIRE]
    assert [one.round for one in done] == [1, 1, 2, 2]
    for one in done:
        assert one.outcome is not None
        assert one.outcome.cpu_s[0] > 0


@on_linux
@pytest.mark.usefixtures("on_shared_stores")
async def test_what_nobody_gave_a_rate_for_is_told_and_not_run() -> None:
    assert [one.spoiled for one in await measured(PACED)] == ["relay gave no rate"] * 2


def at(rate: float, *, missing: int = 0) -> Outcome:
    """A round in which so many events came a second."""
    return Outcome(events=1_000, seconds=1_000 / rate, cpu_s=(0.1,), missing=missing)


def test_a_paced_row_has_half_of_the_slowest_ones_median_of_rounds_that_count() -> None:
    earlier = [
        *rounds(RIDEWIRE, at(5_000)),
        *rounds(NODE, at(2_000), at(100, missing=1), at(2_400)),
        *rounds(STOCK, at(10)),
    ]
    assert half_rate(PACED, earlier) == pytest.approx(1_100)


def test_without_a_rate_of_one_of_its_contestants_a_row_has_none() -> None:
    earlier = [*rounds(RIDEWIRE, at(5_000)), *rounds(NODE, at(2_000, missing=1))]
    assert half_rate(PACED, earlier) == 0


def test_a_row_that_is_not_paced_has_no_rate() -> None:
    assert half_rate(RELAY, rounds(NODE, outcome(48))) == 0


def test_who_spoils_two_rounds_is_not_tried_again() -> None:
    lost = outcome(48, missing=1)
    assert has_given_up(RELAY, STOCK, rounds(STOCK, lost, lost))
    assert not has_given_up(RELAY, STOCK, rounds(STOCK, lost))
    assert not has_given_up(RELAY, STOCK, rounds(STOCK, lost, outcome(48)))
    assert not has_given_up(RELAY, NODE, rounds(STOCK, lost, lost))


def test_ridewire_never_gives_up() -> None:
    lost = outcome(48, missing=1)
    assert not has_given_up(RELAY, RIDEWIRE, rounds(RIDEWIRE, lost, lost, lost))
