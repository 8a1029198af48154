"""The AsyncAPI 3.0 document of the Socket.IO side, made from commands, answers and facts."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from handlers.sessions import PROTOCOL
from models import commands
from models.errors import UnknownEvent
from models.points import Point
from realtime.http.documents.asyncapi.table import EVENTS, EXCHANGES, LOCATIONS, Exchange
from realtime.http.documents.openapi import roles_of
from realtime.http.documents.schemas import Schemas, errors, examples
from realtime.http.documents.schemas.fields import UNITS
from realtime.http.documents.schemas.types import ref
from realtime.sessions import Auth

Object = dict[str, Any]

ABOUT: Final = f"""\
Ridewire over Socket.IO, for driver apps, rider apps, chat clients and dispatchers. What a \
backend needs over plain HTTP is in `/v1/openapi.json`, with the same identities, rules and errors.

**Reading this document.** It describes the server: what it *receives* are commands, which clients \
emit; what it *sends* are events, which clients hear. A command's answer is its acknowledgement.

**Connecting.** Any client of the Socket.IO protocol, version 5 (over Engine.IO 4), at the path \
`/socket.io/`, in the namespace `/`, by WebSocket, or by long-polling where all requests of a \
client reach the same process. The token is in the `auth` payload (the schema `Auth`) or in the \
handshake's `Authorization: Bearer …`. A connection speaks JSON, or msgpack with the packets of \
`socket.io-msgpack-parser`; the server tells by the client's first packet. A connection that is \
not wanted gets a `CONNECT_ERROR`: `{{message, data: {{code}}}}` with `unauthorized`, \
`token_expired` or `unsupported_client`.

**Commands** of one connection take effect in order, `driver:location` aside, which waits for \
none. With an acknowledgement a command gets exactly one answer while its connection lives: \
`{{"ok": true, …}}` or `{{"ok": false, "error": {{"code", "message", "retry", …}}}}`. When no \
answer came, send what creates something again with the same `client_id`: nothing happens twice.

**Events.** A driver's or rider's connection follows its unfinished trips and open conversations \
unasked. `trip:subscribe` adds what is only worth having while somebody looks; for staff and \
viewers it is the way to hear anything. Everything reaches a connection once. A service may push \
events of its own names besides.

{UNITS}
"""

_CHANNEL: Final = "rides"
_ACK: Final = "acknowledgement"


def asyncapi() -> Object:
    """The document, ready to be written as JSON."""
    schemas = Schemas(
        asked=[Auth, *(exchange.payload for exchange in EXCHANGES)],
        told=[
            *(exchange.answer for exchange in EXCHANGES),
            *(heard.payload for heard in EVENTS),
            errors.Refusal,
        ],
    )
    codes = {code for exchange in EXCHANGES for code in errors.of_command(exchange.event)}
    schemas.set_field(errors.Error, "code", errors.code_schema({*codes, UnknownEvent.code}))
    schemas.add(LOCATIONS, _locations())
    messages = _messages()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ridewire over Socket.IO",
            "version": str(PROTOCOL),
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"ridewire": _server()},
        "channels": {_CHANNEL: _channel(messages)},
        "operations": {
            **{_key(exchange.event): _command(exchange) for exchange in EXCHANGES},
            **_events(),
        },
        "components": {
            "messages": messages,
            "schemas": schemas.named_in([messages, ref(Auth)]),
            "securitySchemes": {"token": _token()},
        },
    }


def _server() -> Object:
    return {
        "host": "{host}",
        "pathname": "/socket.io/",
        "protocol": "wss",
        "description": "Socket.IO 5 over Engine.IO 4; without TLS in front of it `ws`.",
        "variables": {"host": {"default": "localhost:8080", "description": "Where the server is."}},
        "security": [{"$ref": "#/components/securitySchemes/token"}],
    }


def _token() -> Object:
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": (
            "In the `auth` payload, `{token, device?, client?, protocol?}`, or in the handshake's "
            "header."
        ),
    }


def _channel(messages: Iterable[str]) -> Object:
    return {
        "address": "/",
        "title": "The namespace /",
        "description": "All commands, their answers and all events.",
        "servers": [{"$ref": "#/servers/ridewire"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "x-auth": ref(Auth),
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "required": ["EIO", "transport"],
                    "properties": {
                        "EIO": {"type": "string", "const": "4"},
                        "transport": {"type": "string", "enum": ["websocket", "polling"]},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
    }


def _messages() -> dict[str, Object]:
    """Every command, answer and event, under the name of its payload's type."""
    found = {
        exchange.name: _message(exchange.name, exchange.event, exchange.about)
        for exchange in EXCHANGES
    }
    for exchange in EXCHANGES:
        name = exchange.answer.__name__
        found[name] = _message(name, _ACK, "The answer of a command that was carried out.")
    for heard in EVENTS:
        name = heard.payload.__name__
        found[name] = _message(name, heard.event, heard.to)
    refusal = errors.Refusal.__name__
    found[refusal] = _message(refusal, _ACK, "The answer of a command that was refused.")
    return found


def _message(type_name: str, name: str, summary: str) -> Object:
    return {
        "name": name,
        "title": type_name,
        "summary": summary,
        "payload": {"$ref": f"#/components/schemas/{type_name}"},
        "examples": [{"payload": examples.of_type(type_name)}],
    }


def _command(exchange: Exchange) -> Object:
    roles = roles_of(exchange.event)
    who = ", ".join(f"`{role}`" for role in roles)
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{_CHANNEL}"},
        "title": exchange.event,
        "summary": exchange.about,
        "description": f"For {who}.",
        "tags": [{"name": "commands"}],
        "messages": _in_channel([exchange.name]),
        "reply": {
            "channel": {"$ref": f"#/channels/{_CHANNEL}"},
            "messages": _in_channel([exchange.answer.__name__, errors.Refusal.__name__]),
        },
        "x-roles": roles,
        "x-codes": errors.of_command(exchange.event),
    }


def _events() -> dict[str, Object]:
    """One operation for each event, which may have several payloads."""
    found: dict[str, Object] = {}
    for event in dict.fromkeys(heard.event for heard in EVENTS):
        forms = [heard for heard in EVENTS if heard.event == event]
        found[f"hear_{_key(event)}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{_CHANNEL}"},
            "title": event,
            "summary": " ".join(heard.to for heard in forms),
            "description": forms[0].delivery,
            "tags": [{"name": "events"}],
            "messages": _in_channel([heard.payload.__name__ for heard in forms]),
        }
    return found


def _in_channel(names: Sequence[str]) -> list[Object]:
    return [{"$ref": f"#/channels/{_CHANNEL}/messages/{name}"} for name in names]


def _key(event: str) -> str:
    return event.replace(":", "_")


def _locations() -> Object:
    return {
        "description": (
            "A point, or several, oldest first. `latitude` and `longitude` are taken as names, "
            "too. Single bad points are rejected, and the others count."
        ),
        "anyOf": [
            ref(Point),
            {"type": "array", "items": ref(Point), "minItems": 1, "maxItems": commands.MAX_POINTS},
        ],
    }
