"""Cursors: where a list goes on, as text that clients hand back as it came."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec

from models.errors import Invalid

_CHECK_BYTES: Final = 8


P = TypeVar("P")


def cursor(position: object, query: object) -> str:
    """The cursor of a position within what a query finds."""
    raw = msgspec.json.encode(position)
    return urlsafe_b64encode(_check(raw, query) + raw).decode().rstrip("=")


def position(given: str, query: object, kind: type[P]) -> P:
    """The position in a cursor. Raises Invalid for one that was changed or is another query's.

    The check finds mistakes, not forgers: a forged position is read as strictly as any input, and
    shows nothing that the query itself would not.
    """
    try:
        decoded = urlsafe_b64decode(given.encode() + b"=" * (-len(given) % 4))
        check, raw = decoded[:_CHECK_BYTES], decoded[_CHECK_BYTES:]
        if check == _check(raw, query):
            return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        pass
    raise Invalid("Expected next_cursor of an earlier page of the same list", "cursor")


def _check(raw: bytes, query: object) -> bytes:
    return blake2b(msgspec.json.encode(query) + raw, digest_size=_CHECK_BYTES).digest()
