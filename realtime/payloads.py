"""Payloads read into their types, and what is wrong with those that cannot be."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Raw

from handlers.answers import Rejected
from models.commands import MAX_POINTS
from models.errors import Invalid
from models.points import Point
from realtime.wire import Malformed, Parser

T = TypeVar("T")

_ALIASES: Final = {"latitude": "lat", "longitude": "lng"}
_AT: Final = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`\Z")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PATTERN: Final = "Expected `str` matching regex "
_MAX_SEQ: Final = 2**53 - 1
_GIVEN: Final[Any] = dict[Any, Raw] | list[Raw]
_FIELDS: Final = frozenset(Point.__struct_fields__)
_UNREADABLE: Final = object()
_read_point: Final = msgspec.json.Decoder(Point).decode
_WRONG: Final = (msgspec.ValidationError, Malformed)


def parse(parser: Parser, raw: Raw | None, kind: type[T]) -> T:
    """A command's payload as its type. Raises Invalid with the path of what is wrong."""
    if raw is None:
        raise Invalid("Expected an object, got nothing")
    try:
        return parser.read(raw, kind)
    except msgspec.ValidationError as error:
        raise invalid(error, kind) from error
    except Malformed as error:
        raise Invalid(f"Expected what can be read: {error}") from error


def invalid(error: msgspec.ValidationError, kind: type) -> Invalid:
    """What a ValidationError says, as path (`stops.0.lat`) and expectation."""
    text = str(error)
    found = _AT.search(text)
    path = found["path"] if found else ""
    expected = text[: found.start()] if found else text
    missing = _MISSING.match(expected)
    if missing:
        path, expected = f"{path}.{missing['field']}", "Expected a value, got nothing"
    path = re.sub(r"\[(\d+)\]", r".\1", path).replace("[...]", ".*").lstrip(".")
    if expected.startswith("Invalid enum value"):
        expected = f"Expected one of {', '.join(_choices(kind, path))}"
    if expected.startswith(_PATTERN):
        expected = f"Expected {_in_words(expected)}"
    return Invalid(expected, path)


def _in_words(pattern: str) -> str:
    """What a pattern of `models` stands for."""
    if "https?" in pattern:
        return "an http or https address"
    if "A-Za-z0-9" in pattern:
        return "letters, digits and _ . : -"
    return "printable characters without spaces"


def _choices(kind: type, field: str) -> Iterable[str]:
    """The values of a payload's enumeration."""
    hint = get_type_hints(kind)[field]
    return next(
        part
        for part in (hint, *get_args(hint))
        if isinstance(part, type) and issubclass(part, StrEnum)
    )


def plain_point(payload: bytes) -> Point | None:
    """One good point in JSON, by its usual names; None for anything else."""
    try:
        return _read_point(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def points(parser: Parser, raw: Raw | None) -> Sequence[Point | Rejected]:
    """The payload of `driver:location`: a point or a list of them, each good or rejected."""
    if raw is None:
        raise Invalid("Expected a point or a list of points, got nothing")
    try:
        return (parser.read(raw, Point),)
    except _WRONG:
        return _loose_points(parser, raw)


def _loose_points(parser: Parser, raw: Raw) -> Sequence[Point | Rejected]:
    try:
        given: dict[Any, Raw] | list[Raw] = parser.read(raw, _GIVEN)
    except _WRONG as error:
        raise Invalid("Expected a point or a list of points") from error
    if isinstance(given, dict):
        return (_loose_point(parser, raw),)
    if not 1 <= len(given) <= MAX_POINTS:
        raise Invalid(f"Expected 1 to {MAX_POINTS} points, got {len(given)}")
    return [_point(parser, element) for element in given]


def _point(parser: Parser, raw: Raw) -> Point | Rejected:
    try:
        return parser.read(raw, Point)
    except _WRONG:
        return _loose_point(parser, raw)


def _loose_point(parser: Parser, raw: Raw) -> Point | Rejected:
    """A point under its other names, or the reason why it is none."""
    try:
        given = parser.read(raw, dict[Any, Raw])
    except _WRONG:
        return Rejected(None, Invalid.code)
    named = ((_ALIASES.get(name, name), value) for name, value in given.items())
    fields: dict[str, Any] = {
        name: _value(parser, value) for name, value in named if name in _FIELDS
    }
    try:
        return msgspec.convert(fields, Point)
    except msgspec.ValidationError:
        seq = fields.get("seq")
        readable = type(seq) is int and 0 <= seq <= _MAX_SEQ
        return Rejected(seq if readable else None, Invalid.code)


def _value(parser: Parser, raw: Raw) -> object:
    try:
        return parser.read(raw, Any)
    except _WRONG:
        return _UNREADABLE
