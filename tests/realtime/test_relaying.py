"""How long locations are under way: one observation for all of a turn."""

import asyncio
import time

from prometheus_client import CollectorRegistry

from realtime.counting import Spread
from realtime.relaying import BUS, LOCAL, Relay


class Observed:
    def __init__(self) -> None:
        spread = Spread("relay", "Seconds.", "origin")
        self.relay = Relay(spread)
        self._registry = CollectorRegistry()
        self._registry.register(spread)

    def count(self, origin: str) -> float:
        return self._registry.get_sample_value("relay_count", {"origin": origin}) or 0

    def seconds(self, origin: str) -> float:
        return self._registry.get_sample_value("relay_sum", {"origin": origin}) or 0


def now() -> int:
    """As the server's clock tells it."""
    return time.time_ns() // 1_000_000


async def test_what_was_delivered_in_a_turn_is_observed_together_and_once() -> None:
    observed = Observed()
    observed.relay.shown(now(), 3)
    time.sleep(0.01)  # noqa: ASYNC251 - the turn is to last
    for _ in range(2):
        await asyncio.sleep(0)
    assert observed.count(LOCAL) == 3
    assert 0.03 <= observed.seconds(LOCAL) < 60


async def test_what_was_received_in_the_turn_took_as_long_as_the_turn_and_no_millisecond_more() -> (
    None
):
    observed = Observed()
    began = time.perf_counter()
    observed.relay.shown(now(), 1)
    await asyncio.sleep(0)
    assert 0 < observed.seconds(LOCAL) <= time.perf_counter() - began


async def test_what_was_held_back_counts_from_its_receipt() -> None:
    observed = Observed()
    observed.relay.shown(now() - 4_000, 1)
    observed.relay.shown(now(), 1)
    await asyncio.sleep(0)
    assert observed.count(LOCAL) == 2
    assert 4 <= observed.seconds(LOCAL) < 60


async def test_what_another_process_received_counts_from_there() -> None:
    observed = Observed()
    observed.relay.arrived(now() - 2_000, 1)
    observed.relay.arrived(now() - 3_000, 2)
    await asyncio.sleep(0)
    assert observed.count(BUS) == 3
    assert 8 <= observed.seconds(BUS) < 60
    assert observed.count(LOCAL) == 0


async def test_a_clock_that_is_ahead_makes_no_time_negative() -> None:
    observed = Observed()
    observed.relay.arrived(now() + 60_000, 1)
    await asyncio.sleep(0)
    assert observed.seconds(BUS) == 0
    assert observed.count(BUS) == 1


async def test_all_deliveries_are_counted_before_they_are_observed_and_after() -> None:
    observed = Observed()
    for _ in range(2):
        before = observed.relay.deliveries
        observed.relay.shown(now(), 2)
        observed.relay.shown(now() - 500, 1)
        observed.relay.arrived(now(), 5)
        assert observed.relay.deliveries == before + 8
        await asyncio.sleep(0)
        assert observed.relay.deliveries == before + 8
