"""Documents as the tests read them: sections, tables, code blocks, links."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)]+)\)")

Row = dict[str, str]
"""A table's row, by column."""


class Code(Struct, frozen=True):
    """A fenced block: ```` ```sh tokens ````."""

    language: str
    name: str
    text: str


class Document:
    def __init__(self, path: str) -> None:
        self.path = ROOT / path
        self.text = self.path.read_text("utf-8")
        self.prose = _FENCED.sub("", self.text)

    def section(self, *headings: str) -> str:
        """What stands under a heading, found within that of the one before it."""
        text = self.prose
        for heading in headings:
            text = _sections(text)[heading]
        return text

    def subsections(self, *headings: str) -> list[str]:
        """The headings of the next level under a heading."""
        inner = [(len(m[1]), m[2]) for m in _HEADING.finditer(self.section(*headings))]
        return [plain(title) for level, title in inner if level == inner[0][0]]

    def tables(self, *headings: str) -> list[list[Row]]:
        """The tables directly under a heading, before the next heading."""
        return list(_tables(_HEADING.split(self.section(*headings))[0]))

    def table(self, *headings: str) -> list[Row]:
        """The only table there."""
        [table] = self.tables(*headings)
        return table

    def table_of(self, heading: str, column: str) -> list[Row]:
        """The table with this column, of those under a heading."""
        [table] = [rows for rows in self.tables(heading) if column in rows[0]]
        return table

    def code(self) -> list[Code]:
        return [Code(found[1], found[2] or "", found[3]) for found in _FENCED.finditer(self.text)]

    def code_named(self, name: str) -> str:
        [code] = [code for code in self.code() if code.name == name]
        return code.text

    def links(self) -> list[str]:
        return [found[2] for found in _LINK.finditer(self.prose)]

    def anchors(self) -> set[str]:
        """The names under which GitHub shows the headings; repeated ones are numbered."""
        anchors: set[str] = set()
        for found in _HEADING.finditer(self.prose):
            slug = re.sub(r"[^\w\- ]", "", found[2].lower()).replace(" ", "-")
            same = [name for name in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", name)]
            anchors.add(f"{slug}-{len(same)}" if same else slug)
        return anchors


def plain(text: str) -> str:
    """Text without links and code marks."""
    return _LINK.sub(r"\1", text).replace("`", "").strip()


def _sections(text: str) -> dict[str, str]:
    headings = list(_HEADING.finditer(text))
    sections = {}
    for number, heading in enumerate(headings):
        following = headings[number + 1 :]
        end = next((h.start() for h in following if len(h[1]) <= len(heading[1])), len(text))
        sections[plain(heading[2])] = text[heading.end() : end]
    return sections


def _tables(text: str) -> Iterator[list[Row]]:
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        head, _, *rows = [_cells(line) for line in block.strip().split("\n")]
        yield [dict(zip(head, row, strict=True)) for row in rows]


def _cells(line: str) -> list[str]:
    return [plain(cell) for cell in line.strip().strip("|").split("|")]
