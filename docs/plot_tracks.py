"""Draws tracks.svg: two hours of each taxi as it was sent, and as the filter leaves it.

    python -m docs.plot_tracks FOLDER

FOLDER has the recorded traces. Refused fixes are red.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from math import cos, radians
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from msgspec import Struct

from models.distances import DEGREE_M
from models.filter import DEFAULT_LIMITS, Filter, Refusal
from models.points import Point
from realtime.simulation.traces import read

PICTURE: Final = Path(__file__).with_name("tracks.svg")

# Lengths are in pixels of the picture's full size.
_PANEL: Final = 380
_MARGIN: Final = 20
_TITLE: Final = 26
_INSET: Final = 12
_BAR_M: Final = 5_000
_STYLE: Final = """
text { font: 12px system-ui, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.title { font-weight: 600; font-size: 13px }
.frame { fill: none; stroke: #d1d9e0 }
.way { fill: none; stroke: #0969da; stroke-width: 1.2; stroke-linejoin: round }
.fix { fill: #0969da }
.refused { fill: #cf222e }
.bar { stroke: #1f2328 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .ground { fill: #0d1117; stroke: #3d444d }
  .frame { stroke: #3d444d }
  .way { stroke: #4493f8 }
  .fix { fill: #4493f8 }
  .refused { fill: #f85149 }
  .bar { stroke: #f0f6fc }
}
"""


class Excerpt(Struct, frozen=True):
    """Two hours of one taxi."""

    name: str
    start: datetime

    def holds(self, point: Point) -> bool:
        return 0 <= point.ts / 1_000 - self.start.timestamp() <= 7_200

    @property
    def title(self) -> str:
        return f"{self.name}, from {self.start:%B %-d, %H:%M} UTC"


EXCERPTS: Final = (
    Excerpt("new_abboip", datetime(2008, 5, 27, 0, 30, tzinfo=UTC)),
    Excerpt("new_ugthfu", datetime(2008, 6, 3, 5, 0, tzinfo=UTC)),
)


class View:
    """A square of the ground as a panel of the picture: north is up, a metre is a metre."""

    def __init__(self, points: Sequence[Point], left: float, top: float) -> None:
        self.left, self.top = left, top
        lats, lngs = [p.lat for p in points], [p.lng for p in points]
        self._lat, self._lng = (min(lats) + max(lats)) / 2, (min(lngs) + max(lngs)) / 2
        self._east_m = DEGREE_M * cos(radians(self._lat))
        width = max(
            (max(lats) - min(lats)) * DEGREE_M, (max(lngs) - min(lngs)) * self._east_m, _BAR_M
        )
        self.scale = (_PANEL - 2 * _INSET) / width
        """Pixels a metre."""

    def place(self, point: Point) -> tuple[float, float]:
        east = (point.lng - self._lng) * self._east_m
        south = (self._lat - point.lat) * DEGREE_M
        middle = _PANEL / 2
        return (
            round(self.left + middle + east * self.scale, 1),
            round(self.top + middle + south * self.scale, 1),
        )


def picture(folder: Path) -> str:
    canvas = Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
    SubElement(canvas, "title").text = "Tracks of two taxis before and after the filter"
    SubElement(canvas, "style").text = _STYLE
    width = 3 * _MARGIN + 2 * _PANEL
    height = _MARGIN + len(EXCERPTS) * (_TITLE + _PANEL + _MARGIN)
    canvas.attrib |= {
        "width": f"{width}",
        "height": f"{height}",
        "viewBox": f"0 0 {width} {height}",
    }
    _add(canvas, "rect", "ground", x=0.5, y=0.5, rx=8, width=width - 1, height=height - 1)
    for row, excerpt in enumerate(EXCERPTS):
        sent, accepted = _replayed(folder / f"{excerpt.name}.txt.gz", excerpt)
        top = _MARGIN + row * (_TITLE + _PANEL + _MARGIN)
        for column, (title, shown) in enumerate((("sent", sent), ("accepted", accepted))):
            left = _MARGIN + column * (_PANEL + _MARGIN)
            heading = f"{excerpt.title}: {title}"
            _add(canvas, "text", "title", x=left, y=top + 16).text = heading
            _draw(canvas, View(sent, left, top + _TITLE), shown, accepted)
    indent(canvas, " ")
    return tostring(canvas, encoding="unicode") + "\n"


def _replayed(path: Path, excerpt: Excerpt) -> tuple[list[Point], list[Point]]:
    """What was sent in the time, and what was accepted of it."""
    known = Filter("cab", None, DEFAULT_LIMITS)
    sent: list[Point] = []
    accepted: list[Point] = []
    for seq, fix in enumerate(read(path), 1):
        point = Point(fix.lat, fix.lng, fix.at_s * 1_000, seq)
        is_taken = not isinstance(known.take(point, point.ts), Refusal)
        if excerpt.holds(point):
            sent.append(point)
            accepted += [point] * is_taken
    return sent, accepted


def _draw(canvas: Element, view: View, shown: list[Point], accepted: list[Point]) -> None:
    _add(canvas, "rect", "frame", x=view.left, y=view.top, width=_PANEL, height=_PANEL)
    way = " ".join(f"{x:g},{y:g}" for x, y in map(view.place, shown))
    SubElement(canvas, "polyline", {"points": way, "class": "way"})
    for point in shown:
        x, y = view.place(point)
        kind, radius = ("fix", 1.8) if point in accepted else ("refused", 3.5)
        _add(canvas, "circle", kind, cx=x, cy=y, r=radius)
    left, bottom = view.left + _INSET, view.top + _PANEL - _INSET
    right = round(left + _BAR_M * view.scale, 1)
    _add(canvas, "line", "bar", x1=left, x2=right, y1=bottom, y2=bottom)
    _add(canvas, "text", "scale", x=left, y=bottom - 6).text = f"{_BAR_M // 1_000} km"


def _add(canvas: Element, tag: str, classes: str, **lengths: float) -> Element:
    attributes = {name: f"{length:g}" for name, length in lengths.items()}
    return SubElement(canvas, tag, {**attributes, "class": classes})


if __name__ == "__main__":
    PICTURE.write_text(picture(Path(sys.argv[1])), "utf-8")
