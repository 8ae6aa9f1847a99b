"""Filled form fields, free texts and comments of a PDF's page, which are not in its content stream.

The keys are those of ISO 32000-1: 12.5.6 for annotations, 12.7 for form fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from app.rag.extraction.blocks import single_line

if TYPE_CHECKING:
    from pypdf import PageObject

Read = TypeVar("Read")

HIDDEN = 0b10_0010
"""Bits of `/F`: hidden, and not viewed."""
PASSWORD, PUSH_BUTTON = 1 << 13, 1 << 16
"""Bits of a field's `/Ff`."""
ANCESTORS = 32
"""Levels of fields above a widget."""
CHECKED, UNCHECKED = "\u2612", "\u2610"
COMMENTS = frozenset(
    f"/{kind}"
    for kind in (
        *("Text", "Highlight", "Underline", "Squiggly", "StrikeOut", "Caret", "Square", "Circle", "Line", "Polygon"),
        *("PolyLine", "Ink", "FileAttachment", "Sound"),
    )
)
"""Annotations whose contents are a comment by their author."""
PRINTED = frozenset({"/FreeText", "/Stamp"})
"""Annotations whose contents are printed on the page."""
TAG = re.compile(r"<[^<>]{0,500}>")
INDEX = re.compile(r"\[\d+\]|^#\w+")
WORD_PARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|[_\s]+")
GENERATED_NAME = re.compile(
    r"(?:[a-z]{1,2}|text(?:\s?(?:field|box|feld))?|textfeld|fill|field|feld|champ|campo|check\s?box|kontrollkästchen|combo"
    r"(?:\s?box)?|list(?:\s?box)?|drop\s?down|radio(?:\s?button)?|button|group|gruppe|untitled|undefined|widget|form)?"
    r"[\W\d]*",
    re.IGNORECASE,
)
"""Names of fields that a program gave, which say nothing."""
GENERATED_STATES = frozenset({"on", "yes", "off", "1", "x", "checked", "true"})


class Place(NamedTuple):
    """The rectangle of an annotation, in points from the lower left corner of the page."""

    left: float
    bottom: float
    right: float
    top: float


class FieldValue(NamedTuple):
    """The value of a form field."""

    place: Place
    value: str
    label: str
    """Name of the field for readers; empty if it has none that says anything."""


class Note(NamedTuple):
    """A text that was added to the page."""

    place: Place
    text: str


def place_of(annotation: Mapping[str, Any]) -> Place:
    left, bottom, right, top = (float(each.get_object()) for each in annotation["/Rect"])
    return Place(min(left, right), min(bottom, top), max(left, right), max(bottom, top))


def field_values(page: PageObject) -> Iterator[FieldValue]:
    """Yield the filled fields of a page, and all its check boxes and radio buttons."""
    yield from read_each(page, field_value)


def field_value(widget: Mapping[str, Any]) -> FieldValue | None:
    """Return the value of a widget; None for one without a value, and for other annotations."""
    if widget.get("/Subtype") != "/Widget":
        return None
    field = inherited(widget)
    kind, label = field.get("/FT"), field_label(field)
    if kind == "/Btn":
        is_box = not int(field.get("/Ff", 0)) & PUSH_BUTTON
        return FieldValue(place_of(widget), *button_value(widget, field, label)) if is_box else None
    value = field_text(kind, field)
    return FieldValue(place_of(widget), value, label) if value else None


def inherited(widget: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a widget and of the fields above it, the nearest ones first."""
    entries: dict[str, Any] = {}
    node: Any = widget
    for _ in range(ANCESTORS):
        if not isinstance(node, dict):
            break
        for key in ("/FT", "/V", "/Ff", "/Opt", "/TU", "/T"):
            if key in node and key not in entries:
                entries[key] = node[key].get_object()
        node = node["/Parent"].get_object() if "/Parent" in node else None
    return entries


def field_label(field: Mapping[str, Any]) -> str:
    """Return a field's description, or its name in words; empty if a program gave it."""
    if description := single_line(str(field.get("/TU", ""))):
        return description
    words = single_line(" ".join(WORD_PARTS.split(INDEX.sub("", str(field.get("/T", ""))))))
    return "" if GENERATED_NAME.fullmatch(words) else words


def button_value(widget: Mapping[str, Any], field: Mapping[str, Any], label: str) -> tuple[str, str]:
    """Return the box of a check box or radio button, and its label: the state's name, if it has one."""
    appearances = widget["/AP"].get_object().get("/N", {}).get_object() if "/AP" in widget else {}
    states = [str(state) for state in appearances if state != "/Off"] if isinstance(appearances, dict) else []
    shown = str(widget.get("/AS", field.get("/V", "/Off")))
    is_checked = shown not in {"/Off", ""} and (not states or shown in states)
    state = states[0][1:] if len(states) == 1 else ""
    named = "" if state.casefold() in GENERATED_STATES or GENERATED_NAME.fullmatch(state) else state
    return CHECKED if is_checked else UNCHECKED, ": ".join(filter(None, dict.fromkeys((label, named))))


def field_text(kind: Any, field: Mapping[str, Any]) -> str:
    """Return the value of a text field or a choice, or the name of who signed."""
    value = field.get("/V")
    if value is None or (kind == "/Tx" and int(field.get("/Ff", 0)) & PASSWORD):
        return ""
    if kind == "/Sig":
        return single_line(str(value.get("/Name", ""))) if isinstance(value, dict) else ""
    if kind == "/Ch":
        chosen = value if isinstance(value, list) else [value]
        options = [each.get_object() for each in field.get("/Opt", ())]
        shown = {str(each[0]): str(each[1]) for each in options if isinstance(each, list) and len(each) > 1}
        return ", ".join(single_line(shown.get(str(each), str(each))) for each in chosen)
    text = value.get_data().decode("utf-8", "replace") if hasattr(value, "get_data") else str(value)
    lines = map(single_line, text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return "\n".join(filter(None, lines))


def notes_of(page: PageObject) -> Iterator[Note]:
    """Yield the free texts, stamps and comments of a page; comments with their authors."""
    yield from read_each(page, note_of)


def note_of(annotation: Mapping[str, Any]) -> Note | None:
    """Return the text of an annotation; None for one without a text, and for other kinds."""
    kind = annotation.get("/Subtype")
    if kind not in PRINTED | COMMENTS or "/StateModel" in annotation:
        return None
    contents = annotation.get("/Contents")
    text = str(contents) if contents else TAG.sub(" ", str(annotation.get("/RC", "")))
    if kind == "/Stamp" and not text.strip():
        text = " ".join(WORD_PARTS.split(str(annotation.get("/Name", ""))[1:]))
    author = single_line(str(annotation.get("/T", ""))) if kind in COMMENTS else ""
    text = single_line(text)
    return Note(place_of(annotation), f"{author}: {text}" if author else text) if text else None


def read_each(page: PageObject, read: Callable[[Mapping[str, Any]], Read | None]) -> Iterator[Read]:
    """Yield what is read of each annotation that is shown, except for damaged ones."""
    for each in page.get("/Annots", None) or ():
        try:
            annotation = each.get_object()
            is_shown = isinstance(annotation, dict) and not int(annotation.get("/F", 0)) & HIDDEN
            made = read(annotation) if is_shown and "/Rect" in annotation else None
        except Exception:  # noqa: BLE001  pypdf fails in many ways on damaged objects; the others are still read
            made = None
        if made is not None:
            yield made
