"""What the page is made of: parts with entries, and what entries have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from realtime.http.documents.page.html import Html, tag
from realtime.http.documents.page.schema import in_words

Object = Mapping[str, Any]


class Entry(Struct, frozen=True):
    """A route, a command, an event or a shape."""

    id: str
    heading: Html
    """Also in the list of contents."""
    about: Sequence[Html]
    samples: Sequence[Html] = ()


class Part(Struct, frozen=True):
    """Entries of one kind."""

    title: str
    about: str
    entries: Sequence[Entry]


def roles(operation: Object) -> list[Html]:
    named = [tag("li", role) for role in operation.get("x-roles", ())]
    return [tag("ul", *named, class_="roles", title="Roles that may")] if named else []


def described(schema: Object, table: Callable[[Object], Html]) -> Html:
    """The fields of an object; of anything else, what it is."""
    return table(schema) if "properties" in schema else tag("p", in_words(schema), class_="type")
