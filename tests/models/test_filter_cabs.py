"""The filter with two real taxis, and docs/locations.md, which tells of it."""

from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import pytest

from docs.plot_tracks import PICTURE, picture
from models.distances import distance_m
from models.filter import DEFAULT_LIMITS, Refusal
from tests.docs.markdown import Document
from tests.models.cabs import FOLDER, TAXIS, Jump, replay

DOCUMENT = Document("docs/locations.md")
SECTION = "Two real taxis"

replayed = cache(replay)


@pytest.mark.parametrize(
    ("taxi", "implausible"), [("new_abboip", 62), ("new_ugthfu", 61)], ids=TAXIS
)
def test_so_many_fixes_are_refused(taxi: str, implausible: int) -> None:
    assert replayed(taxi).refused == {"implausible": implausible}


@pytest.mark.parametrize("taxi", TAXIS)
def test_each_fix_is_accepted_or_refused(taxi: str) -> None:
    ride = replayed(taxi)
    assert len(ride.accepted) + ride.refused.total() == len(ride.sent)
    times = [point.ts for point in ride.accepted]
    assert times == sorted(set(times))


@pytest.mark.parametrize("taxi", TAXIS)
def test_hardly_any_accepted_fix_cannot_follow_the_one_before(taxi: str) -> None:
    """What is left: points that end a doubt, by the rules."""
    left = [
        (a, b)
        for a, b in pairwise(replayed(taxi).accepted)
        if distance_m(a.lat, a.lng, b.lat, b.lng)
        > DEFAULT_LIMITS.max_speed_mps * (b.ts - a.ts) / 1_000 + 50
    ]
    assert len(left) <= 15


@pytest.mark.parametrize("taxi", TAXIS)
def test_the_document_counts_what_is_refused_and_why(taxi: str) -> None:
    ride = replayed(taxi)
    [row] = [row for row in _table("Accepted") if row["Taxi"] == taxi]
    counts = {
        column: int(cell.replace(",", "")) for column, cell in row.items() if column != "Taxi"
    }
    assert counts == {
        "Fixes": len(ride.sent),
        "Accepted": len(ride.accepted),
        **{reason.value: ride.refused[reason.value] for reason in Refusal},
        "Jumps": len(ride.jumps),
    }


@pytest.mark.parametrize("taxi", TAXIS)
def test_the_document_lists_and_judges_every_jump(taxi: str) -> None:
    rows = [row for row in _table("Judged") if row["Taxi"] == taxi]
    assert all(row.pop("Judged") for row in rows)
    assert rows == [_row(taxi, jump) for jump in replayed(taxi).jumps]


@pytest.mark.parametrize("taxi", TAXIS)
def test_every_refused_fix_is_part_of_a_jump(taxi: str) -> None:
    ride = replayed(taxi)
    assert sum(len(jump.refused) for jump in ride.jumps) == ride.refused.total()


def test_the_picture_is_of_these_tracks() -> None:
    assert all(replayed(taxi).sent for taxi in TAXIS)
    assert PICTURE.read_text("utf-8") == picture(FOLDER)


def _table(column: str) -> list[dict[str, str]]:
    return DOCUMENT.table_of(SECTION, column)


def _row(taxi: str, jump: Jump) -> dict[str, str]:
    first = jump.refused[0]
    return {
        "Taxi": taxi,
        "Time (UTC)": f"{datetime.fromtimestamp(first.ts / 1_000, UTC):%Y-%m-%d %H:%M:%S}",
        "Place": f"{first.lat}, {first.lng}",
        "Fixes": f"{len(jump.refused)}",
        "Away": f"{jump.metres:,} m in {jump.seconds} s",
        "Speed": f"{round(jump.metres / jump.seconds):,} m/s",
        "Detour": f"{jump.detour:.1f}",
    }
