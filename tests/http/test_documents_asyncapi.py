"""/v1/asyncapi.json is AsyncAPI 3.0, and describes the commands and events that there are."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import get_args

import msgspec

from handlers.access import COMMANDS
from models import facts
from realtime.http.documents.asyncapi.table import EVENTS, EXCHANGES
from tests.http.documents import message_of, over_sockets, problems
from tests.servers import ROOT

PARSER = ROOT / "tests" / "js" / "asyncapi.mjs"
NEWER = "asyncapi-latest-version"
"""Says that there is AsyncAPI 3.1, which fewer tools read."""


async def test_it_is_asyncapi_and_a_wrong_one_would_not_be(tmp_path: Path) -> None:
    document = over_sockets()
    operations = dict([*document["operations"].items()][:1])
    wrong = {**document, "channels": {}, "operations": operations}
    process = await asyncio.create_subprocess_exec(
        "node", PARSER, cwd=tmp_path, stdin=PIPE, stdout=PIPE
    )
    said, _ = await process.communicate(
        b"\n".join(msgspec.json.encode(document) for document in (over_sockets(), wrong))
    )
    own, spoilt = (json.loads(line) for line in said.splitlines())
    assert own["read"]
    assert [each for each in own["found"] if each["code"] != NEWER] == []
    assert not spoilt["read"]
    assert spoilt["found"]


def test_every_command_is_in_it_and_no_other() -> None:
    described = {
        operation["title"]: set(operation["x-roles"])
        for operation in over_sockets()["operations"].values()
        if operation["action"] == "receive"
    }
    assert described == {event: access.roles for event, access in COMMANDS.items()}


def test_every_event_is_in_it_and_nothing_that_stays_inside() -> None:
    own = {"session:ready", facts.SessionExpiring.event, facts.SessionEnded.event}
    told = {kind.event for kind in (*get_args(facts.Kept), *get_args(facts.Passing))}
    described = {
        operation["title"]
        for operation in over_sockets()["operations"].values()
        if operation["action"] == "send"
    }
    assert described == own | told
    assert not described & {kind.event for kind in get_args(facts.Control)}


def test_commands_and_events_have_the_payloads_of_their_names() -> None:
    for exchange in EXCHANGES:
        assert getattr(exchange.payload, "event", exchange.event) == exchange.event
        assert len(message_of(exchange.event, sent=False)) == 1
    for heard in EVENTS:
        assert getattr(heard.payload, "event", heard.event) == heard.event


def test_every_message_has_a_good_example() -> None:
    document = over_sockets()
    for message in document["components"]["messages"].values():
        (example,) = message["examples"]
        assert problems(document, message["payload"], example["payload"]) == []
