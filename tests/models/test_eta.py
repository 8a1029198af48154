"""How far it still is, for whom, and when that is worth telling."""

import pytest

from models.eta import (
    FASTEST_MPS,
    FIRST_MPS,
    SLOWEST_MPS,
    Destination,
    Plan,
    Spot,
    estimated,
    is_noticeable,
    mean_speed,
    plan_of,
    straight_m,
)
from models.points import Place
from models.trips import Status

PICKUP, STOP, DROPOFF = Place(0, 0), Place(0, 0.01), Place(0, 0.02)
DEGREE_M = 111_195


@pytest.mark.parametrize("status", list(Status))
def test_a_driver_heads_for_the_pickup_and_then_for_the_dropoff(status: Status) -> None:
    plan = plan_of(status, "dan", PICKUP, DROPOFF, (STOP,))
    if status in (Status.ACCEPTED, Status.ARRIVING):
        assert plan == Plan("dan", Destination.PICKUP, PICKUP)
    elif status is Status.IN_PROGRESS:
        assert plan == Plan("dan", Destination.DROPOFF, DROPOFF, (STOP,))
    else:
        assert plan is None


def test_without_a_driver_or_a_dropoff_there_is_nothing_to_head_for() -> None:
    assert plan_of(Status.ACCEPTED, None, PICKUP, DROPOFF, ()) is None
    assert plan_of(Status.IN_PROGRESS, "dan", PICKUP, None, (STOP,)) is None


def test_a_way_leads_from_place_to_place() -> None:
    there_and_back = (Spot(0, 0, 1), STOP, Place(0, -0.01))
    assert straight_m(there_and_back) == pytest.approx(0.03 * DEGREE_M, rel=1e-3)
    assert straight_m((Spot(0, 179.99, 1), Place(0, -179.99))) == pytest.approx(2_224, rel=1e-3)


def test_a_time_is_that_of_a_longer_way_at_a_speed_that_can_be() -> None:
    assert estimated(1_000, 10).duration_s == pytest.approx(130)
    assert estimated(1_000, 0) == estimated(1_000, SLOWEST_MPS)
    assert estimated(1_000, 99) == estimated(1_000, FASTEST_MPS)
    assert estimated(0, 0).duration_s == 0


def test_the_mean_speed_follows_the_driver() -> None:
    north = 10 / DEGREE_M
    mean = FIRST_MPS
    for second in range(300):
        mean = mean_speed(
            mean,
            Spot(second * north, 0, second * 1_000),
            Spot((second + 1) * north, 0, (second + 1) * 1_000),
        )
    assert mean == pytest.approx(10, rel=0.01)
    waiting = mean_speed(mean, Spot(0, 0, 0), Spot(0, 0, 60_000))
    assert waiting == pytest.approx(mean / 2.718, rel=0.01)
    assert mean_speed(mean, Spot(0, 0, 5), Spot(1, 1, 5)) == mean


@pytest.mark.parametrize(
    ("told", "now", "noticeable"),
    [
        *((600, 586, False), (600, 585, True), (600, 615, True)),
        *((60, 55, False), (60, 54, True), (0, 14, False), (0, 15, True)),
    ],
)
def test_a_change_is_noticed_from_15_s_or_a_tenth_on(
    told: float, now: float, noticeable: bool
) -> None:
    assert is_noticeable(told, now) is noticeable
