"""What goes wrong with points on purpose: each fault alone, and all together."""

from collections import Counter
from random import Random

import pytest

from models.distances import distance_m
from models.points import Point
from realtime.simulation.faults import TELEPORT_M, TUNNEL_S, Disturbance, Faults, parse

SECONDS = 400


def drive(faults: Faults) -> tuple[list[list[Point]], Counter[str]]:
    """What a phone sends in so many seconds, each a point, and what went wrong."""
    happened: Counter[str] = Counter()
    rng = Random(7)  # noqa: S311 - the same in every run, not a secret
    disturbance = Disturbance(faults, rng, happened)
    commands = [
        command for second in range(SECONDS) for command in disturbance.disturb(point(second))
    ]
    held = disturbance.released()
    return commands + ([held] if held else []), happened


def point(second: int) -> Point:
    return Point(lat=52.5, lng=13.4, ts=1_000 * (second + 1), seq=second)


def seqs(commands: list[list[Point]]) -> list[int]:
    return [each.seq for command in commands for each in command]


def off(each: Point) -> float:
    return distance_m(each.lat, each.lng, 52.5, 13.4)


def test_without_faults_every_point_is_sent_as_it_is() -> None:
    commands, happened = drive(Faults())
    assert [len(command) for command in commands] == [1] * SECONDS
    assert seqs(commands) == list(range(SECONDS))
    assert max(off(each) for (each,) in commands) < 0.01
    assert not +happened


def test_a_lost_point_is_never_sent() -> None:
    commands, happened = drive(Faults(loss=0.25))
    assert SECONDS / 8 < happened["loss"] < SECONDS / 2
    assert len(set(seqs(commands))) == SECONDS - happened["loss"]


def test_a_duplicate_is_sent_twice() -> None:
    commands, happened = drive(Faults(duplicate=0.25))
    assert happened["duplicate"] > SECONDS / 8
    assert len(commands) == SECONDS + happened["duplicate"]
    assert sorted(set(seqs(commands))) == list(range(SECONDS))


def test_a_point_out_of_turn_is_sent_after_the_next_one() -> None:
    commands, happened = drive(Faults(reorder=0.25))
    sent = seqs(commands)
    assert sorted(sent) == list(range(SECONDS))
    assert happened["reorder"] > SECONDS / 8
    assert {place - seq for place, seq in enumerate(sent)} == {-1, 0, 1}


def test_what_is_measured_in_a_tunnel_comes_as_one_list_at_its_end() -> None:
    commands, happened = drive(Faults(tunnel=0.02))
    assert seqs(commands) == list(range(SECONDS))
    lists = [command for command in commands if len(command) > 1]
    assert 0 < len(lists) == happened["tunnel"]
    assert all(TUNNEL_S[0] < len(points) <= TUNNEL_S[1] + 2 for points in lists[:-1])


def test_jitter_and_teleports_move_points() -> None:
    commands, _ = drive(Faults(jitter=10))
    mean = sum(off(each) for (each,) in commands) / SECONDS
    assert mean == pytest.approx(12.5, rel=0.15)
    commands, happened = drive(Faults(teleport=0.25))
    away = [off(each) for (each,) in commands if off(each) > 1]
    assert len(away) == happened["teleport"]
    assert 0.95 * TELEPORT_M[0] < min(away) < max(away) < 1.05 * TELEPORT_M[1]


def test_together_they_lose_nothing_but_what_is_lost() -> None:
    commands, happened = drive(Faults(0.1, 10, 0.1, 0.1, 0.1, 0.02))
    assert len(set(seqs(commands))) == SECONDS - happened["loss"]
    assert len(seqs(commands)) == SECONDS - happened["loss"] + happened["duplicate"]


def test_faults_are_read_from_a_command_line() -> None:
    assert parse("loss=0.05, jitter=10,tunnel=1") == Faults(loss=0.05, jitter=10, tunnel=1)


@pytest.mark.parametrize("text", ["", "rain=1", "loss", "loss=x", "loss=1.1", "loss=nan"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(text)
    with pytest.raises(ValueError, match="expected"):
        parse("loss=0,loss=0")
