"""The schemas say what the types take, in words and patterns that other languages read, too."""

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest

from models import commands, errors, requests
from models.fields import Id
from models.messages import Draft
from models.trips import Trip
from realtime.http.documents.schemas import Schemas
from realtime.http.documents.schemas import errors as schemas_errors
from realtime.http.documents.schemas.fields import FIELDS, OF_TYPES, SHAPES
from realtime.http.documents.schemas.types import name_of
from realtime.http.errors import STATUSES, MethodNotAllowed
from realtime.http.table import ROUTES
from tests.http.documents import Object, over_http, over_sockets, problems

POINT = {"lat": 52.5, "lng": 13.4}
CREATE = {"client_id": "c1", "pickup": POINT}
EDIT = {"trip_id": "t1"}
MARK = {"conversation_id": "t1"}
SEND = {"conversation_id": "t1", "client_id": "m1"}
IMAGE = {"url": "https://example.com/a.png", "size": 1_024}
PUSH = {"user_id": "u1", "event": "promo:granted"}

PAYLOADS: list[tuple[Any, Object]] = [
    (commands.TripCreate, CREATE),
    (commands.TripCreate, {**CREATE, "client_id": "c 1"}),
    (commands.TripCreate, {**CREATE, "client_id": ""}),
    (commands.TripCreate, {**CREATE, "client_id": "c" * 129}),
    (commands.TripCreate, {**CREATE, "client_id": "c\u200b"}),
    (commands.TripCreate, {**CREATE, "client_id": "Straße-🚕"}),
    (commands.TripCreate, {**CREATE, "client_id": "\U000e0041"}),
    (commands.TripCreate, {**CREATE, "pickup": {**POINT, "lat": 90.1}}),
    (commands.TripCreate, {**CREATE, "pickup": {**POINT, "address": None}}),
    (commands.TripCreate, {**CREATE, "pin": None, "dropoff": None}),
    (commands.TripCreate, {**CREATE, "stops": [POINT] * 20}),
    (commands.TripCreate, {**CREATE, "stops": [POINT] * 21}),
    (commands.TripCreate, {**CREATE, "metadata": {"a": [{"b": None}]}}),
    (commands.TripCreate, {**CREATE, "metadata": None}),
    (commands.TripCreate, {**CREATE, "metadata": {"$a": 1}}),
    (commands.TripCreate, {**CREATE, "metadata": {"a": {"b.c": 1}}}),
    (commands.TripCreate, {**CREATE, "metadata": {"a": 2**63}}),
    (commands.TripCreate, {**CREATE, "expires_in_ms": 0, "driver_id": "d1"}),
    (commands.TripCreate, {**CREATE, "of a newer client": True}),
    (commands.TripEdit, EDIT),
    (commands.TripEdit, {**EDIT, "dropoff": None}),
    (commands.TripEdit, {**EDIT, "stops": []}),
    (commands.TripEdit, {**EDIT, "stops": None}),
    (commands.TripEdit, {**EDIT, "version": 1}),
    (commands.TripUpdate, {**EDIT, "status": "arrived"}),
    (commands.TripUpdate, {**EDIT, "status": "lost"}),
    (commands.TripUpdate, {**EDIT, "status": "arrived", "version": True}),
    (commands.MarkRead, MARK),
    (commands.MarkRead, {**MARK, "read_seq": None}),
    (commands.MarkRead, {**MARK, "read_seq": None, "delivered_seq": 0}),
    (commands.MarkRead, {**MARK, "read_seq": 2**53}),
    (commands.ChatHistory, {**MARK, "after_seq": 1}),
    (commands.ChatHistory, {**MARK, "after_seq": 1, "before_seq": None}),
    (commands.ChatHistory, {**MARK, "after_seq": 1, "before_seq": 3}),
    (commands.ChatHistory, {**MARK, "limit": 201}),
    (commands.ChatOpen, {"client_id": "c1", "participants": []}),
    (commands.ChatOpen, {"client_id": "c1", "participants": ["u1"], "title": None}),
    (Draft, SEND),
    (Draft, {**SEND, "text": "hello"}),
    (Draft, {**SEND, "text": ""}),
    (Draft, {**SEND, "text": None}),
    (Draft, {**SEND, "text": "hello", "data": {"$a": 1}}),
    (Draft, {**SEND, "kind": "system", "text": "hello"}),
    (Draft, {**SEND, "kind": "quick_reply"}),
    (Draft, {**SEND, "kind": "location"}),
    (Draft, {**SEND, "kind": "location", "data": POINT}),
    (Draft, {**SEND, "kind": "location", "data": {"lat": 1}}),
    (Draft, {**SEND, "kind": "location", "data": POINT, "text": None}),
    (Draft, {**SEND, "kind": "image", "data": IMAGE}),
    (Draft, {**SEND, "kind": "image", "data": {**IMAGE, "url": "ftp://example.com"}}),
    (Draft, {**SEND, "kind": "image", "data": {**IMAGE, "url": "https://a\x85b"}}),
    (Draft, {**SEND, "kind": "image", "data": {**IMAGE, "url": "https://a\ufeffb"}}),
    (Draft, {**SEND, "kind": "image", "data": POINT}),
    (requests.UserPush, PUSH),
    (requests.UserPush, {**PUSH, "event": "trip:status"}),
    (requests.UserPush, {**PUSH, "event": "disconnect"}),
    (requests.UserPush, {**PUSH, "event": "disconnected"}),
    (requests.UserPush, {**PUSH, "event": "a b"}),
    (requests.TripShare, {"trip_id": "t1", "expires_in_ms": 59_999}),
    (requests.TripShare, {"trip_id": "t1", "expires_in_ms": 60_000}),
]


