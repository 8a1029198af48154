"""The verdict: good only when nothing is wrong, and otherwise it says what."""

import math

import pytest

from realtime.simulation.lag import Lag
from realtime.simulation.record import RideRecord
from realtime.simulation.report import percentile, table, verdict
from realtime.simulation.tally import Tally


def tally() -> Tally:
    """One finished ride with a location that was heard."""
    done = Tally()
    record = RideRecord("rita", "dan")
    record.relay.begin()
    record.relay.resume("driver", 0)
    record.relay.resume("rider", 0)
    record.relay.send(100, 1.0)
    record.relay.hear(100, 1.002)
    record.is_finished = True
    done.rides.append(record)
    return done


def test_all_is_well_when_nothing_is_wrong() -> None:
    assert tally().problems() == []
    assert verdict(tally()).startswith("All is well: 1 ride finished")
    assert "locations                  1             1             0" in table(tally(), Lag())


def test_without_a_finished_ride_nothing_was_shown() -> None:
    assert verdict(Tally()) == "NOT GOOD: no ride was finished."


def test_a_lost_location_is_not_good() -> None:
    bad = tally()
    bad.rides[0].relay.send(200, 2.0)
    bad.rides[0].relay.end(20)
    assert verdict(bad) == "NOT GOOD: locations lost: 1."


def test_a_location_after_the_end_is_not_good() -> None:
    bad = tally()
    bad.rides[0].relay.after_end += 1
    assert verdict(bad) == "NOT GOOD: locations after the ride's end: 1."


def test_an_unfinished_ride_is_not_good() -> None:
    bad = tally()
    bad.rides.append(RideRecord("rita", "dan"))
    assert verdict(bad) == "NOT GOOD: rides not finished: 1."


def test_an_unexpected_error_is_not_good_and_a_cured_one_is_only_told() -> None:
    bad = tally()
    bad.put_off["chat:send: unavailable"] += 1
    assert bad.problems() == []
    bad.errors["trip:offer: forbidden"] += 2
    assert verdict(bad) == "NOT GOOD: trip:offer: forbidden (2 times)."
    assert "chat:send: unavailable" in table(bad, Lag())


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_percentiles_are_values_that_were_measured(share: float, value: int) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value


def test_of_nothing_there_is_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
