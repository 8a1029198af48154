"""docs/gateway.md says what is so: its code is the example's, its limits are the code's."""

import inspect
import re
from typing import Any

import pytest
from msgspec import structs

from examples import echo
from realtime import engine, gateway, messages, plain, wire
from tests.docs.markdown import ROOT, Document

GATEWAY = Document("docs/gateway.md")


@pytest.mark.parametrize(
    ("name", "function"), [("socketio", echo.add_socketio), ("engineio", echo.add_engineio)]
)
def test_the_code_is_that_of_the_example(name: str, function: Any) -> None:
    code = GATEWAY.code_named(name)
    assert code == inspect.getsource(function)
    assert len(code.splitlines()) <= 12, "a dozen lines"


def test_the_settings_are_those_of_limits() -> None:
    described = {
        row["Field"]: int(row["Without it"].replace(",", "")) for row in GATEWAY.tables("Limits")[0]
    }
    assert described == structs.asdict(engine.Limits())


def test_the_limits_are_those_of_the_code() -> None:
    described = {
        row["What"]: int(row["Limit"].replace(",", "")) for row in GATEWAY.tables("Limits")[1]
    }
    digits = re.search(r"\{1,(\d+)\}\(\?!", wire._HEAD.pattern.decode())
    assert digits
    assert described == {
        "attachments of one packet": wire.MAX_ATTACHMENTS,
        "digits of an acknowledgement id in JSON": int(digits[1]),
        "joinings of a namespace over one transport, on average, before the client has to connect "
        "anew": gateway.MAX_JOINS,
        "seconds to finish an upgrade": engine.UPGRADE_WITHIN_S,
        "packets in the body of a polling request": engine.MAX_PACKETS,
        "seconds for the body of a polling request": engine.BODY_WITHIN_S,
        "seconds that last words wait for a polling client": engine.FETCH_WITHIN_S,
        "bytes that wait for a client before it is cut off": engine.MAX_BEHIND,
        "packets that wait for a polling client before it is cut off": engine.MAX_QUEUED,
    }


def test_what_a_client_has_is_what_is_described() -> None:
    section = GATEWAY.section("Handlers")
    public = {
        name
        for name, _ in inspect.getmembers(plain.PlainClient)
        if not name.startswith("_") and f"`{name}" in section
    }
    assert public == {"auth", "call", "disconnect", "emit", "id"}
    assert f"within_s={plain.ANSWER_WITHIN_S:.0f}" in section


def test_the_names_are_those_of_the_code() -> None:
    for module, names in (
        (gateway, ("Gateway", "Namespace", "Refused")),
        (plain, ("PlainNamespace",)),
        (messages, ("Messages", "send")),
        (engine, ("Limits",)),
    ):
        for name in names:
            assert hasattr(module, name)
            assert re.search(rf"`{name}\b", GATEWAY.text) or name == "Gateway", name


def test_the_example_serves_what_the_suites_ask_for() -> None:
    """Their heartbeat is 300 and 200 ms, and their servers' limit a million bytes."""
    assert structs.asdict(echo.LIMITS) == {
        "ping_interval_s": 0.3,
        "ping_timeout_s": 0.2,
        "max_payload": 1_000_000,
        "connect_within_s": 1,
    }
    assert (ROOT / "examples/echo.py").read_text("utf-8").count("\n") < 50
