"""The page's entries of commands and events, from the AsyncAPI document."""

from collections.abc import Callable, Iterator

from realtime.http.documents.page import samples
from realtime.http.documents.page.html import Html, code, join, phrase, tag
from realtime.http.documents.page.parts import Entry, Object, described, roles
from realtime.http.documents.page.schema import asked, told
from realtime.http.documents.schemas.types import named


def commands(asyncapi: Object) -> Iterator[Entry]:
    messages = asyncapi["components"]["messages"]
    for name, operation in asyncapi["operations"].items():
        if operation["action"] == "receive":
            yield _command(name, operation, messages, asyncapi["components"]["schemas"])


def _command(name: str, operation: Object, messages: Object, schemas: Object) -> Entry:
    (command,) = _messages(operation, messages)
    answer, _ = _messages(operation["reply"], messages)
    refused = join((code(each) for each in operation["x-codes"]), ", ")
    about = [
        tag("p", phrase(operation["summary"])),
        *roles(operation),
        tag("h4", "Payload"),
        _payload(command, schemas, asked),
        tag("h4", "Answer"),
        _payload(answer, schemas, told),
        tag("p", "Or refused with ", refused, ".", class_="by"),
    ]
    emitted = samples.sample("JavaScript", samples.emit(operation["title"], _example(command)))
    answered = samples.sample("answer", samples.pretty(_example(answer)))
    return Entry(name, code(operation["title"]), about, [emitted, answered])


def events(asyncapi: Object) -> Iterator[Entry]:
    messages = asyncapi["components"]["messages"]
    for name, operation in asyncapi["operations"].items():
        if operation["action"] == "send":
            yield _event(name, operation, messages, asyncapi["components"]["schemas"])


def _event(name: str, operation: Object, messages: Object, schemas: Object) -> Entry:
    forms = _messages(operation, messages)
    about = [tag("p", phrase(operation["description"]), class_="by")]
    for form in forms:
        about += [tag("h4", "To"), tag("p", phrase(form["summary"])), tag("h4", "Payload")]
        about.append(_payload(form, schemas, told))
    sample = samples.listen(operation["title"], _example(forms[0]))
    heard = samples.sample("JavaScript", sample)
    return Entry(name, code(operation["title"]), about, [heard])


def _messages(operation: Object, messages: Object) -> list[Object]:
    return [messages[named(each)] for each in operation["messages"]]


def _example(message: Object) -> object:
    example: object = message["examples"][0]["payload"]
    return example


def _payload(message: Object, schemas: Object, table: Callable[[Object], Html]) -> Html:
    return described(schemas[named(message["payload"])], table)