def taken(kind: Any, payload: Object) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(payload), type=kind)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(("kind", "payload"), PAYLOADS)
def test_a_schema_takes_what_its_type_takes(kind: Any, payload: Object) -> None:
    schemas = Schemas(asked=[kind], told=[]).components
    document = {"components": {"schemas": schemas}}
    found = problems(document, schemas[name_of(kind)], payload)
    assert (found == []) is taken(kind, payload), found


def test_what_is_always_sent_is_required() -> None:
    schemas = over_sockets()["components"]["schemas"]
    assert schemas["Read"]["required"] == ["delivered_seq", "read_seq"]
    assert schemas["TripIs"]["required"] == ["ok", "trip"]
    assert schemas["TripIs"]["properties"]["ok"]["const"] is True
    assert "status" not in schemas["SessionReady"]["required"]
    assert "pin" not in schemas["Trip"]["required"]
    assert {"dropoff", "driver_id", "metadata"} <= {*schemas["Trip"]["required"]}


def test_what_is_left_out_when_it_is_null_is_never_null() -> None:
    trip = over_sockets()["components"]["schemas"]["Trip"]["properties"]
    assert "anyOf" not in trip["pin"]
    assert {"type": "null"} in trip["dropoff"]["anyOf"]


def test_a_shape_is_the_same_in_both_documents() -> None:
    here, there = (each["components"]["schemas"] for each in (over_http(), over_sockets()))
    assert {"Trip", "Message", "TripCreate"} <= here.keys() & there.keys()
    assert {name: here[name] for name in here.keys() & there.keys()} == {
        name: there[name] for name in here.keys() & there.keys()
    }


def test_every_shape_and_every_field_has_words() -> None:
    for document in (over_http(), over_sockets()):
        for name, schema in document["components"]["schemas"].items():
            assert schema["description"], name
            for field, described in schema.get("properties", {}).items():
                assert described["description"], f"{name}.{field}"


def test_every_time_says_its_unit() -> None:
    for document in (over_http(), over_sockets()):
        for name, schema in document["components"]["schemas"].items():
            for field, described in schema.get("properties", {}).items():
                if re.search(r"(_at|_ms|_time|_seen)$|^(at|ts)$", field):
                    assert " ms" in described["description"], f"{name}.{field}"


def test_no_words_are_about_what_is_not_there() -> None:
    schemas = {
        **Schemas(asked=[route.takes for route in ROUTES], told=[]).components,
        **over_http()["components"]["schemas"],
        **over_sockets()["components"]["schemas"],
    }
    fields = {field for schema in schemas.values() for field in schema.get("properties", {})}
    assert FIELDS.keys() <= fields
    assert SHAPES.keys() <= schemas.keys()
    for name, words in OF_TYPES.items():
        assert words.keys() <= schemas[name]["properties"].keys(), name


def test_errors_have_the_fields_that_refusals_have() -> None:
    raised = [
        errors.Forbidden("", path="pin", distance_m=1),
        errors.Invalid("an id", path="trip_id"),
        errors.Conflict("", trip={}),
        errors.IllegalTransition("", allowed=[]),
        errors.RateLimited("", retry_after_ms=1),
    ]
    assert {field for error in raised for field in error.body()} == {
        *schemas_errors.Error.__struct_fields__
    }
    assert get_type_hints(schemas_errors.Error)["trip"] == Trip | None


def test_every_code_has_words() -> None:
    own = {kind.code for kind in _below(errors.RidewireError) if kind.__module__ == errors.__name__}
    http = {kind.code for kind in STATUSES} | {MethodNotAllowed.code}
    assert schemas_errors.WORDS.keys() == own | http


async def test_patterns_are_those_of_javascript_too() -> None:
    patterns = sorted({*_patterns(over_http()), *_patterns(over_sockets())})
    ids = [
        "trip-1",
        "🚕",
        "a b",
        "",
        "a\n",
        "\u200b",
        "\U000e0041",
        "\ufeff",
        "\x85",
        "ä",
        "\u3000",
    ]
    code = (
        "const [patterns, ids] = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "const found = patterns.map((p) => ids.map((id) => new RegExp(p, 'u').test(id)));"
        "console.log(JSON.stringify(found));"
    )
    process = await asyncio.create_subprocess_exec("node", "-e", code, stdin=PIPE, stdout=PIPE)
    said, _ = await process.communicate(json.dumps([patterns, ids]).encode())
    assert process.returncode == 0
    of_ids = patterns.index(_pattern_of_ids())
    assert json.loads(said)[of_ids] == [_is_id(each) for each in ids]


def _below(kind: type[errors.RidewireError]) -> Iterator[type[errors.RidewireError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def _patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        for value in part.values():
            yield from _patterns(value)
    elif isinstance(part, list):
        for value in part:
            yield from _patterns(value)


def _pattern_of_ids() -> str:
    trip = over_http()["components"]["schemas"]["Trip"]
    pattern: str = trip["properties"]["id"]["pattern"]
    return pattern


def _is_id(text: str) -> bool:
    try:
        msgspec.convert(text, Id)
    except msgspec.ValidationError:
        return False
    return True
