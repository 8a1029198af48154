"""Who may ask for how much: each user its own, and staff as much as it likes."""

import pytest

from models.errors import RateLimited
from models.identity import Identity
from realtime.allowance import Allowance
from realtime.buckets import BURST_S, Rate
from tests.handlers.world import ANN, DAN, RITA, SERVICE


def allowance() -> Allowance:
    return Allowance(Rate.of(1, ticks=lambda: 0.0))


def test_a_user_who_asks_too_often_is_told_when_to_come_back() -> None:
    users = allowance()
    for _ in range(BURST_S):
        users.spend(RITA)
    with pytest.raises(RateLimited) as limited:
        users.spend(RITA)
    assert limited.value.body()["retry_after_ms"] == 1_000
    users.spend(DAN)


@pytest.mark.parametrize("caller", [ANN, SERVICE], ids=str)
def test_staff_acts_for_everybody_and_is_not_limited(caller: Identity) -> None:
    users = allowance()
    for _ in range(10 * BURST_S):
        users.spend(caller)
