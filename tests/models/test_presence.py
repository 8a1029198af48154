"""Whether a driver is heard."""

import pytest

from models.facts import Hearing
from models.presence import PresenceLimits

LIMITS = PresenceLimits(stale_ms=10_000, offline_ms=60_000)
NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("silent_ms", "hearing"),
    [
        (-5_000, Hearing.LIVE),
        (0, Hearing.LIVE),
        (9_999, Hearing.LIVE),
        (10_000, Hearing.STALE),
        (59_999, Hearing.STALE),
        (60_000, Hearing.OFFLINE),
        (10**9, Hearing.OFFLINE),
    ],
)
def test_a_driver_fades_with_its_silence(silent_ms: int, hearing: Hearing) -> None:
    assert LIMITS.hearing(NOW - silent_ms, NOW) is hearing
