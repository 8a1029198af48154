from pathlib import Path

from bench.results import Measured, Results
from bench.shapes import Outcome
from tests.bench.made_up import NODE, RELAY, RIDEWIRE, outcome, results, rounds


def test_a_round_where_all_is_right_counts() -> None:
    assert Measured("relay", RIDEWIRE, 1, outcome(16)).spoiled == ""


def test_a_round_with_something_missing_or_wrong_is_spoiled_and_says_so() -> None:
    spoiled = Measured("relay", RIDEWIRE, 1, outcome(16, missing=1_200, wrong=3, note="3 odd ones"))
    assert spoiled.spoiled == "1,200 missing, 3 wrong, 3 odd ones"


def test_a_round_without_an_outcome_says_what_failed() -> None:
    assert Measured("relay", RIDEWIRE, 1, failure="it fell over").spoiled == "it fell over"


def test_a_round_without_events_is_spoiled() -> None:
    nothing = Outcome(events=0, seconds=1, cpu_s=(0.1,))
    assert Measured("relay", RIDEWIRE, 1, nothing).spoiled == "no events"


def test_only_rounds_that_count_are_good() -> None:
    made = results(rounds(NODE, outcome(48), outcome(1, missing=1), outcome(47)))
    assert made.good(RELAY, NODE) == {1: outcome(48), 3: outcome(47)}
    assert [measured.round for measured in made.spoiled()] == [2]


def test_rounds_come_in_their_order() -> None:
    made = results(rounds(NODE, outcome(1), outcome(2))[::-1])
    assert [measured.round for measured in made.of(RELAY, NODE)] == [1, 2]


def test_what_is_saved_is_loaded_the_same(tmp_path: Path) -> None:
    made = results(rounds(RIDEWIRE, outcome(16, p99_ms=2.5)), rounds(NODE, outcome(48, missing=1)))
    made.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == made
