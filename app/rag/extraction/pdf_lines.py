"""Lines of a PDF's page: the printed ones, with the values of form fields and added texts at their places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from app.rag.extraction.blocks import single_line
from app.rag.extraction.page_line import Line
from app.rag.extraction.pdf_annotations import FieldValue, Note, Place, field_values, notes_of

if TYPE_CHECKING:
    from pypdf import PageObject

ROW_TOLERANCE = 3.0
"""Points by which a baseline may be outside of a field that belongs to its row."""
ROW_HEIGHT = 40.0
"""Of a field of several lines, the upper part in which its row is."""
QUOTED_CHARACTERS = 20
"""Of a comment that stands in the page's text too, as programs make them for highlighted text."""


class Fragment(NamedTuple):
    """A piece of text as it is printed, with its letter size and position in points; newlines end lines."""

    text: str
    size: float
    left: float
    height: float
    apart: bool = False
    """Set for a text that was added to the page, a paragraph of its own."""


def lines_of(page: PageObject) -> Iterator[Line]:
    """Yield a page's lines with the size and position of their largest letters."""
    fragments = printed_fragments(page)
    try:
        fields = sorted(field_values(page), key=lambda each: (-each.place.top, each.place.left))
        notes = list(notes_of(page))
    except Exception:  # noqa: BLE001  pypdf fails in many ways on damaged annotations; the printed text is still read
        fields, notes = [], []
    if fields:
        fragments = with_fields(fragments, fields)
    for note in notes:
        add_note(fragments, note)
    yield from joined(fragments)


def printed_fragments(page: PageObject) -> list[Fragment]:
    fragments: list[Fragment] = []

    def visit(text: str, matrix: Any, text_matrix: Any, _font: Any, size: float) -> None:
        if text:
            left = text_matrix[4] * matrix[0] + text_matrix[5] * matrix[2] + matrix[4]
            height = text_matrix[4] * matrix[1] + text_matrix[5] * matrix[3] + matrix[5]
            fragments.append(Fragment(text, scaled_size(size, matrix, text_matrix), left, height))

    page.extract_text(visitor_text=visit)
    return fragments


def scaled_size(size: float, matrix: Any, text_matrix: Any) -> float:
    """Return a font's size on the page, in points."""
    inner = (text_matrix[2] ** 2 + text_matrix[3] ** 2) ** 0.5
    outer = (matrix[2] ** 2 + matrix[3] ** 2) ** 0.5
    return float(abs(size) * inner * outer)


def joined(fragments: Sequence[Fragment]) -> Iterator[Line]:
    """Join fragments to lines."""
    text, size, height = "", 0.0, 0.0
    for fragment in fragments:
        if fragment.apart:
            yield Line.normalized(text, size, height)
            yield Line.normalized(fragment.text, fragment.size, fragment.height, apart=True)
            text, size = "", 0.0
            continue
        for position, piece in enumerate(fragment.text.split("\n")):
            if position:
                yield Line.normalized(text, size, height)
                text, size = "", 0.0
            if piece.strip() and fragment.size > size:
                size, height = fragment.size, fragment.height
            text += piece
    yield Line.normalized(text, size, height)


def with_fields(fragments: Sequence[Fragment], fields: Sequence[FieldValue]) -> list[Fragment]:
    """Insert the values of fields, each into the row that it stands in: after the text to its left, or before the rest.

    Where several fields follow one text, and where no text is in the row, the fields' own labels stand before the
    values. A value that is printed in its row already, as in a flattened form, is not repeated.
    """
    before: dict[int, list[str]] = {}
    after: dict[int, list[FieldValue]] = {}
    alone: list[FieldValue] = []
    for field in fields:
        row = [index for index, each in enumerate(fragments) if each.text.strip() and in_row(each, field.place)]
        if is_printed(single_line(field.value), field.place, [fragments[index] for index in row]):
            continue
        left = [index for index in row if fragments[index].left <= field.place.left + ROW_TOLERANCE]
        if left:
            after.setdefault(max(left, key=lambda index: (fragments[index].left, index)), []).append(field)
        elif row:
            before.setdefault(min(row, key=lambda index: fragments[index].left), []).append(field.value)
        else:
            alone.append(field)
    made: list[Fragment] = []
    for index, each in enumerate(fragments):
        text = "".join(f"{value} " for value in before.get(index, ())) + each.text
        if following := after.get(index):
            body = text.rstrip("\n")
            values = [labelled(field) if len(following) > 1 else field.value for field in following]
            text = f"{body} {'; '.join(values)} {text[len(body) :]}"
        made.append(each._replace(text=text))
    for field in alone:
        add_note(made, Note(field.place, labelled(field)))
    return made


def is_printed(text: str, place: Place, fragments: Sequence[Fragment]) -> bool:
    """Return whether the page itself has a text within a rectangle."""
    within = (each.text for each in fragments if place.left - ROW_TOLERANCE <= each.left <= place.right)
    return text in single_line(" ".join(within))


def in_row(fragment: Fragment, place: Place) -> bool:
    """Return whether a fragment's baseline is within the height of a field, or near it."""
    bottom = max(place.bottom, place.top - ROW_HEIGHT)
    return bottom - ROW_TOLERANCE <= fragment.height <= place.top


def labelled(field: FieldValue) -> str:
    """Return a field's value with its label: `Name: value`, or `☒ label`."""
    if not field.label:
        return field.value
    is_box = len(field.value) == 1 and not field.value.isalnum()
    return f"{field.value} {field.label}" if is_box else f"{field.label.rstrip(' :')}: {field.value}"


def add_note(fragments: list[Fragment], note: Note) -> None:
    """Insert a text that was added to the page before the first line below it, unless the page says the same."""
    is_long = len(note.text) >= QUOTED_CHARACTERS
    if is_printed(note.text, note.place, [each for each in fragments if in_row(each, note.place)]) or (
        is_long and note.text in single_line("".join(each.text for each in fragments))
    ):
        return
    below = (index for index, each in enumerate(fragments) if each.text.strip() and each.height < note.place.bottom)
    index = next(below, len(fragments))
    while 0 < index < len(fragments) and not fragments[index - 1].text.endswith("\n"):
        index -= 1
    sizes = Counter({0.0: 0})
    for each in fragments:
        sizes[each.size] += len(each.text.strip())
    fragments.insert(
        index, Fragment(note.text, sizes.most_common(1)[0][0], note.place.left, note.place.top, apart=True)
    )
