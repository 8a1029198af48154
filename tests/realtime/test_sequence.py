"""Numbered facts in order: each once, none before its turn, and gaps are noticed."""

from itertools import permutations, product
from random import Random

import pytest

from realtime.sequence import MAX_EARLY, Sequence


def numbers(due: list[tuple[int, str]]) -> list[int]:
    for number, item in due:
        assert item == str(number)
    return [number for number, _ in due]


def take(sequence: Sequence[str], *given: int) -> list[int]:
    return [n for number in given for n in numbers(sequence.take(number, str(number)))]


def started(newest: int) -> Sequence[str]:
    sequence: Sequence[str] = Sequence()
    assert sequence.start(newest) == []
    return sequence


def test_whatever_the_order_everything_comes_once_and_in_turn() -> None:
    for order in permutations(range(1, 6)):
        sequence = started(0)
        assert take(sequence, *order) == [1, 2, 3, 4, 5]
        assert not sequence.has_gap
        assert take(sequence, *order) == []


@pytest.mark.parametrize("start_at", range(6))
def test_until_it_is_known_where_the_stream_is_everything_waits(start_at: int) -> None:
    for order, newest in product(permutations(range(1, 5)), range(5)):
        sequence: Sequence[str] = Sequence()
        heard = take(sequence, *order[:start_at])
        assert heard == []
        assert not sequence.has_gap
        heard = numbers(sequence.start(newest))
        heard += take(sequence, *order[start_at:])
        assert heard == list(range(newest + 1, 5))
        assert not sequence.has_gap


def test_a_disorderly_stream_with_repetitions_and_losses_is_brought_into_order() -> None:
    for seed in range(50):
        chance = Random(seed)  # noqa: S311 - the same disorder for the same seed
        total, sequence, heard = 60, started(0), list[int]()
        sent = [n for n in range(1, total + 1) for _ in range(chance.choice([0, 1, 1, 1, 2]))]
        sent.sort(key=lambda n: n + chance.uniform(0, 8))
        for count, number in enumerate(sent, start=1):
            heard += take(sequence, number)
            assert heard == list(range(1, len(heard) + 1))
            assert sequence.has_gap == (max(sent[:count]) > len(heard))
        heard += numbers(sequence.start(total))
        assert sequence.has_gap == (len(heard) < total)
        for number in range(1, total + 1):
            heard += take(sequence, number)
        assert heard == list(range(1, total + 1))
        assert not sequence.has_gap


def test_what_comes_too_early_shows_a_gap_until_it_is_filled() -> None:
    sequence = started(3)
    assert take(sequence, 5, 7) == []
    assert sequence.has_gap
    assert take(sequence, 4) == [4, 5]
    assert sequence.has_gap
    assert take(sequence, 6) == [6, 7]
    assert not sequence.has_gap


def test_a_later_reading_shows_a_gap_and_skips_nothing() -> None:
    sequence = started(3)
    assert sequence.start(5) == []
    assert sequence.newest == 3
    assert sequence.has_gap
    assert take(sequence, 4) == [4]
    assert sequence.has_gap
    assert take(sequence, 5) == [5]
    assert not sequence.has_gap


def test_an_older_reading_changes_nothing() -> None:
    sequence = started(3)
    take(sequence, 4)
    assert sequence.start(2) == []
    assert (sequence.newest, sequence.has_gap) == (4, False)


def test_what_a_reading_contained_takes_no_room() -> None:
    waiting: Sequence[str] = Sequence()
    take(waiting, *range(1, MAX_EARLY + 1))
    assert waiting.start(MAX_EARLY) == []
    assert take(waiting, MAX_EARLY + 2, MAX_EARLY + 1) == [MAX_EARLY + 1, MAX_EARLY + 2]


def test_what_is_known_is_dropped() -> None:
    sequence = started(3)
    assert take(sequence, 1, 2, 3) == []
    assert not sequence.has_gap


def test_the_first_of_two_that_have_one_number_counts() -> None:
    sequence = started(0)
    sequence.take(2, "first")
    sequence.take(2, "second")
    assert sequence.take(1, "1") == [(1, "1"), (2, "first")]


def test_memory_for_what_is_early_is_bounded() -> None:
    waiting: Sequence[str] = Sequence()
    for number in range(1, 3 * MAX_EARLY):
        assert take(waiting, number) == []
    assert len(waiting.start(0)) == MAX_EARLY


CROWDED = 2 * MAX_EARLY


def test_whose_turn_it_is_is_taken_however_many_wait() -> None:
    sequence = started(0)
    take(sequence, *range(2, CROWDED))
    assert take(sequence, 1) == list(range(1, MAX_EARLY + 2))


def test_what_did_not_fit_is_taken_when_it_comes_again() -> None:
    sequence = started(0)
    take(sequence, *range(2, CROWDED))
    assert take(sequence, *range(1, CROWDED)) == list(range(1, CROWDED))


def test_what_did_not_fit_is_known_to_be_missing() -> None:
    sequence: Sequence[str] = Sequence()
    take(sequence, *range(1, CROWDED))
    assert len(sequence.start(0)) == MAX_EARLY
    assert sequence.has_gap
