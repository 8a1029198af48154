"""Revocations: which tokens count as issued before, and for how long it is remembered."""

import pytest

from models.identity import Identity, Role
from models.revocations import issued_until

NOW = 1_800_000_000_250


def issued(at: int | None) -> Identity:
    return Identity("rita", Role.RIDER, expires_at=NOW * 2, issued_at=at)


@pytest.mark.parametrize("at", [0, NOW - 1, NOW])
def test_a_token_that_was_issued_before_or_just_then_counts(at: int) -> None:
    assert issued_until(issued(at), NOW)


def test_a_token_that_was_issued_later_does_not() -> None:
    assert not issued_until(issued(NOW + 1), NOW)


def test_a_token_that_tells_whole_seconds_counts_for_the_whole_second() -> None:
    second = NOW // 1000 * 1000
    assert issued_until(issued(second), NOW)
    assert not issued_until(issued(second + 1000), NOW)


def test_a_token_that_does_not_say_when_it_was_issued_counts() -> None:
    assert issued_until(issued(None), NOW)
