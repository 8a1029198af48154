"""What a struct's fields are, in the words of docs/protocol.md."""

import types
from collections import abc
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, UnsetType, structs

from handlers.answers import OpenConversation, Rejected
from models.facts import TripDriver
from models.fields import Id, Number
from models.free_form import FreeForm
from models.identity import Role
from models.messages import Conversation, Kind, Message, Read
from models.points import Place, Point
from models.trips import Changed, Event, Offer, Status, Trip, WatchedTrip

Shape = list[tuple[str, str, str]]
"""Name, type and `yes` or `no` for whether it is always there, field by field."""

NAMES: Mapping[Any, str] = {
    Id: "id",
    Number: "integer",
    int: "integer",
    str: "string",
    bool: "boolean",
    FreeForm: "object",
    dict[str, Any]: "object",
    Changed: "changed",
    Conversation: "conversation",
    Event: "entry",
    Kind: "kind",
    Message: "message",
    Offer: "offer",
    OpenConversation: "open conversation",
    Place: "place",
    Point: "point",
    Read: "read",
    Rejected: "rejected point",
    Role: "role",
    Status: "status",
    Trip: "trip",
    TripDriver: "trip:driver",
    WatchedTrip: "watched trip",
}


def asked(command: type[Struct]) -> Shape:
    """The fields of a command: `yes` for those that a client has to send."""
    return [
        (name, _described(kind, optional=not field.required), _yes(yes=field.required))
        for name, kind, field in _fields(command)
    ]


def told(shape: type[Struct]) -> Shape:
    """The fields of what the server sends: `yes` for those that it never leaves out."""
    rows = []
    for name, kind, field in _fields(shape):
        left_out = shape.__struct_config__.omit_defaults and not field.required
        always = not left_out and UnsetType not in get_args(kind)
        rows.append((name, _described(kind, optional=not always), _yes(yes=always)))
    return rows


def _yes(*, yes: bool) -> str:
    return "yes" if yes else "no"


def _fields(shape: type[Struct]) -> list[tuple[str, Any, structs.FieldInfo]]:
    hints = get_type_hints(shape, include_extras=True)
    return [(field.name, hints[field.name], field) for field in structs.fields(shape)]


def _described(kind: Any, *, optional: bool = False) -> str:
    """A type in words. A field that may be left out says nothing of null, unless null differs."""
    if kind in NAMES:
        return NAMES[kind]
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _choice(get_args(kind), optional=optional)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        *first, last = list(kind)
        return f"{', '.join(first)} or {last}"
    if origin is Annotated:
        return _limited(*get_args(kind))
    if origin is abc.Mapping:
        return f"object of {_described(get_args(kind)[1])}"
    if origin in (tuple, list, abc.Sequence):
        return f"list of {_described(get_args(kind)[0])}"
    raise AssertionError(f"no words for {kind}")


def _choice(kinds: Sequence[Any], *, optional: bool) -> str:
    named = [kind for kind in kinds if kind not in (type(None), UnsetType)]
    is_unset = UnsetType in kinds
    words = [_described(kind) for kind in named]
    if type(None) in kinds and (is_unset or not optional):
        words.append("null")
    return " or ".join(words)


def _limited(kind: Any, limits: Meta) -> str:
    if kind in (int, float):
        high = _number(limits.le) or f"below {_number(limits.lt)}"
        return f"{'integer' if kind is int else 'number'}, {_number(limits.ge)} to {high}"
    low, high = _number(limits.min_length), _number(limits.max_length)
    span = f"{low} to {high}" if low else f"up to {high}"
    if kind is str:
        return f"string, {span} characters{', no spaces' if limits.pattern else ''}"
    return f"{_described(kind)}, {span}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"
