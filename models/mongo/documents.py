"""Structs as documents and back, exactly."""

from typing import TypeVar, cast

import msgspec
from msgspec import Struct

from models.mongo.driver import Document

T = TypeVar("T")


def to_document(value: Struct) -> Document:
    return cast("Document", msgspec.to_builtins(value))


def from_document(document: Document, kind: type[T]) -> T:
    """Fields that the type does not know are ignored."""
    return msgspec.convert(msgspec.to_builtins(document, enc_hook=_plain), kind)


def _plain(value: object) -> object:
    """The driver reads large integers as a class of its own, which no encoder knows."""
    return int(value) if isinstance(value, int) else str(value)
