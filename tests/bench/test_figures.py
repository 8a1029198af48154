import pytest

from bench.figures import (
    CPU,
    MEMORY,
    P99,
    PER_CPU_SECOND,
    RATE,
    Figure,
    figure,
    number,
    ratio,
)
from bench.shapes import Outcome
from tests.bench.made_up import NODE, RELAY, RIDEWIRE, STOCK, outcome, results, rounds


def test_the_median_and_the_spread_are_those_of_the_rounds() -> None:
    made = results(rounds(NODE, outcome(50), outcome(47), outcome(48)))
    assert figure(made, RELAY, NODE, CPU) == Figure(48, 47, 50)


def test_a_spoiled_round_is_not_averaged() -> None:
    made = results(rounds(NODE, outcome(50), outcome(1, missing=1), outcome(48)))
    assert figure(made, RELAY, NODE, CPU) == Figure(49, 48, 50)


def test_nothing_but_spoiled_rounds_give_no_figure() -> None:
    made = results(rounds(NODE, outcome(50, wrong=1)))
    assert figure(made, RELAY, NODE, CPU) is None


def test_what_a_load_does_not_measure_gives_no_figure() -> None:
    assert figure(results(rounds(NODE, outcome(50))), RELAY, NODE, P99) is None


def test_a_ratio_is_the_median_of_those_of_each_round() -> None:
    made = results(
        rounds(RIDEWIRE, outcome(10), outcome(20), outcome(10)),
        rounds(NODE, outcome(50), outcome(40), outcome(30)),
    )
    found = ratio(made, RELAY, NODE, PER_CPU_SECOND)
    assert found is not None
    assert [found.median, found.lowest, found.highest] == pytest.approx([3, 2, 5])


def test_a_ratio_leaves_out_a_round_that_is_spoiled_on_either_side() -> None:
    made = results(
        rounds(RIDEWIRE, outcome(10), outcome(10, wrong=1), outcome(10)),
        rounds(NODE, outcome(50, missing=2), outcome(40), outcome(30)),
    )
    found = ratio(made, RELAY, NODE, CPU)
    assert found is not None
    assert found.median == found.lowest == found.highest == pytest.approx(1 / 3)


def test_there_is_no_ratio_to_who_did_not_run() -> None:
    assert ratio(results(rounds(RIDEWIRE, outcome(10))), RELAY, STOCK, CPU) is None


def test_the_cpu_time_of_all_processes_counts() -> None:
    both = Outcome(events=1_000_000, seconds=20, cpu_s=(10.0, 6.0))
    assert CPU.of(both) == pytest.approx(16)
    assert PER_CPU_SECOND.of(both) == pytest.approx(62_500)
    assert RATE.of(both) == pytest.approx(50_000)


def test_memory_is_what_a_connection_added() -> None:
    grown = Outcome(events=100, seconds=1, cpu_s=(0.1,), rss_before=4_096, rss_after=208_896)
    assert MEMORY.of(grown) == pytest.approx(2)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.333, "0.33"), (15.94, "15.9"), (245.2, "245"), (61_478.3, "61,478")],
)
def test_numbers_show_three_digits_or_all_before_the_point(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_figure_shows_its_spread_where_there_is_one() -> None:
    assert Figure(48, 47, 50).text() == "48.0 (47.0…50.0)"
    assert Figure(48, 48, 48).text() == "48.0"
    assert Figure(48, 47, 50).text(with_spread=False) == "48.0"
