"""Every event has one room: no two subjects share one."""

from itertools import product

from models import rooms


def test_no_two_subjects_share_a_room() -> None:
    ids = ["a", "trip:a", "live:a", "a:b", ":"]
    kinds = [rooms.trip, rooms.live, rooms.chat, rooms.user]
    assert len({kind(subject) for kind, subject in product(kinds, ids)}) == len(kinds) * len(ids)


def test_a_rooms_subject_is_what_follows_its_kind() -> None:
    assert rooms.chat("a:b").partition(":")[2] == "a:b"
    assert rooms.user("driver:dan").partition(":")[2] == "driver:dan"
