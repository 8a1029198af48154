"""Recorded traces: what is a ride in them, and what a receiver's errors do to it."""

import gzip
import os
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from realtime.simulation import traces
from realtime.simulation.course import Course
from realtime.simulation.ground import distance_m
from realtime.simulation.traces import MAX_SPEED, TracedRide, TraceError, Traces

CABS = Path(__file__).resolve().parents[4] / "shared" / "data" / "cabs"

Line = tuple[float, int, int]
"""Latitude, occupied, seconds. 0.001 of a degree is 111 m."""

RIDE: list[Line] = [
    (37.000, 0, 1000),
    (37.001, 0, 1050),
    (37.002, 1, 1100),
    (37.005, 1, 1160),
    (37.008, 1, 1220),
    (37.009, 0, 1280),
]


def trace(tmp_path: Path, lines: list[Line], name: str = "cab.txt") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"{lat:.5f} -122.40000 {on} {at_s}\n" for lat, on, at_s in lines))
    return path


def rides(tmp_path: Path, lines: list[Line]) -> list[TracedRide]:
    return list(traces.rides_of(traces.read(trace(tmp_path, lines))))


def test_a_ride_is_a_run_of_occupied_fixes(tmp_path: Path) -> None:
    [ride] = rides(tmp_path, RIDE)
    assert (ride.pickup_s, ride.course.end_s) == (1100, 1220)
    assert ride.course.at(1130).lat == pytest.approx(37.0035)
    assert ride.course.at(1130).speed == pytest.approx(333.6 / 60, rel=0.01)


def test_a_ride_is_driven_in_its_own_time_with_a_short_approach(tmp_path: Path) -> None:
    [ride] = rides(tmp_path, RIDE)
    journey = ride.journey(600)
    assert journey.drive.duration_s == 120
    assert (journey.approach.start_s, journey.approach.end_s) == (1090, 1100)
    assert journey.approach.at(1100).lat == journey.drive.at(1100).lat


def test_a_ride_that_is_too_long_is_driven_over_its_last_part(tmp_path: Path) -> None:
    [ride] = rides(tmp_path, RIDE)
    journey = ride.journey(40)
    assert (journey.approach.start_s, journey.drive.start_s) == (1180, 1190)
    assert journey.drive.end_s == 1220


def test_of_fixes_in_the_same_second_the_first_counts(tmp_path: Path) -> None:
    doubled = [*RIDE[:4], (37.0099, 1, 1160), *RIDE[4:]]
    [ride] = rides(tmp_path, doubled)
    assert ride.course.at(1160).lat == 37.005
    assert ride.course.end_s == 1220


@pytest.mark.parametrize(
    "break_", [(38.5, 1, 1165), (37.0055, 1, 1160 + traces.GAP_S + 1)], ids=["jump", "gap"]
)
def test_at_a_jump_or_a_gap_a_ride_is_cut(tmp_path: Path, break_: Line) -> None:
    after: list[Line] = [(37.006, 1, 2000), (37.009, 1, 2060), (37.012, 1, 2120)]
    first, second = rides(tmp_path, [*RIDE[:4], break_, *after])
    assert first.course.end_s == 1160
    assert (second.pickup_s, second.course.start_s, second.course.end_s) == (2000, 2000, 2120)


def test_without_a_recorded_approach_the_driver_waits_at_the_pick_up(tmp_path: Path) -> None:
    [ride] = rides(tmp_path, RIDE[2:])
    journey = ride.journey(600)
    assert journey.approach.duration_s == 0
    assert journey.drive.duration_s == 120


def test_a_switch_that_was_touched_is_no_ride(tmp_path: Path) -> None:
    short: list[Line] = [(37.0, 0, 1000), (37.001, 1, 1030), (37.002, 0, 1060)]
    standing: list[Line] = [(37.0, 1, 2000 + 60 * minute) for minute in range(10)]
    assert rides(tmp_path, [*short, *standing]) == []


def test_gzipped_traces_are_read_too(tmp_path: Path) -> None:
    plain = trace(tmp_path, RIDE)
    zipped = tmp_path / "cab.txt.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert traces.read(zipped) == traces.read(plain)


def test_drivers_who_share_traces_take_different_rides(tmp_path: Path) -> None:
    later = [(lat, on, at_s + 5000) for lat, on, at_s in RIDE]
    shared = Traces(rides(tmp_path, [*RIDE, *later]), Random(1))  # noqa: S311 - not a secret
    starts = {shared.next(600).drive.start_s for _ in range(2)}
    assert starts == {1100, 6100}
    assert shared.next(600).drive.start_s in starts


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = trace(tmp_path, RIDE)
    path.write_text(path.read_text() + "37.0 -122.4 1\n")
    with pytest.raises(TraceError, match=r"cab\.txt, line 7: expected latitude"):
        traces.read(path)


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        traces.load([tmp_path / "missing.txt"])
    with pytest.raises(TraceError, match="no ride"):
        traces.load([trace(tmp_path, RIDE[:2])])


def test_real_taxis_drive_plausibly() -> None:
    if not CABS.is_dir() and os.environ.get("CI") != "true":
        pytest.skip(f"the recorded taxis are not there ({CABS})")
    loaded = traces.load(sorted(CABS.glob("*.gz")))
    assert len(loaded) > 500
    for ride in loaded:
        journey = ride.journey(120)
        assert 30 <= journey.drive.duration_s <= 120
        assert journey.approach.duration_s + journey.drive.duration_s <= 120
        assert fastest(journey.drive) <= MAX_SPEED


def fastest(course: Course) -> float:
    fixes = [course.at(course.start_s + second) for second in range(int(course.duration_s))]
    return max(distance_m(a.lat, a.lng, b.lat, b.lng) for a, b in pairwise(fixes))
