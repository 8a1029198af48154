"""The places in docs/reliability.md that are made by running the suite."""

from typing import Final

from msgspec import Struct

from chaos.processes import ROOT

PAGE: Final = ROOT / "docs" / "reliability.md"


class Place(Struct, frozen=True):
    """Between two comments. `made_by` are the arguments of the command line."""

    name: str
    made_by: str

    @property
    def begin(self) -> str:
        return f"<!-- {self.name}: made by `python -m chaos {self.made_by}` -->"

    @property
    def end(self) -> str:
        return f"<!-- end of {self.name} -->"

    def put(self, text: str) -> None:
        """Have it there, instead of what is there."""
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(self.begin)
        _, _, after = rest.partition(self.end)
        PAGE.write_text(f"{before}{self.begin}\n\n{text}\n\n{self.end}{after}", "utf-8")


RESULTS: Final = Place("results", "--publish")
BREAKAGES: Final = Place("breakages", "--breakages --publish")
STORM: Final = Place("storm", "--storm --publish")
PLACES: Final = (RESULTS, BREAKAGES, STORM)
