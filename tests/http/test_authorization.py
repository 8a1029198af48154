"""Who may call which route: every route and every kind of caller, over real HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec import Struct

from realtime.http.table import ROUTES
from tests.conftest import fresh
from tests.http.conftest import Caller, Company

CALLERS: Final = (
    "rider",
    "driver",
    "offered",
    "agent",
    "service",
    "viewer",
    "another_rider",
    "another_driver",
    "another_viewer",
)

WHO_MAY: Final = """
    create_trip        rider agent service another_rider
    list_trips         rider driver offered agent service another_rider another_driver
    get_trip           rider driver offered agent service viewer
    get_track          rider driver agent service
    edit_trip          rider agent service
    update_trip        rider driver agent service
    offer_trip         agent service
    share_trip         rider agent service
    open_conversation  agent service
    send_message       rider driver agent service
    list_messages      rider driver agent service
    list_nearby_drivers  agent service
    push_event         service
    revoke_user        service
    revoke_token       service
"""
"""`update_trip` is a cancellation here; an offered driver may do nothing but accept."""

STRANGERS: Final = """
    get_trip           another_rider another_driver another_viewer
    get_track          another_rider another_driver
    edit_trip          another_rider
    update_trip        another_rider another_driver
    share_trip         another_rider
    send_message       another_rider another_driver
    list_messages      another_rider another_driver
"""
"""Whose role would do, but to whom the trip is nothing: for them it is not there."""


def table(text: str) -> dict[str, set[str]]:
    rows = [line.split() for line in text.strip().splitlines()]
    return {route: set(who) for route, *who in rows}


MAY_EDIT: Final = table(WHO_MAY)["edit_trip"]


class Case(Struct, frozen=True):
    company: Company
    caller: Caller
    trip_id: str
    own: dict[str, str | None]
    """What a rider leaves out or must give for itself."""


Ask = Callable[[Case], tuple[str, str, Any]]


def on_trip(method: str, path: str = "", body: Any = None) -> Ask:
    return lambda case: (method, f"/v1/trips/{case.trip_id}{path}", body)


ASKED: Final[dict[str, Ask]] = {
    "create_trip": lambda case: ("POST", "/v1/trips", case.company.request(**case.own)),
    "list_trips": lambda _: ("GET", "/v1/trips?limit=1", None),
    "get_trip": on_trip("GET"),
    "get_track": on_trip("GET", "/track"),
    "edit_trip": on_trip("PATCH", body={"dropoff": {"lat": 1, "lng": 2}}),
    "update_trip": on_trip("POST", "/status", {"status": "cancelled"}),
    "offer_trip": on_trip("POST", "/offer", {"driver_id": "another"}),
    "share_trip": on_trip("POST", "/share", {}),
    "open_conversation": lambda _: (
        "POST",
        "/v1/conversations",
        {"client_id": fresh("open"), "participants": ["p"]},
    ),
    "send_message": lambda case: (
        "POST",
        f"/v1/conversations/{case.trip_id}/messages",
        {"client_id": fresh("message"), "text": "hello"},
    ),
    "list_messages": lambda case: ("GET", f"/v1/conversations/{case.trip_id}/messages", None),
    "list_nearby_drivers": lambda _: ("GET", "/v1/drivers/nearby?lat=52.5&lng=13.4", None),
    "push_event": lambda _: ("POST", f"/v1/users/{fresh('user')}/events", {"event": "x"}),
    "revoke_user": lambda _: ("DELETE", f"/v1/users/{fresh('user')}/sessions", None),
    "revoke_token": lambda _: ("DELETE", f"/v1/sessions/{fresh('jti')}", None),
}


async def case_of(company: Company, route: str, who: str) -> Case:
    """A trip that the route can be called on, and the caller in its relation to it."""
    offered = who == "offered" or route == "offer_trip"
    trip_id = await company.trip("requested" if offered else "accepted")
    if who == "offered":
        offer = {"driver_id": company.driver_id}
        await company.service.ok("POST", f"/v1/trips/{trip_id}/offer", offer)
    callers = {
        "offered": company.driver,
        "viewer": company.caller("viewer", fresh("viewer"), trips=[trip_id]),
        "another_rider": company.stranger,
        "another_driver": company.caller("driver", fresh("driver")),
        "another_viewer": company.caller("viewer", fresh("viewer"), trips=[fresh("trip")]),
    }
    caller = callers.get(who) or getattr(company, who)
    return Case(company, caller, trip_id, {"rider_id": None} if who == "another_rider" else {})


def expected(route: str, who: str) -> str:
    if who in table(WHO_MAY)[route]:
        return "good"
    return "404 not_found" if who in table(STRANGERS).get(route, set()) else "403 forbidden"


async def told(company: Company, route: str, who: str) -> str:
    case = await case_of(company, route, who)
    answer = await case.caller.ask(*ASKED[route](case))
    good = answer.status in (200, 201, 202, 204)
    return "good" if good else f"{answer.status} {answer.error['code']}"


@pytest.mark.parametrize("route", ASKED)
async def test_a_caller_may_what_the_table_says(company: Company, route: str) -> None:
    answers = await asyncio.gather(*(told(company, route, who) for who in CALLERS))
    assert dict(zip(CALLERS, answers, strict=True)) == {
        who: expected(route, who) for who in CALLERS
    }


@pytest.mark.parametrize("who", [who for who in CALLERS if who not in MAY_EDIT])
async def test_who_is_refused_has_changed_nothing(company: Company, who: str) -> None:
    case = await case_of(company, "edit_trip", who)
    trip = f"/v1/trips/{case.trip_id}"
    before = await company.service.ok("GET", trip)
    for route in ("edit_trip", "offer_trip"):
        method, path, body = ASKED[route](case)
        assert (await case.caller.ask(method, path, body)).status in (403, 404)
    assert await company.service.ok("GET", trip) == before


def test_every_route_and_no_other_is_tried() -> None:
    names = {route.name for route in ROUTES}
    assert names == set(ASKED) == set(table(WHO_MAY))
    assert set(table(STRANGERS)) <= names
