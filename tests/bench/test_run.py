import sys

import pytest

from bench.plan import Plan, Row
from bench.results import Measured
from bench.run import half_rate, run
from bench.shapes import Scenario
from tests.bench.made_up import NODE, PICOWS, RELAY, RIDEWIRE, STOCK, outcome, rounds

PACED = Row("paced_relay", Scenario.PACED_RELAY, (RIDEWIRE,), 2, 0.2, half_of="relay")


async def measured(*rows: Row, count: int = 1) -> list[Measured]:
    return [one async for one in run(Plan(rows, count))]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="it pins servers to cores")


@on_linux
async def test_everybody_is_measured_in_turn_by_a_load_that_loses_nothing() -> None:
    relay = Row("relay", Scenario.RELAY, (RIDEWIRE, STOCK, PICOWS), 2, 0.2)
    done = await measured(relay, count=2)
    assert [one.spoiled for one in done] == [""] * 6
    first, second = [RIDEWIRE, STOCK, PICOWS], [STOCK, PICOWS, RIDEWIRE]
    assert [one.contestant for one in done] == first + second
    assert [one.round for one in done] == [1, 1, 1, 2, 2, 2]
    for one in done:
        assert one.outcome is not None
        assert one.outcome.cpu_s[0] > 0


@on_linux
async def test_what_nobody_gave_a_rate_for_is_told_and_not_run() -> None:
    [one] = await measured(PACED)
    assert one.spoiled == "relay gave no rate of Node"


def test_a_paced_row_has_half_of_the_median_of_nodes_rounds_that_count() -> None:
    earlier = [
        *rounds(RIDEWIRE, outcome(1)),
        *rounds(NODE, outcome(48), outcome(48, missing=1), outcome(48)),
    ]
    assert half_rate(PACED, earlier) == 1_000


def test_a_row_that_is_not_paced_has_no_rate() -> None:
    assert half_rate(RELAY, rounds(NODE, outcome(48))) == 0
