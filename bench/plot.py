"""The results as one picture, in SVG: a panel per row, a bar per contestant.

It has a ground of its own, light or dark as the reader's system is, so that it reads on any page.
"""

from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from bench.figures import Figure, figure, number
from bench.plan import Contestant, Row
from bench.results import Results
from bench.views import CALLED, VIEWS

# Lengths are in pixels of the picture's full size.
_COLUMNS: Final = 2
_MARGIN: Final = 20
_PANEL_WIDTH: Final = 400
_CAPTION_HEIGHT: Final = 26
_TITLE_HEIGHT: Final = 26
_LINE_HEIGHT: Final = 23
_BAR_HEIGHT: Final = 15
_GAP: Final = 14
_NAMES_WIDTH: Final = 112
_LONGEST_BAR: Final = 220

_CAPTION: Final = (
    "Shorter is better. Bars are medians; a line goes from the lowest round to the highest."
)
_OURS: Final = {Contestant.RIDEWIRE: "ours"}
_STYLE: Final = """
text { font: 12px system-ui, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.title { font-weight: 600; font-size: 13px }
.caption { fill: #59636e }
.name { text-anchor: end }
.bar { fill: #9aa4af }
.ridewire { fill: #0969da }
.ours { font-weight: 600 }
.picows { fill: #d1d9e0 }
.spread { stroke: #1f2328 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .ground { fill: #0d1117; stroke: #3d444d }
  .caption { fill: #9198a1 }
  .bar { fill: #656c76 }
  .ridewire { fill: #4493f8 }
  .picows { fill: #3d444d }
  .spread { stroke: #f0f6fc }
}
"""


def draw(results: Results, path: Path) -> None:
    path.write_text(picture(results), "utf-8")


def picture(results: Results) -> str:
    rows = results.plan.rows
    lines = [rows[start : start + _COLUMNS] for start in range(0, len(rows), _COLUMNS)]
    canvas = Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
    SubElement(canvas, "title").text = "Ridewire beside other servers"
    SubElement(canvas, "style").text = _STYLE
    ground = _add(canvas, "rect", x=0.5, y=0.5, rx=8, classes="ground")
    _text(canvas, _MARGIN, _MARGIN + 8, _CAPTION, "caption")
    top = _MARGIN + _CAPTION_HEIGHT
    for line in lines:
        for column, row in enumerate(line):
            _panel(canvas, _MARGIN + column * (_PANEL_WIDTH + _MARGIN), top, results, row)
        top += _TITLE_HEIGHT + _LINE_HEIGHT * max(len(row.contestants) for row in line) + _GAP
    _resize(canvas, ground, _MARGIN + _COLUMNS * (_PANEL_WIDTH + _MARGIN), top)
    indent(canvas, " ")
    return tostring(canvas, encoding="unicode") + "\n"


def _resize(canvas: Element, ground: Element, width: int, height: int) -> None:
    canvas.attrib |= {"width": f"{width}", "height": f"{height}"}
    canvas.set("viewBox", f"0 0 {width} {height}")
    ground.attrib |= {"width": f"{width - 1}", "height": f"{height - 1}"}


def _panel(canvas: Element, left: int, top: int, results: Results, row: Row) -> None:
    view = VIEWS[row.name]
    found = {who: figure(results, row, who, view.plotted) for who in row.contestants}
    longest = max((one.highest for one in found.values() if one), default=0) or 1
    _text(canvas, left, top + 14, f"{view.title}: {view.plotted.title}", "title")
    for place, (contestant, one) in enumerate(found.items()):
        middle = top + _TITLE_HEIGHT + _LINE_HEIGHT * place + _LINE_HEIGHT // 2
        _text(canvas, left + _NAMES_WIDTH, middle + 4, CALLED[contestant], "name")
        start = left + _NAMES_WIDTH + 8
        _bar(canvas, contestant, one, left=start, middle=middle, scale=_LONGEST_BAR / longest)


def _bar(
    canvas: Element, who: Contestant, found: Figure | None, *, left: int, middle: int, scale: float
) -> None:
    """One bar, of so many pixels a unit, and its number."""
    if found is None:
        _text(canvas, left, middle + 4, "no round counts", "caption")
        return
    median, lowest, highest = (
        left + round(value * scale, 1) for value in (found.median, found.lowest, found.highest)
    )
    half = _BAR_HEIGHT / 2
    bar = {"y": middle - half, "width": round(median - left, 1), "height": _BAR_HEIGHT}
    _add(canvas, "rect", x=left, **bar, classes=f"bar {who}")
    if lowest < highest:
        _add(canvas, "line", x1=lowest, x2=highest, y1=middle, y2=middle, classes="spread")
    _text(canvas, highest + 6, middle + 4, number(found.median), _OURS.get(who, "value"))


def _text(canvas: Element, x: float, y: float, text: str, classes: str) -> None:
    _add(canvas, "text", x=x, y=y, classes=classes).text = text


def _add(canvas: Element, tag: str, *, classes: str, **lengths: float) -> Element:
    attributes = {name: f"{length:g}" for name, length in lengths.items()}
    return SubElement(canvas, tag, {**attributes, "class": classes})
