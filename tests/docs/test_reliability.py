"""What docs/reliability.md says of the fault suite is so."""

from chaos.breakages import BREAKAGES
from chaos.page import PLACES
from tests.docs.markdown import Document

PAGE = Document("docs/reliability.md")


def test_the_broken_servers_are_those_that_there_are() -> None:
    rows = PAGE.table("Tested")
    assert {row["Broken"].strip("`"): row["Which means"] for row in rows} == {
        name: breakage.what for name, breakage in BREAKAGES.items()
    }


def test_each_broken_server_was_caught() -> None:
    for row in PAGE.table("Tested"):
        seen = row["Promises that were seen to be broken, how often"]
        assert seen.startswith(f"{BREAKAGES[row['Broken'].strip('`')].promise} (")


def test_what_is_made_by_running_has_its_place() -> None:
    for place in PLACES:
        assert PAGE.text.index("## Tested") < PAGE.text.index(place.begin)
        assert PAGE.text.index(place.begin) < PAGE.text.index(place.end)
