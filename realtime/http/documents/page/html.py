"""HTML from Python values: whatever is not marked as HTML already is escaped."""

import re
from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"input", "link", "meta"})
_CODE: Final = re.compile(r"`([^`]+)`")
_BOLD: Final = re.compile(r"\*\*([^*]+)\*\*")
_ITALIC: Final = re.compile(r"\*([^*]+)\*")


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element. An attribute that is a word of Python's ends with `_`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{given}>{join(children)}{end}")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Parts one after the other."""
    return Html(escape(between).join(html(part) for part in parts))


def html(text: str) -> Html:
    return text if isinstance(text, Html) else Html(escape(text))


def code(text: str) -> Html:
    return tag("code", text)


def phrase(text: str) -> Html:
    """A line of Markdown: code, bold and italic, nothing else."""
    marked = _CODE.sub(r"<code>\1</code>", escape(text))
    return Html(_ITALIC.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", marked)))


def paragraphs(text: str) -> Html:
    """Markdown's paragraphs."""
    return join(tag("p", phrase(part)) for part in text.strip().split("\n\n"))
