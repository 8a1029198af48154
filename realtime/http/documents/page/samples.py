"""Code to copy: a request with curl, a command and an event with socket.io-client."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from realtime.http.documents.page.html import Html, join, tag

_WIDTH: Final = 56
_TOKENS: Final = re.compile(
    r"""(?P<key>"[^"\n]*"(?=:)|\b[A-Za-z_]\w*(?=: [\["{\d]))"""
    r"""|(?P<text>"(?:\\.|[^"\\\n])*")|(?P<note>(?m:(?:^|(?<=\s))(?://|\#)[^\n]*))"""
    r"""|(?P<number>(?<![\w$"-])-?\d+(?:\.\d+)?(?![\w"]))"""
)

SHELL: Final = """\
RIDEWIRE=http://localhost:8080
TOKEN=$(python -m realtime token --role service --sub backend)
curl "$RIDEWIRE/v1/trips?limit=10" \\
  -H "Authorization: Bearer $TOKEN"
"""
CONNECT: Final = """\
import { io } from "socket.io-client";

const socket = io("https://rides.example.com", {
  transports: ["websocket"],
  auth: { token, device: "phone-7", client: "rider-ios/4.2" },
});
"""


def sample(title: str, text: str) -> Html:
    """A piece of code with its title."""
    return tag("figure", tag("figcaption", title), tag("pre", tag("code", _coloured(text))))


def curl(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """A request by the examples of an operation of OpenAPI."""
    given = {p["name"]: p["example"] for p in operation["parameters"] if "example" in p}
    where = {p["name"]: p["in"] for p in operation["parameters"] if "example" in p}
    for name, value in given.items():
        path = path.replace(f"{{{name}}}", str(value))
    query = urlencode({name: given[name] for name in given if where[name] == "query"})
    url = f"$RIDEWIRE{path}{'?' if query else ''}{query}"
    parts = [f'curl "{url}"' if method == "GET" else f'curl -X {method} "{url}"']
    if operation.get("security") != []:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["example"]
        parts.append('-H "Content-Type: application/json"')
        parts.append(f"-d {shlex.quote(pretty(body))}")
    return " \\\n  ".join(parts)


def emit(event: str, payload: object) -> str:
    """A command with its answer."""
    return f'const answer = await socket.emitWithAck("{event}", {script(payload)});'


def listen(event: str, payload: object) -> str:
    """What hears an event."""
    return f'socket.on("{event}", (event) => {{\n  // {_noted(pretty(payload))}\n}});'


def pretty(value: object, indent: int = 0) -> str:
    """JSON that has its short objects and lists on one line."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) + indent <= _WIDTH or not isinstance(value, dict | list) or not value:
        return short
    inner = indent + 2
    if isinstance(value, list):
        lines = [pretty(part, inner) for part in value]
        return _wrapped("[", lines, "]", indent)
    lines = [f"{json.dumps(key)}: {pretty(part, inner)}" for key, part in value.items()]
    return _wrapped("{", lines, "}", indent)


def script(value: object) -> str:
    """A value of JavaScript: JSON with bare keys."""
    return re.sub(r'"([A-Za-z_]\w*)":', r"\1:", pretty(value))


def _wrapped(begin: str, lines: Sequence[str], end: str, indent: int) -> str:
    pad = " " * (indent + 2)
    body = ",\n".join(f"{pad}{line}" for line in lines)
    return f"{begin}\n{body}\n{' ' * indent}{end}"


def _noted(text: str) -> str:
    return text.replace("\n", "\n  // ")


def _coloured(text: str) -> Html:
    parts: list[str] = []
    end = 0
    for found in _TOKENS.finditer(text):
        parts.append(text[end : found.start()])
        parts.append(tag("span", found[0], class_=str(found.lastgroup)))
        end = found.end()
    return join([*parts, text[end:]])
