"""The two documents for tests, and what holds a payload against them."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from jsonschema_rs import Draft202012Validator

from realtime.http.documents.asyncapi import asyncapi
from realtime.http.documents.openapi import openapi

Object = dict[str, Any]


@cache
def over_http() -> Object:
    return _as_sent(openapi())


@cache
def over_sockets() -> Object:
    return _as_sent(asyncapi())


def _as_sent(document: Object) -> Object:
    sent: Object = msgspec.json.decode(msgspec.json.encode(document))
    return sent


def problems(document: Object, schema: Object, value: Any) -> list[str]:
    """What a schema of a document has against a value."""
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


def named(document: Object, name: str) -> Object:
    """A reference to a schema of a document."""
    assert name in document["components"]["schemas"]
    return {"$ref": f"#/components/schemas/{name}"}


def operations() -> Iterator[tuple[str, str, Object]]:
    """Method, path and operation of everything that OpenAPI describes."""
    for path, item in over_http()["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def message_of(event: str, *, sent: bool) -> list[Object]:
    """The payload schemas of what the server sends or receives under this name."""
    document = over_sockets()
    action = "send" if sent else "receive"
    return [
        document["components"]["messages"][each["$ref"].rpartition("/")[2]]["payload"]
        for operation in document["operations"].values()
        if operation["action"] == action and operation["title"] == event
        for each in operation["messages"]
    ]


def answers_of(event: str) -> list[Object]:
    """The payload schemas of the answers to a command."""
    document = over_sockets()
    return [
        document["components"]["messages"][each["$ref"].rpartition("/")[2]]["payload"]
        for operation in document["operations"].values()
        if operation["action"] == "receive" and operation["title"] == event
        for each in operation["reply"]["messages"]
    ]
