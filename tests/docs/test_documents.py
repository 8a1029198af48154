"""What every document mentions exists: make targets, links, files, rooms."""

import inspect
import re

import pytest

from models import rooms
from tests.docs.markdown import ROOT, Document

DOCUMENTS = [
    Document(f"{name}.md")
    for name in (
        "README",
        "SECURITY",
        "docs/protocol",
        "docs/architecture",
        "docs/gateway",
        "docs/backend",
        "docs/http",
        "docs/locations",
        "docs/operations",
        "docs/reliability",
        "docs/tokens",
        "docs/tracks",
    )
]
FOLDERS = ("models", "handlers", "realtime", "bench", "chaos", "tests", "docs", "examples")

RESULTS = ("bench/results.md", "bench/results.svg")
"""`make bench` writes them; tests/bench/test_published.py sees to them."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.name)
def test_every_make_target_that_is_mentioned_exists(document: Document) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    mentioned = set(re.findall(r"(?:`|^)make ([a-z]+)", document.text, re.MULTILINE))
    assert mentioned <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.name)
def test_every_relative_link_leads_somewhere(document: Document) -> None:
    for link in document.links():
        if not re.match(r"https?://", link) and link not in RESULTS:
            path, _, anchor = link.partition("#")
            target = document.path.parent / path if path else document.path
            assert target.exists(), link
            if anchor:
                assert anchor in Document(str(target.resolve())).anchors(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.name)
def test_every_file_that_is_mentioned_exists(document: Document) -> None:
    mentioned = re.findall(r"`([\w./]+(?:/|\.\w+))`", document.prose)
    for name in mentioned:
        if name.split("/")[0] in FOLDERS:
            assert (ROOT / name).exists(), name


def test_the_rooms_are_those_of_the_code() -> None:
    rows = Document("docs/architecture.md").table("Rooms")
    makers = [maker for _, maker in inspect.getmembers(rooms, inspect.isfunction)]
    assert {row["Room"] for row in rows} == {maker("ID") for maker in makers} | {rooms.INSTANCES}
