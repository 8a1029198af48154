"""A message as its sender asks for it: what each kind needs, and how much of it."""

from typing import Any

import msgspec
import pytest

from models.messages import Draft, Kind, Message, Read

PLACE = {"lat": 52.5, "lng": 13.4}
PICTURE = {"url": "https://example.org/a.jpg", "size": 48_000}


def draft(**fields: object) -> Draft:
    return msgspec.convert({"conversation_id": "t1", "client_id": "c1", **fields}, Draft)


def is_taken(**fields: object) -> bool:
    try:
        draft(**fields)
    except msgspec.ValidationError:
        return False
    return True


class TestTexts:
    def test_a_message_is_text_unless_it_says_otherwise(self) -> None:
        assert draft(text="hello").kind is Kind.TEXT

    @pytest.mark.parametrize("kind", ["text", "quick_reply", "system"])
    @pytest.mark.parametrize(
        ("length", "taken"), [(0, False), (1, True), (2_000, True), (2_001, False)]
    )
    def test_a_text_has_1_to_2000_characters(self, kind: str, length: int, taken: bool) -> None:
        assert is_taken(kind=kind, text="x" * length) is taken
        assert is_taken(kind=kind, text="🚕" * length) is taken

    @pytest.mark.parametrize("kind", ["text", "quick_reply", "system"])
    def test_without_its_text_it_is_no_message(self, kind: str) -> None:
        assert not is_taken(kind=kind)
        assert not is_taken(kind=kind, text=None)
        assert not is_taken(kind=kind, data={"a": 1})

    def test_a_text_may_carry_data(self) -> None:
        assert draft(text="hello", data={"a": 1}).data == {"a": 1}

    @pytest.mark.parametrize("kind", ["", "Text", "video", 1, None])
    def test_other_kinds_are_refused(self, kind: object) -> None:
        assert not is_taken(kind=kind, text="hello")


class TestLocations:
    def test_a_location_has_its_place_in_data(self) -> None:
        assert draft(kind="location", data=PLACE).data == PLACE

    @pytest.mark.parametrize(
        "data",
        [None, {}, {"lat": 1}, {"lng": 1}, PLACE | {"lat": 90.1}, PLACE | {"lng": "13"}],
    )
    def test_another_place_is_refused(self, data: object) -> None:
        assert not is_taken(kind="location", data=data)
        assert not is_taken(kind="location", data=data, text="here")

    def test_more_may_be_said_of_it(self) -> None:
        assert is_taken(kind="location", data={**PLACE, "address": "x"}, text="here")

    def test_its_data_keeps_the_limits_of_free_forms(self) -> None:
        assert not is_taken(kind="location", data={**PLACE, "$set": 1})
        assert not is_taken(kind="location", data={**PLACE, "a": "x" * 5_000})


class TestImages:
    def test_an_image_has_its_address_and_size_in_data(self) -> None:
        assert draft(kind="image", data=PICTURE).data == PICTURE
        assert is_taken(kind="image", data={**PICTURE, "url": "http://example.org/"})

    @pytest.mark.parametrize(
        "data",
        [
            None,
            {"url": PICTURE["url"]},
            {"size": 1},
            {**PICTURE, "size": -1},
            {**PICTURE, "size": 1.5},
            {**PICTURE, "url": "ftp://example.org/a.jpg"},
            {**PICTURE, "url": "javascript:alert(1)"},
            {**PICTURE, "url": "//example.org/a.jpg"},
            {**PICTURE, "url": "https://example.org/a b"},
            {**PICTURE, "url": "https://example.org/\n"},
            {**PICTURE, "url": "https://"},
            {**PICTURE, "url": "https://" + "x" * 2_048},
        ],
    )
    def test_another_image_is_refused(self, data: object) -> None:
        assert not is_taken(kind="image", data=data)


class TestShapes:
    @pytest.mark.parametrize("missing", ["conversation_id", "client_id"])
    def test_it_says_where_it_goes_and_what_it_is_called(self, missing: str) -> None:
        fields = {"conversation_id": "t1", "client_id": "c1", "text": "hello"}
        del fields[missing]
        with pytest.raises(msgspec.ValidationError, match=missing):
            msgspec.convert(fields, Draft)

    def test_who_somebody_is_never_comes_from_a_payload(self) -> None:
        assert not hasattr(draft(text="hello", sender_id="somebody"), "sender_id")

    def test_a_message_has_the_documented_fields(self) -> None:
        fields = encoded(text="hello")
        assert set(fields) == {
            *("id", "conversation_id", "seq", "sender_id", "client_id", "kind", "text", "sent_at"),
        }
        assert encoded(text=None, data=PLACE, kind=Kind.LOCATION)["text"] is None
        assert encoded(text=None, data=PLACE, kind=Kind.LOCATION)["data"] == PLACE

    def test_nobody_has_read_anything_at_first(self) -> None:
        assert Read() == Read(delivered_seq=0, read_seq=0)


def encoded(
    *, text: str | None, data: dict[str, Any] | None = None, kind: Kind = Kind.TEXT
) -> dict[str, Any]:
    message = Message(
        id="m1",
        conversation_id="t1",
        seq=1,
        sender_id="rita",
        client_id="c1",
        kind=kind,
        text=text,
        data=data,
        sent_at=5,
    )
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
    return fields
