"""Which pieces a trip's track has, and which minutes have their points."""

from models.identity import Identity, Role
from models.points import Place
from models.tracks import FOREVER, MINUTE_MS, Part, Phase, Served, Stint, minutes, parts, stints
from models.trips import Offer, Relation, Status, Trip, moved, offered, requested

NOW = 1_800_000_000_000
ANN = Identity("ann", Role.AGENT, expires_at=NOW * 2)


def trip() -> Trip:
    return requested(
        "t1",
        "rita",
        ANN,
        now=NOW,
        pickup=Place(52.5, 13.4),
        dropoff=None,
        stops=(),
        offer=None,
        pin=None,
        metadata={},
    )


def ride(*moves: tuple[int, str]) -> Trip:
    """A trip moved by staff, each time so many ms after its creation; `accepted:dan` names him."""
    made = trip()
    for after, to in moves:
        status, _, driver_id = to.partition(":")
        made = moved(
            made,
            Status(status),
            ANN,
            Relation.STAFF,
            now=NOW + after,
            driver_id=driver_id or None,
        )
    return made


def test_a_trip_that_nobody_took_has_no_track() -> None:
    assert (parts(trip()), stints(trip())) == ([], [])


def test_a_ride_has_an_approach_and_a_ride_and_its_last_moment_counts() -> None:
    whole = ride(
        (10, "accepted:dan"),
        (20, "arriving"),
        (30, "arrived"),
        (40, "in_progress"),
        (50, "completed"),
    )
    assert parts(whole) == [
        Part("dan", Phase.APPROACH, NOW + 10, NOW + 40),
        Part("dan", Phase.RIDE, NOW + 40, NOW + 51),
    ]
    assert stints(whole) == [Stint("dan", NOW + 10, NOW + 51)]
    assert Served("t1", stints(whole)).has_ended


def test_what_runs_has_no_end() -> None:
    running = ride((10, "accepted:dan"), (20, "arrived"))
    assert stints(running) == [Stint("dan", NOW + 10, FOREVER)]
    assert not Served("t1", stints(running)).has_ended


def test_each_driver_has_its_own_part() -> None:
    handed_on = ride((10, "accepted:dan"), (20, "requested"), (30, "accepted:eve"))
    assert parts(handed_on) == [
        Part("dan", Phase.APPROACH, NOW + 10, NOW + 21),
        Part("eve", Phase.APPROACH, NOW + 30, FOREVER),
    ]


def test_a_driver_who_comes_back_at_once_has_two_stints_and_one_part() -> None:
    back = ride((10, "accepted:dan"), (20, "requested"), (20, "accepted:dan"), (30, "cancelled"))
    assert parts(back) == [Part("dan", Phase.APPROACH, NOW + 10, NOW + 31)]
    assert stints(back) == [Stint("dan", NOW + 10, NOW + 21), Stint("dan", NOW + 20, NOW + 31)]


def test_an_offer_is_no_part_of_a_track() -> None:
    assert parts(offered(trip(), Offer("dan"), ANN, NOW + 5)) == []


def test_the_minutes_of_a_part_are_those_that_it_has_points_in() -> None:
    part = Part("dan", Phase.RIDE, 2 * MINUTE_MS, 4 * MINUTE_MS)
    assert list(minutes(part, FOREVER)) == [2, 3]
    running = Part("dan", Phase.RIDE, 2 * MINUTE_MS)
    assert list(minutes(running, 4 * MINUTE_MS)) == [2, 3, 4]
    assert list(minutes(running, 2 * MINUTE_MS - 1)) == []
