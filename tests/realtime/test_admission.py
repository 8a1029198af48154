"""How many are let in: a second's worth at once, then as many as come free."""

from realtime.admission import MAX_OPENING, Admission


class Place:
    def __init__(self, per_s: float = 10) -> None:
        self.now = 100.0
        self.opening = 0
        self.admission = Admission(per_s, lambda: self.opening, lambda: self.now)

    def let_in(self, count: int) -> int:
        """How many of so many at once are let in."""
        return sum(self.admission.refuse() is None for _ in range(count))


def test_a_second_s_worth_comes_in_at_once_and_no_more() -> None:
    place = Place(per_s=10)
    assert place.let_in(50) == 10
    assert place.let_in(1) == 0


def test_as_time_goes_by_others_may_come() -> None:
    place = Place(per_s=10)
    place.let_in(50)
    place.now += 0.25
    assert place.let_in(50) == 2
    place.now += 0.125
    assert place.let_in(50) == 1


def test_who_waited_long_is_no_larger_crowd() -> None:
    place = Place(per_s=10)
    place.now += 3_600
    assert place.let_in(50) == 10


def test_nobody_comes_in_while_too_many_are_being_opened() -> None:
    place = Place(per_s=10)
    place.opening = MAX_OPENING
    assert place.let_in(5) == 0
    place.opening -= 1
    assert place.let_in(5) == 5
