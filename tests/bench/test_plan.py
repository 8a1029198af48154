import pytest

from bench import plan
from bench.plan import Contestant, Plan
from bench.shapes import HTTP, Scenario
from bench.views import VIEWS

PLANS = pytest.mark.parametrize("chosen", [plan.full(), plan.quick()], ids=["full", "quick"])


@PLANS
def test_every_scenario_is_in_it(chosen: Plan) -> None:
    assert {row.scenario for row in chosen.rows} == {*Scenario}


@PLANS
def test_ridewire_is_in_every_row_and_begins(chosen: Plan) -> None:
    assert all(row.contestants[0] is Contestant.RIDEWIRE for row in chosen.rows)


@PLANS
def test_the_bare_limit_is_in_what_it_can_do_only(chosen: Plan) -> None:
    with_limit = {row.name for row in chosen.rows if Contestant.PICOWS in row.contestants}
    assert with_limit == {"relay", "relay_two", "fan_out"}


@PLANS
def test_trips_over_http_are_for_who_has_an_interface_for_them(chosen: Plan) -> None:
    for row in chosen.rows:
        if row.scenario in HTTP:
            assert row.contestants == (Contestant.RIDEWIRE, Contestant.NODE)


@PLANS
def test_every_row_can_be_shown_and_named(chosen: Plan) -> None:
    assert [row.name for row in chosen.rows] == list(plan.NAMES) == list(VIEWS)


@PLANS
def test_a_paced_row_comes_after_the_one_that_gives_its_rate(chosen: Plan) -> None:
    names = [row.name for row in chosen.rows]
    for row in chosen.rows:
        assert not row.half_of or names.index(row.half_of) < names.index(row.name)


def test_the_full_one_has_three_rounds_of_the_sizes_that_the_goals_are_for() -> None:
    full = plan.full()
    sizes = {row.name: row.clients for row in full.rows}
    assert full.rounds == 3
    assert sizes | {"connect": 0} == {
        "relay": 100,
        "relay_two": 100,
        "paced_relay": 100,
        "fan_out": 1_000,
        "fan_out_burst": 1_000,
        "city": 2_000,
        "connect": 0,
        "idle": 10_000,
        "leave": 10_000,
        "chat": 200,
        "read_trips": 50,
        "read_trips_paced": 50,
        "create_trips": 50,
        "create_trips_paced": 50,
    }
    assert sizes["connect"] >= 2_000


def test_only_python_socketio_may_have_fewer_clients() -> None:
    for row in plan.full().rows:
        for contestant in row.contestants:
            count = row.clients_of(contestant)
            assert count == row.clients or (contestant is Contestant.STOCK and count < row.clients)


def test_the_full_one_takes_less_than_half_an_hour() -> None:
    assert plan.full().estimate_s < 30 * 60


def test_the_short_one_takes_less_than_four_minutes() -> None:
    assert plan.quick().estimate_s < 240


def test_some_rows_are_picked_in_the_order_of_the_plan() -> None:
    chosen = plan.full().only(["chat", "city"])
    assert [row.name for row in chosen.rows] == ["city", "chat"]


def test_a_picked_row_brings_the_one_that_gives_its_rate() -> None:
    chosen = plan.full().only(["paced_relay"])
    assert [row.name for row in chosen.rows] == ["relay", "paced_relay"]


def test_a_picked_row_that_needs_none_brings_none() -> None:
    assert [row.name for row in plan.full().only(["relay"]).rows] == ["relay"]


def test_every_contestant_of_every_row_has_a_trial_in_every_round() -> None:
    chosen = plan.full().only(["relay", "idle"]).in_rounds(5)
    assert chosen.trials == 5 * (4 + 3)
