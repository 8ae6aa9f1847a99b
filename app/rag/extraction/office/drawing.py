"""Charts, diagrams and tables of DrawingML, which Word and PowerPoint share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice

from app.rag.extraction.blocks import BlockKind, BlockWriter, single_line
from app.rag.extraction.office.package import OFFICE, RELATIONSHIP_ID, Element, Part, whole_number

A = f"{{{OFFICE}/drawingml/2006/main}}"
C = f"{{{OFFICE}/drawingml/2006/chart}}"
CX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
D = f"{{{OFFICE}/drawingml/2006/diagram}}"
DIAGRAM, CHARTS = f"{D}relIds", (f"{C}chart", f"{CX}chart")
SERIES_MAX, POINTS_MAX = 255, 10_000
"""Series of a chart, as many as Excel allows, and points of a series that are read."""
EPOCH = date(1899, 12, 30)
"""Day 0 of Excel's dates."""
SPAN_MAX = 100
"""Columns that a cell may span; no program makes tables of more."""
FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|bmp|tiff?|emf|wmf|svg)\W*$", re.IGNORECASE)


def write_drawing(writer: BlockWriter, part: Part, element: Element) -> None:
    """Write the chart or the diagram that an element of a part refers to."""
    if element.tag == DIAGRAM:
        data = part.by_id(element.get(f"{RELATIONSHIP_ID}dm"))
        if data is not None:
            for line in diagram_lines(data.root):
                writer.add(BlockKind.LIST, line)
        return
    chart = part.by_id(element.get(f"{RELATIONSHIP_ID}id"))
    if chart is not None:
        for title in chart_titles(chart.root):
            writer.add(BlockKind.PARAGRAPH, title, introduces=True)
        writer.add_table(chart_rows(chart.root))


def alternative_text(properties: Element | None) -> str:
    """Return the description of a picture; empty if it has none, or only the name of a file or a single word."""
    text = "" if properties is None else single_line(properties.get("descr", ""))
    return "" if FILE_NAME.search(text) or " " not in text else text


def signed(author: str | None, text: str) -> str:
    """Return a comment with its author's name before it; empty if it has no text."""
    text = text.strip()
    return f"{author}: {text}" if author and text else text


def chart_titles(root: Element) -> list[str]:
    """Return the titles of a chart and of its axes, the chart's own first."""
    titles = [*root.iter(f"{C}title"), *root.iter(f"{CX}title")]
    texts = (single_line("".join(each.text or "" for each in title.iter(f"{A}t", f"{C}v"))) for title in titles)
    return [text for text in texts if text]


def chart_rows(root: Element) -> list[list[str]]:
    """Return a chart's data as a table: a row for each category, a column for each series."""
    names, rows = [""], dict[tuple[int, str], list[str]]()
    for series in islice(root.iter(f"{C}ser"), SERIES_MAX):
        label = series.find(f"{C}tx")
        names.append("" if label is None else single_line(" ".join(each.text or "" for each in label.iter(f"{C}v"))))
        categories = points(first_of(series, f"{C}cat", f"{C}xVal"))
        for place, value in points(first_of(series, f"{C}val", f"{C}yVal")).items():
            row = rows.setdefault((place, categories.get(place, "")), [])
            row.extend([""] * (len(names) - 2 - len(row)))
            row.append(value)
    if rows:
        return [names, *([category, *values] for (_, category), values in rows.items())]
    columns = [points(each) for each in root.iter(f"{CX}strDim", f"{CX}numDim")]
    places = sorted({place for column in columns for place in column})
    return [[column.get(place, "") for column in columns] for place in places]


def first_of(element: Element, *names: str) -> Element | None:
    return next((found for found in map(element.find, names) if found is not None), None)


def points(data: Element | None) -> dict[int, str]:
    """Return the texts of a series by their place; those of categories with several levels are joined."""
    found: dict[int, str] = {}
    if data is None:
        return found
    form = data.findtext(f".//{C}formatCode") or ""
    for each in data.iter(f"{C}pt", f"{CX}pt"):
        place = whole_number(each.get("idx"))
        if len(found) < POINTS_MAX:
            text = number_text(each.findtext(f"{C}v") or each.text or "", form)
            found[place] = f"{text} {found[place]}" if place in found else text
    return found


def number_text(value: str, form: str) -> str:
    """Return a number as a reader sees it: a percentage or a date by its format, and without the noise of floats."""
    try:
        number = float(value)
    except ValueError:
        return value
    if "%" in form:
        return f"{number * 100:.10g}%"
    if "yy" in form.lower() and 0 < number < 100_000:
        return (EPOCH + timedelta(days=number)).isoformat()
    return f"{number:.12g}" if "." in value else value


def diagram_lines(root: Element) -> Iterator[str]:
    """Yield the texts of a diagram (SmartArt), those below another with two more blanks, each once."""
    nodes = {each.get("modelId"): each for each in root.iter(f"{D}pt")}
    below: dict[str | None, list[tuple[int, str | None]]] = {}
    for each in root.iter(f"{D}cxn"):
        if each.get("type", "parOf") == "parOf":
            order = whole_number(each.get("srcOrd"))
            below.setdefault(each.get("srcId"), []).append((order, each.get("destId")))
    starts = sorted(nodes, key=lambda name: nodes[name].get("type") != "doc")
    stack = [(name, -1) for name in reversed(starts)]
    while stack:
        name, depth = stack.pop()
        node = nodes.pop(name, None)
        if node is None:
            continue
        text = node.find(f"{D}t")
        line = "" if text is None else single_line(" ".join(each.text or "" for each in text.iter(f"{A}t")))
        if line and node.get("type", "node") != "pres":
            yield "  " * max(0, depth) + line
        stack.extend((child, depth + 1) for _, child in sorted(below.get(name, ()), key=first, reverse=True))


def first(pair: tuple[int, str | None]) -> int:
    return pair[0]


def filled_row(cells: Sequence[tuple[str, int, bool]], above: dict[int, str], *, columns: bool = True) -> list[str]:
    """Return a row's texts. A cell over several rows stands in each of them.

    Args:
        cells: the text, the number of columns, and whether it continues the cell above.
        above: the texts of the row above by their column, changed to those of this row.
        columns: return a text for each column; a cell over several stands in the first of them.
    """
    row: list[str] = []
    place = 0
    for text, span, continues in cells:
        above[place] = above.get(place, "") if continues else text
        row.append(above[place])
        place += min(max(span, 1), SPAN_MAX)
        row.extend([""] * (place - len(row) if columns else 0))
    return row
