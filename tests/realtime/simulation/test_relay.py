"""The locations of a ride: which are lost, and which need not be heard."""

import pytest

from realtime.simulation.relay import HEARD_WITHIN_S, Relay

LATE_S = HEARD_WITHIN_S + 0.5


def served() -> Relay:
    """A ride with its driver, and a rider who looks, at 0 s."""
    relay = Relay()
    relay.begin()
    relay.resume("driver", 0)
    relay.resume("rider", 0)
    return relay


def counts(relay: Relay) -> dict[str, int]:
    names = ("sent", "heard", "overtaken", "lost", "not_due", "doubled", "out_of_order", "foreign")
    return {name: value for name in names if (value := getattr(relay, name))}


def test_a_location_that_is_heard_has_a_latency() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.hear(100, 1.25)
    relay.end(9)
    assert counts(relay) == {"sent": 1, "heard": 1}
    assert relay.latencies_s == [0.25]


def test_a_location_that_is_not_heard_is_lost() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.end(1 + LATE_S)
    assert counts(relay) == {"sent": 1, "lost": 1}


def test_a_location_that_is_late_is_lost_and_its_latency_counts() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.hear(100, 1 + LATE_S)
    assert counts(relay) == {"sent": 1, "heard": 1, "lost": 1}
    assert relay.latencies_s == [LATE_S]


def test_a_location_that_a_newer_one_overtook_is_not_lost() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.send(200, 1.5)
    relay.hear(200, 1.6)
    relay.end(9)
    assert counts(relay) == {"sent": 2, "heard": 1, "overtaken": 1}


def test_a_newer_one_that_comes_too_late_does_not_save_the_older() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.send(200, 2.0)
    relay.hear(200, 1 + LATE_S)
    assert counts(relay) == {"sent": 2, "heard": 1, "lost": 1}


def test_what_is_on_its_way_when_the_ride_ends_is_not_due() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.end(1.5)
    relay.send(200, 1.6)
    assert counts(relay) == {"sent": 2, "not_due": 2}


def test_what_was_sent_before_the_ride_was_accepted_is_not_due() -> None:
    relay = Relay()
    relay.send(100, 1.0)
    relay.begin()
    relay.resume("driver", 1.1)
    relay.resume("rider", 1.1)
    relay.end(9)
    assert counts(relay) == {"sent": 1, "not_due": 1}


def test_not_due_and_heard_nevertheless_is_heard() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.end(1.5)
    relay.hear(100, 1.6)
    assert counts(relay) == {"sent": 1, "heard": 1}


def test_a_location_that_comes_twice_is_doubled() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.hear(100, 1.1)
    relay.hear(100, 1.2)
    assert counts(relay) == {"sent": 1, "heard": 1, "doubled": 1}


def test_an_older_location_after_a_newer_one_is_out_of_order() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.send(200, 1.1)
    relay.hear(200, 1.2)
    relay.hear(100, 1.3)
    assert counts(relay) == {"sent": 2, "heard": 1, "overtaken": 1, "out_of_order": 1}


def test_a_location_that_nobody_sent_is_foreign() -> None:
    relay = served()
    relay.hear(100, 1.0)
    assert counts(relay) == {"foreign": 1}


def test_a_location_from_before_the_ride_may_be_heard_but_need_not() -> None:
    relay = served()
    relay.note_earlier([50, 60])
    relay.hear(60, 0.1)
    assert counts(relay) == {}
    relay.hear(50, 0.2)
    assert counts(relay) == {"out_of_order": 1}


def test_the_newest_location_of_a_snapshot_makes_up_for_what_was_missed() -> None:
    relay = served()
    relay.interrupt("rider", 0.5)
    relay.send(100, 1.0)
    relay.send(200, 2.0)
    relay.read(200, 7.0)
    relay.resume("rider", 7.0)
    relay.end(20)
    assert counts(relay) == {"sent": 2, "overtaken": 2}


def test_what_a_snapshot_contained_may_not_come_again() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.read(100, 1.1)
    relay.hear(100, 1.2)
    assert relay.doubled == 1


@pytest.mark.parametrize("end", ["driver", "rider"])
def test_after_a_break_a_location_has_its_time_once_more_and_then_is_lost(end: str) -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.interrupt(end, 1.5)  # type: ignore[arg-type]
    relay.resume(end, 60)  # type: ignore[arg-type]
    relay.hear(100, 60.5)
    assert counts(relay) == {"sent": 1, "heard": 1}
    assert relay.latencies_s == []

    relay.send(200, 61)
    relay.interrupt(end, 61.5)  # type: ignore[arg-type]
    relay.resume(end, 70)  # type: ignore[arg-type]
    relay.end(70 + LATE_S)
    assert relay.lost == 1


def test_what_was_lost_before_a_break_stays_lost() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.interrupt("rider", 1 + LATE_S)
    assert relay.lost == 1


def test_a_location_that_is_sent_again_is_one() -> None:
    relay = served()
    relay.send(100, 1.0)
    relay.send(100, 1.5)
    relay.hear(100, 1.6)
    assert counts(relay) == {"sent": 1, "heard": 1}


def test_what_the_server_refused_need_not_arrive() -> None:
    relay = served()
    for ts in (1, 2):
        relay.send(ts, 0)
    relay.refuse([1, 99])
    relay.hear(2, 1)
    relay.end(10)
    assert counts(relay) == {"sent": 2, "heard": 1, "not_due": 1}
