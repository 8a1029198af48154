"""Who may ask for how much: each user its own, and staff as much as it likes."""

import pytest

from models.errors import RateLimited
from models.identity import Identity, Role
from realtime.allowance import Allowance
from realtime.buckets import BURST_S, Rate
from tests.handlers.world import ANN, DAN, NOW, RITA, SERVICE

LINK_PER_S = 3
VIEWER = Identity("share:t1", Role.VIEWER, expires_at=NOW, trips=frozenset({"t1"}))


def allowance() -> Allowance:
    return Allowance(Rate.of(1, ticks=lambda: 0.0), Rate.of(LINK_PER_S, ticks=lambda: 0.0))


def spend(users: Allowance, caller: Identity, place: str = "phone") -> None:
    for _ in range(BURST_S):
        users.spend(caller, place)


def test_a_user_who_asks_too_often_is_told_when_to_come_back() -> None:
    users = allowance()
    spend(users, RITA)
    with pytest.raises(RateLimited) as limited:
        users.spend(RITA, "watch")
    assert limited.value.body()["retry_after_ms"] == 1_000
    users.spend(DAN, "phone")


@pytest.mark.parametrize("caller", [ANN, SERVICE], ids=str)
def test_staff_acts_for_everybody_and_is_not_limited(caller: Identity) -> None:
    users = allowance()
    for _ in range(10):
        spend(users, caller)


def test_a_viewer_takes_nothing_from_others_with_the_same_link_until_they_are_very_many() -> None:
    users = allowance()
    for place in range(LINK_PER_S):
        spend(users, VIEWER, f"browser-{place}")
        with pytest.raises(RateLimited):
            users.spend(VIEWER, f"browser-{place}")
    with pytest.raises(RateLimited):
        users.spend(VIEWER, "another")
