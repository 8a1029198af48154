"""Structs as documents and back, exactly."""

from typing import TypeVar, cast

import msgspec
from msgspec import Struct

from models.fields import Millis
from models.mongo.driver import Document

T = TypeVar("T")


def to_document(value: Struct) -> Document:
    return cast("Document", msgspec.to_builtins(value))


def from_document(document: Document, kind: type[T]) -> T:
    """Fields that the type does not know are ignored."""
    return msgspec.convert(msgspec.to_builtins(document, enc_hook=_plain), kind)


def within(since: Millis, until: Millis | None) -> Document:
    """Matches a time (ms) from `since` on and, unless that is None, before `until`."""
    return {"$gte": since} if until is None else {"$gte": since, "$lt": until}


def _plain(value: object) -> object:
    """The driver reads large integers as a class of its own, which no encoder knows."""
    return int(value) if isinstance(value, int) else str(value)
