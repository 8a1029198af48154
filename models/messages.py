"""Chat: what is written, where, how far everybody has read."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from models import free_form
from models.fields import INVISIBLE, Id, Latitude, Longitude, Millis, Number
from models.free_form import FreeForm

MAX_TEXT = 2_000
MAX_PARTICIPANTS = 50

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Participants = Annotated[tuple[Id, ...], Meta(min_length=1, max_length=MAX_PARTICIPANTS)]


class Kind(StrEnum):
    TEXT = "text"
    QUICK_REPLY = "quick_reply"
    LOCATION = "location"
    IMAGE = "image"
    SYSTEM = "system"


class Draft(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message as its sender asks for it: `chat:send`.

    `text` and `quick_reply` need `text`; `location` needs `data: {lat, lng}`; `image` needs
    `data: {url, size}`, an http(s) address and its bytes; `system` is the service's to write.
    """

    event: ClassVar[str] = "chat:send"

    conversation_id: Id
    client_id: Id
    kind: Kind = Kind.TEXT
    text: Text | None = None
    data: FreeForm | None = None

    def __post_init__(self) -> None:
        if self.data is not None:
            free_form.check(self.data, "data")
        if self.kind in _DATA_OF:
            msgspec.convert({"data": self.data}, _DATA_OF[self.kind])
        elif self.text is None:
            raise ValueError(f"Expected 1-{MAX_TEXT} characters in a {self.kind} - at `$.text`")


class LocationData(Struct, frozen=True):
    lat: Latitude
    lng: Longitude


class ImageData(Struct, frozen=True):
    url: Annotated[str, Meta(max_length=2_048, pattern=rf"\Ahttps?://[^{INVISIBLE}]+\Z")]
    size: Number
    """Bytes."""


class _OfLocation(Struct, frozen=True):
    data: LocationData


class _OfImage(Struct, frozen=True):
    data: ImageData


_DATA_OF: dict[Kind, type[Struct]] = {Kind.LOCATION: _OfLocation, Kind.IMAGE: _OfImage}
"""What the message must have besides, by its kind."""


class Message(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A stored message. `seq` is 1, 2, 3, … without holes within its conversation."""

    event: ClassVar[str] = "chat:message"

    id: Id
    conversation_id: Id
    seq: Number
    sender_id: Id
    client_id: Id
    kind: Kind
    text: str | None
    data: dict[str, Any] | None = None
    sent_at: Millis

    @property
    def number(self) -> int:
        return self.seq


class Read(Struct, frozen=True):
    """How far a participant is: everything up to these numbers. Both only grow."""

    delivered_seq: Number = 0
    read_seq: Number = 0


class Conversation(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A conversation that is no trip's: support. A trip's conversation is the trip itself."""

    id: Id
    participants: tuple[Id, ...]
    created_at: Millis
    created_by: Id
    title: str | None = None
    closed_at: Millis | None = None
