"""docs/protocol.md says what the code does: commands, events, shapes, states, errors, limits."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from aiohttp import web
from msgspec import Struct
from prometheus_client import CollectorRegistry

from handlers import answers, chat, snapshots, trips
from handlers.access import ALL_ROLES
from handlers.access import COMMANDS as ACCESS
from models import commands, errors, facts, free_form, messages
from models.errors import RidewireError
from models.filter import DEFAULT_LIMITS, LATE_MS, Refusal
from models.points import Place, Point
from models.revocations import KEPT_MS
from models.trips import MAX_OPTIONAL_CHANGES, MAX_STOPS, MAX_TRIP_BYTES, TRANSITIONS, Relation
from realtime import engine, following, revocations, rides, sessions, tokens
from realtime.buckets import BURST_S
from realtime.http.errors import STATUSES
from realtime.http.health import Routes
from realtime.scraping import Scraping
from realtime.settings import Settings
from tests.docs.markdown import ROOT, Document, Row
from tests.docs.shapes import NAMES, Shape, asked, told

PROTOCOL = Document("docs/protocol.md")
RELATIONS = {
    "rider": Relation.RIDER,
    "driver": Relation.DRIVER,
    "offered driver": Relation.OFFERED,
    "staff": Relation.STAFF,
    "viewer": Relation.VIEWER,
}
YES_NO = {"yes": True, "no": False}

COMMANDS: Mapping[str, type[Struct]] = {
    commands.DRIVER_LOCATION: Point,
    **{
        kind.event: kind
        for kind in (*vars(commands).values(), messages.Draft)
        if isinstance(kind, type) and issubclass(kind, Struct) and hasattr(kind, "event")
    },
}
EVENTS: Mapping[str, list[type[Struct]]] = {
    "session:ready": [answers.SessionReady],
    "session:expiring": [facts.SessionExpiring],
    "session:ended": [facts.SessionEnded],
    "trip:status": [facts.TripStatus, facts.WatchedStatus],
    "trip:location": [facts.TripLocation],
    "trip:driver": [facts.TripDriver],
    "trip:eta": [facts.TripEta],
    "chat:message": [],  # its fields are those of the shape `message`
    "chat:receipt": [facts.ChatReceipt],
    "chat:typing": [facts.ChatTyping],
}
ASKED_SHAPES: Mapping[str, type[Struct]] = {
    "location data": messages.LocationData,
    "image data": messages.ImageData,
}
TOLD_SHAPES: Mapping[str, type[Struct]] = {
    name: kind
    for kind, name in NAMES.items()
    if isinstance(kind, type) and issubclass(kind, Struct) and kind is not facts.TripDriver
}


def shape_of(table: list[Row]) -> Shape:
    return [(row["Field"], row["Type"], row.get("Required") or row["Always"]) for row in table]


def test_every_command_is_described_and_no_other() -> None:
    assert PROTOCOL.subsections("Commands") == list(ACCESS)
    assert set(COMMANDS) == set(ACCESS)


def test_commands_are_for_those_whom_the_code_admits() -> None:
    described = {
        row["Command"]: (_roles(row["Roles"]), _relations(row["As"]))
        for row in PROTOCOL.table("Commands")
    }
    assert described == {event: (may.roles, may.relations) for event, may in ACCESS.items()}


@pytest.mark.parametrize("event", COMMANDS)
def test_a_command_has_the_fields_that_the_code_takes(event: str) -> None:
    assert shape_of(PROTOCOL.tables("Commands", event)[0]) == asked(COMMANDS[event])


@pytest.mark.parametrize("event", COMMANDS)
def test_a_command_is_answered_with_the_fields_that_the_code_sends(event: str) -> None:
    answer = [field for field in told(_answers()[event]) if field[0] != "ok"]
    tables = PROTOCOL.tables("Commands", event)[1:]
    assert [shape_of(table) for table in tables] == ([answer] if answer else [])


def test_the_auth_payload_has_the_fields_that_the_code_takes() -> None:
    assert shape_of(PROTOCOL.tables("Connecting")[0]) == asked(sessions.Auth)


def test_every_event_is_described_and_no_other() -> None:
    sent = {
        kind.event
        for kind in (*vars(facts).values(), messages.Message)
        if isinstance(kind, type) and issubclass(kind, Struct) and hasattr(kind, "event")
    }
    public = {event for event in sent if not event.startswith("control:")} | {"session:ready"}
    assert set(PROTOCOL.subsections("Events")) == set(EVENTS) == public


def test_events_are_delivered_as_the_code_does_it() -> None:
    described = {row["Event"]: row["Delivery"] for row in PROTOCOL.table("Events")}
    kept = {kind.event: "in order" for kind in get_args(facts.Kept)}
    passing = {kind.event: "at most once" for kind in get_args(facts.Passing)}
    own = {event: "once" for event in EVENTS if event.startswith("session:")}
    assert described == kept | passing | own


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_has_the_fields_that_the_code_sends(event: str) -> None:
    described = [shape_of(table) for table in PROTOCOL.tables("Events", event)]
    assert described == [told(kind) for kind in EVENTS[event]]


def test_every_shape_is_described_and_no_other() -> None:
    assert set(PROTOCOL.subsections("Shapes")) == {*ASKED_SHAPES, *TOLD_SHAPES}


@pytest.mark.parametrize("name", TOLD_SHAPES)
def test_a_shape_has_the_fields_that_the_code_sends(name: str) -> None:
    assert shape_of(PROTOCOL.table("Shapes", name)) == told(TOLD_SHAPES[name])


@pytest.mark.parametrize("name", ASKED_SHAPES)
def test_a_shape_within_a_command_has_the_fields_that_the_code_takes(name: str) -> None:
    assert shape_of(PROTOCOL.table("Shapes", name)) == asked(ASKED_SHAPES[name])


def test_a_place_is_asked_as_it_is_told() -> None:
    assert asked(Place) == told(Place)


def test_every_relation_is_explained() -> None:
    assert {row["As"] for row in PROTOCOL.tables("Who is who")[1]} == set(RELATIONS)


def test_every_claim_of_a_token_is_described() -> None:
    named = " ".join(row["Claim"] for row in PROTOCOL.tables("Who is who")[0])
    read = {*tokens._ViewerClaims.__struct_fields__, "role"}
    assert set(named.replace(",", "").split()) == read
    assert f"{tokens.LEEWAY_MS // 1_000} s in the future" in PROTOCOL.section("Who is who")


def test_revoked_tokens_are_refused_and_remembered_as_described() -> None:
    section = " ".join(PROTOCOL.section("Who is who").split())
    assert f"takes {revocations.IN_TOUCH_S:g} s at most" in section
    assert f"remembered for {KEPT_MS // 86_400_000} days" in section


def test_the_transitions_are_those_of_the_code() -> None:
    described = {
        (row["From"], row["To"]): {
            RELATIONS[who] for who, may in row.items() if who in RELATIONS and may == "yes"
        }
        for row in PROTOCOL.table("A trip's states")
    }
    assert described == {(str(a), str(b)): who for (a, b), who in TRANSITIONS.items()}


def test_every_error_code_is_described_with_whether_to_retry() -> None:
    described = {row["Code"]: YES_NO[row["Retry"]] for row in _error_rows()}
    assert described == {kind.code: kind.retry for kind in _error_types()}
    assert described.keys() >= {kind.code for kind in STATUSES}


def test_errors_have_the_details_that_are_described() -> None:
    described = {row["Code"]: {*row["Also has"].split(", ")} - {"—"} for row in _error_rows()}
    raised: list[RidewireError] = [
        errors.Forbidden("", path="pin", distance_m=1),
        errors.Invalid("an id", path="trip_id"),
        errors.Conflict("", trip={}),
        errors.IllegalTransition("", allowed=[]),
        errors.RateLimited("", retry_after_ms=1),
    ]
    expected = {error.code: {*error.body()} for error in raised}
    common = {"code", "message", "retry"}
    assert described == {code: expected.get(code, common) - common for code in described}


def test_a_refused_connection_has_a_code_that_is_an_error_code() -> None:
    codes = {row["Code"] for row in PROTOCOL.tables("Connecting")[1]}
    assert codes <= {kind.code for kind in _error_types()}


def test_every_end_of_a_session_is_described() -> None:
    described = {
        (row["Code"], YES_NO[row["Retry"]]) for row in PROTOCOL.table("Why a session ends")
    }
    assert described == {*_endings()}


def test_every_reason_to_reject_a_point_is_described() -> None:
    described = {row["Code"] for row in PROTOCOL.table("Locations")}
    assert described == {*Refusal, errors.Invalid.code}


def test_every_kind_of_message_is_described() -> None:
    assert [row["Kind"] for row in PROTOCOL.table("Chat")] == list(messages.Kind)


def test_every_way_to_hear_a_driver_is_described() -> None:
    rows = PROTOCOL.table("The driver's connection")
    assert [row["Connection"] for row in rows] == list(facts.Hearing)


def test_what_is_a_setting_has_the_default_that_is_described(tmp_path: Path) -> None:
    defaults = Settings.from_environment({}, tmp_path)
    rows = {row["Connection"]: row["When"] for row in PROTOCOL.table("The driver's connection")}
    assert f"{defaults.driver_stale_ms // 1_000} s." in rows["stale"]
    assert f"{defaults.driver_offline_ms // 1_000} s," in rows["offline"]
    assert f"{defaults.chat_after_trip_ms // 3_600_000} hours" in PROTOCOL.section("Chat")
    described = PROTOCOL.section("Locations")
    assert f"at most {defaults.locations_per_s} locations a second" in described
    assert f"over {defaults.max_accuracy_m} m" in described
    assert f"more than {defaults.max_speed_mps} m/s" in described
    assert f"behind by more than {LATE_MS // 1_000} s" in described


def test_limits_that_are_settings_have_the_defaults_that_are_described(tmp_path: Path) -> None:
    defaults = Settings.from_environment({}, tmp_path)
    locations, limits = (
        " ".join(PROTOCOL.section(name).split()) for name in ("Locations", "Limits")
    )
    reports, asked = defaults.reports_per_s, defaults.commands_per_s
    assert f"{reports} reports a second and {reports * BURST_S:,} at once" in locations
    assert f"{asked} commands and HTTP requests a second" in limits
    assert f"and {asked * BURST_S} at once" in limits
    assert f"all of them {max(asked, defaults.viewers_per_link):,} a second" in limits
    assert f"HTTP {defaults.requests_per_address_per_s} requests a second" in limits
    assert f"subscribe to {defaults.subscriptions_per_connection:,} trips" in limits
    assert f"has {defaults.connections_per_user} connections" in PROTOCOL.section("Connecting")
    assert f"one trip {defaults.viewers_per_link:,} together" in PROTOCOL.section("Connecting")


def test_the_limits_are_those_of_the_code(tmp_path: Path) -> None:
    defaults = Settings.from_environment({}, tmp_path)
    described = {
        row["What"]: int(row["Limit"].replace(",", "")) for row in PROTOCOL.table("Limits")
    }
    limits = engine.Limits()
    assert described == {
        "bytes of a message or polling request": defaults.max_message_bytes,
        "characters of a token": tokens.MAX_LENGTH,
        "seconds from the handshake to the token": defaults.authenticate_within_s,
        "seconds between two pings of the server": limits.ping_interval_s,
        "seconds for the client to answer a ping": limits.ping_timeout_s,
        "commands of one connection that wait for their turn": defaults.pending_commands,
        "bytes of one connection's commands that wait for their turn": rides.MAX_PENDING_BYTES,
        "bytes that wait for a slow client before locations and the like are skipped": (
            engine.PASSING_BEHIND
        ),
        "bytes that wait for a slow client before it is cut off": engine.MAX_BEHIND,
        "packets that wait for a polling client before locations and the like are skipped": (
            engine.PASSING_QUEUED
        ),
        "packets that wait for a polling client before it is cut off": engine.MAX_QUEUED,
        "points in one driver:location": commands.MAX_POINTS,
        "milliseconds that a point may be in the future": DEFAULT_LIMITS.future_ms,
        "stops of a trip": MAX_STOPS,
        "changes after which a trip takes no more offers and edits": MAX_OPTIONAL_CHANGES,
        "bytes of a trip with its history after which it takes no more offers and edits": (
            MAX_TRIP_BYTES
        ),
        "attempts at a pin before the start is locked": trips.WRONG_PINS,
        "milliseconds for which it is locked": trips.PIN_LOCK_MS,
        "characters of a message": messages.MAX_TEXT,
        "participants of a conversation": messages.MAX_PARTICIPANTS,
        "messages in one page of history or one snapshot": commands.MAX_PAGE,
        "messages in a snapshot without after_seq": snapshots.NEWEST,
        "bytes of metadata or data, as JSON": free_form.MAX_BYTES,
        "levels of objects and lists in metadata or data": free_form.MAX_DEPTH,
    }


def test_every_http_route_is_described() -> None:
    app = web.Application()
    Routes({}, Scraping(CollectorRegistry()).answer).add_to(app)
    served = {resource.canonical for resource in app.router.resources()}
    assert {row["Path"] for row in PROTOCOL.table("HTTP")} == served


def _roles(text: str) -> frozenset[str]:
    return frozenset(map(str, ALL_ROLES)) if text == "any" else frozenset(text.split(", "))


def _relations(text: str) -> frozenset[Relation]:
    return frozenset(RELATIONS[name] for name in text.split(", ") if name != "—")


def _answers() -> dict[str, type[Struct]]:
    """What each command answers, as the handlers' annotations have it."""
    found: dict[str, type[Struct]] = {
        commands.DRIVER_LOCATION: answers.Located,
        commands.DriverStatus.event: answers.StatusNoted,
        commands.TripUnsubscribe.event: answers.Answer,
    }
    handlers = (
        chat.ChatHandler,
        trips.TripHandler,
        sessions.Sessions,
        following.FollowingService,
    )
    for handler in handlers:
        for _, method in inspect.getmembers(handler, inspect.isfunction):
            hints = get_type_hints(method)
            answer = _answer_in(hints.pop("return", None))
            for kind in hints.values():
                if answer and kind in COMMANDS.values():
                    found[kind.event] = answer
    return found


def _answer_in(returned: Any) -> type[Struct] | None:
    for kind in (returned, *get_args(returned)):
        if isinstance(kind, type) and issubclass(kind, answers.Answer):
            return kind
    return None


def _error_rows() -> list[Row]:
    return PROTOCOL.table("Answers and errors")


def _error_types(kind: type[RidewireError] = RidewireError) -> Iterator[type[RidewireError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _error_types(below)


def _endings() -> Iterator[tuple[str, bool]]:
    """The code and `retry` of every call of `Connection.end`."""
    for path in (ROOT / "realtime").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="end"),
                    args=[code],
                    keywords=[ast.keyword(arg="retry", value=ast.Constant(bool(retry))), *_],
                ):
                    yield _code(code), retry


def _code(node: ast.expr) -> str:
    match node:
        case ast.Constant(str(code)):
            return code
        case ast.Attribute(value=ast.Name(name), attr="code"):
            code = getattr(errors, name).code
            assert isinstance(code, str)
            return code
    raise AssertionError(f"no code: {ast.unparse(node)}")
