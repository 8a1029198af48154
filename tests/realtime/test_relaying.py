"""How long locations are under way: one observation for all of a turn."""

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


def test_what_was_delivered_in_a_turn_is_observed_together_and_once() -> None:
    observed = Observed()
    observed.relay.shown[now()] += 3
    for _ in range(2):
        observed.relay.sent(time.perf_counter() - 1)
    assert observed.count(LOCAL) == 3
    assert 3 <= observed.seconds(LOCAL) < 60


def test_what_was_received_in_the_turn_took_as_long_as_the_turn_and_no_millisecond_more() -> None:
    observed = Observed()
    began = time.perf_counter()
    observed.relay.shown[now()] += 1
    observed.relay.sent(began)
    assert 0 < observed.seconds(LOCAL) <= time.perf_counter() - began


def test_what_was_held_back_counts_from_its_receipt() -> None:
    observed = Observed()
    observed.relay.shown[now() - 4_000] += 1
    observed.relay.shown[now()] += 1
    observed.relay.sent(time.perf_counter())
    assert observed.count(LOCAL) == 2
    assert 4 <= observed.seconds(LOCAL) < 60


def test_a_turn_without_locations_is_not_observed() -> None:
    observed = Observed()
    observed.relay.sent(time.perf_counter())
    assert observed.count(LOCAL) == observed.count(BUS) == 0


def test_what_another_process_received_counts_from_there() -> None:
    observed = Observed()
    observed.relay.arrived[now() - 2_000] += 1
    observed.relay.arrived[now() - 3_000] += 2
    observed.relay.sent(time.perf_counter())
    assert observed.count(BUS) == 3
    assert 8 <= observed.seconds(BUS) < 60
    assert observed.count(LOCAL) == 0


def test_a_clock_that_is_ahead_makes_no_time_negative() -> None:
    observed = Observed()
    observed.relay.arrived[now() + 60_000] += 1
    observed.relay.sent(time.perf_counter())
    assert observed.seconds(BUS) == 0
    assert observed.count(BUS) == 1


def test_what_polling_clients_get_is_counted_and_not_observed() -> None:
    observed = Observed()
    observed.relay.shown[now()] += 2
    observed.relay.arrived[now()] += 3
    observed.relay.settle(is_leaving=False)
    observed.relay.sent(time.perf_counter())
    assert observed.count(LOCAL) == observed.count(BUS) == 0
    assert observed.relay.deliveries == 5


def test_what_is_about_to_leave_is_left_to_be_observed() -> None:
    observed = Observed()
    observed.relay.shown[now()] += 2
    observed.relay.settle(is_leaving=True)
    observed.relay.sent(time.perf_counter())
    assert observed.count(LOCAL) == observed.relay.deliveries == 2


def test_all_deliveries_are_counted_before_they_are_observed_and_after() -> None:
    observed = Observed()
    observed.relay.shown[now()] += 2
    observed.relay.shown[now() - 500] += 1
    observed.relay.arrived[now()] += 5
    assert observed.relay.deliveries == 8
    observed.relay.sent(time.perf_counter())
    assert observed.relay.deliveries == 8
