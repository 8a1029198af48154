"""What docs/reliability.md says of the fault suite is so."""

from chaos.breakages import BREAKAGES
from chaos.results import BEGIN, END
from tests.docs.markdown import Document

PAGE = Document("docs/reliability.md")


def test_the_broken_servers_are_those_that_there_are() -> None:
    rows = PAGE.table("Tested")
    assert {row["Broken"].strip("`"): row["Which means"] for row in rows} == {
        name: breakage.what for name, breakage in BREAKAGES.items()
    }


def test_the_results_have_their_place() -> None:
    assert PAGE.text.index("## Results") < PAGE.text.index(BEGIN) < PAGE.text.index(END)
