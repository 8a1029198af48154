"""How many are let in: so many at once, so many per second, and so many of one address."""

import pytest
from msgspec.structs import replace

from realtime.admission import CROWD, Admission, Room
from realtime.buckets import BURST_S

WIDE = Room(
    connects_per_s=10_000,
    connections=10_000,
    per_address=10_000,
    attempts_per_address_per_s=10_000,
    opening=100,
)
HOME, OTHER = "192.0.2.7", "198.51.100.1"


class Place:
    def __init__(self, room: Room) -> None:
        self.now = 100.0
        self.opening = 0
        self.admission = Admission(room, lambda: self.opening, lambda: self.now)

    def let_in(self, count: int, address: str | None = None) -> int:
        """How many of so many at once are let in."""
        return sum(self.asked(address) is None for _ in range(count))

    def asked(self, address: str | None = None) -> str | None:
        why = self.admission.refuse(address)
        if why is None:
            self.admission.entered(address)
        return why


def test_a_second_s_worth_comes_in_at_once_and_no_more() -> None:
    place = Place(replace(WIDE, connects_per_s=10))
    assert place.let_in(50) == 10
    assert place.asked() == CROWD


def test_as_time_goes_by_others_may_come() -> None:
    place = Place(replace(WIDE, connects_per_s=10))
    place.let_in(50)
    place.now += 0.25
    assert place.let_in(50) == 2
    place.now += 0.125
    assert place.let_in(50) == 1


def test_who_waited_long_is_no_larger_crowd() -> None:
    place = Place(replace(WIDE, connects_per_s=10))
    place.now += 3_600
    assert place.let_in(50) == 10


def test_nobody_comes_in_while_too_many_are_being_opened() -> None:
    place = Place(WIDE)
    place.opening = WIDE.opening
    assert place.let_in(5) == 0
    place.opening -= 1
    assert place.let_in(5) == 5


def test_who_leaves_makes_room(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(replace(WIDE, connections=3))
    assert place.let_in(5, HOME) == 3
    assert place.asked(OTHER) == "the server is full"
    assert "raise MAX_CONNECTIONS" in caplog.text
    place.admission.left(HOME)
    assert place.let_in(5, OTHER) == 1


def test_an_address_has_so_many_and_the_operator_is_told_what_it_may_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(replace(WIDE, per_address=3))
    assert place.let_in(5, HOME) == 3
    assert place.let_in(5, OTHER) == 3
    assert place.let_in(5, None) == 5
    assert "name it in FORWARDED_ALLOW_IPS" in caplog.text
    place.admission.left(HOME)
    assert place.let_in(5, HOME) == 1


def test_an_address_tries_so_often_whatever_becomes_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(replace(WIDE, attempts_per_address_per_s=1, per_address=1))
    assert place.let_in(1, HOME) == 1
    whys = [place.asked(HOME) for _ in range(BURST_S)]
    assert whys[:-1] == ["too many connections from one address"] * (BURST_S - 1)
    assert whys[-1] == "too many attempts from one address"
    assert "FORWARDED_ALLOW_IPS; else ATTEMPTS_PER_ADDRESS_PER_S" in caplog.text
    assert place.let_in(1, OTHER) == 1
    assert place.let_in(50, None) == 50


def test_refused_attempts_take_nothing_from_the_others() -> None:
    place = Place(replace(WIDE, connects_per_s=10, attempts_per_address_per_s=1, per_address=5))
    assert place.let_in(1_000, HOME) == 5
    assert place.let_in(50, OTHER) == 5


def test_addresses_are_forgotten_with_their_connections() -> None:
    place = Place(WIDE)
    for number in range(100):
        address = f"192.0.2.{number}"
        assert place.asked(address) is None
        place.admission.left(address)
    assert vars(place.admission)["_from"] == {}
