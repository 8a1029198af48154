"""A page for people, made from the two documents: every route, command, event and shape.

It is one file of HTML with its style inside and no script, so it works anywhere, also offline.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from realtime.http.documents.page import samples
from realtime.http.documents.page.html import Html, join, paragraphs, phrase, tag
from realtime.http.documents.page.http import routes
from realtime.http.documents.page.parts import Entry, Object, Part, described
from realtime.http.documents.page.schema import told
from realtime.http.documents.page.sockets import commands, events
from realtime.http.documents.page.style import STYLE
from realtime.http.documents.schemas.types import references

_TITLE: Final = "Ridewire: the interface"


def page(openapi: Object, asyncapi: Object) -> str:
    """The whole page, as HTML."""
    parts = [
        *routes(openapi),
        Part("Commands", "What clients send over Socket.IO.", [*commands(asyncapi)]),
        Part("Events", "What clients hear over Socket.IO.", [*events(asyncapi)]),
        Part("Shapes", "What fields hold.", [*_shapes(openapi, asyncapi)]),
    ]
    body = tag(
        "body",
        tag("a", "To the content", href="#content", class_="skip"),
        _contents(parts),
        tag("main", _beginning(openapi, asyncapi), *map(_part, parts), id="content"),
    )
    return f"<!doctype html>\n{tag('html', _head(), body, lang='en')}\n"


def _head() -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", _TITLE),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(STYLE)),
    )


def _contents(parts: Sequence[Part]) -> Html:
    lists = [
        join(
            [
                tag("h2", tag("a", part.title, href=f"#{_id(part)}")),
                tag("ul", *(_item(entry) for entry in part.entries)),
            ]
        )
        for part in parts
    ]
    return join(
        [
            tag("input", type="checkbox", id="menu"),
            tag("label", "Contents", for_="menu"),
            tag("nav", tag("a", "Ridewire", href="#content", class_="brand"), *lists),
        ]
    )


def _item(entry: Entry) -> Html:
    return tag("li", tag("a", entry.heading, href=f"#{entry.id}"))


def _beginning(openapi: Object, asyncapi: Object) -> Html:
    links = [tag("a", document, href=document) for document in ("openapi.json", "asyncapi.json")]
    return tag(
        "header",
        tag("h1", _TITLE),
        tag(
            "p", "Version ", openapi["info"]["version"], ". For programs: ", join(links, ", "), "."
        ),
        tag(
            "div",
            tag(
                "div",
                tag("h2", "HTTP"),
                paragraphs(openapi["info"]["description"]),
                samples.sample("shell", samples.SHELL),
            ),
            tag(
                "div",
                tag("h2", "Socket.IO"),
                paragraphs(asyncapi["info"]["description"]),
                samples.sample("JavaScript", samples.CONNECT),
            ),
            class_="sides",
        ),
    )


def _part(part: Part) -> Html:
    about = [tag("h2", part.title), tag("p", phrase(part.about))]
    return tag("section", *about, *map(_entry, part.entries), id=_id(part), class_="part")


def _entry(entry: Entry) -> Html:
    heading = tag("h3", entry.heading, tag("a", "#", href=f"#{entry.id}", title="Link to this"))
    about = tag("div", *entry.about)
    right = [tag("div", *entry.samples, class_="samples")] if entry.samples else []
    return tag("article", heading, tag("div", about, *right, class_="sides"), id=entry.id)


def _id(part: Part) -> str:
    return f"part-{part.title.lower().replace(': ', '-')}"


def _shapes(openapi: Object, asyncapi: Object) -> Iterator[Entry]:
    """The schemas that others refer to."""
    schemas = {**openapi["components"]["schemas"], **asyncapi["components"]["schemas"]}
    wanted = {name for schema in schemas.values() for name in references(schema)}
    wanted |= {name for path in openapi["paths"].values() for name in references(path)}
    for name in sorted(name for name in wanted if not name.endswith("Body")):
        yield _shape(name, schemas[name])


def _shape(name: str, schema: Object) -> Entry:
    about = [paragraphs(schema["description"]), described(schema, told)]
    return Entry(f"shape-{name}", tag("span", name), about)
