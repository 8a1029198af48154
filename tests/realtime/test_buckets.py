"""Token buckets: so much at once, so much per second, and nobody is remembered without need."""

import pytest

from realtime import buckets
from realtime.buckets import BURST_S, Bucket, Buckets, Rate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(bucket: Bucket, wanted: int) -> int:
    return sum(bucket.take() for _ in range(wanted))


def test_a_full_bucket_is_there_at_once_and_then_so_much_per_second(clock: Clock) -> None:
    bucket = Bucket(Rate.of(4, ticks=clock))
    assert taken(bucket, 1_000) == 4 * BURST_S
    clock.now += 1
    assert taken(bucket, 1_000) == 4
    clock.now += 0.125
    assert taken(bucket, 1_000) == 0
    clock.now += 0.125
    assert taken(bucket, 1_000) == 1


def test_a_long_pause_fills_it_and_no_more(clock: Clock) -> None:
    bucket = Bucket(Rate.of(5, ticks=clock))
    taken(bucket, 1_000)
    clock.now += 3_600
    assert taken(bucket, 1_000) == 5 * BURST_S


def test_slow_use_never_empties_it(clock: Clock) -> None:
    bucket = Bucket(Rate.of(5, burst_s=1, ticks=clock))
    for _ in range(100):
        clock.now += 0.25
        assert bucket.take()


def test_what_costs_more_than_is_left_is_taken_and_owed(clock: Clock) -> None:
    bucket = Bucket(Rate.of(1, ticks=clock))
    assert bucket.take(20)
    clock.now += 5
    assert not bucket.take()
    assert bucket.retry_after_ms == 6_000
    clock.now += 6
    assert bucket.take()


def test_an_empty_one_says_when_it_has_a_token_again(clock: Clock) -> None:
    bucket = Bucket(Rate.of(4, burst_s=1, ticks=clock))
    taken(bucket, 5)
    assert bucket.retry_after_ms == 250


def test_each_key_has_its_own(clock: Clock) -> None:
    kept = Buckets(Rate.of(1, ticks=clock))
    assert taken(kept.of("rita"), 100) == BURST_S
    assert not kept.of("rita").take()
    assert kept.of("dan").take()


def test_it_is_forgotten_when_it_must_be_full_again_and_not_before(clock: Clock) -> None:
    kept = Buckets(Rate.of(1, ticks=clock))
    taken(kept.of("rita"), 100)
    for _ in range(3):
        clock.now += BURST_S - 1
        kept.of("dan").take()
        assert taken(kept.of("rita"), 100) == BURST_S - 1
    assert len(kept) == 2
    clock.now += 2 * BURST_S
    kept.of("eve")
    clock.now += 2 * BURST_S
    kept.of("ann")
    assert len(kept) == 2


def test_who_owes_is_remembered_until_nothing_is_owed(clock: Clock) -> None:
    kept = Buckets(Rate.of(1, ticks=clock))
    kept.of("rita").lower(-BURST_S)
    for _ in range(BURST_S - 1):
        clock.now += 1
        kept.of(f"user-{clock.now}")
    assert not kept.of("rita").take()


def test_so_many_are_remembered_and_no_more(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MOST_KEPT", 10)
    kept = Buckets(Rate.of(1, ticks=clock))
    for number in range(1_000):
        kept.of(f"192.0.2.{number}").take()
        assert len(kept) <= 20
        assert kept.of(f"192.0.2.{number}").take()
