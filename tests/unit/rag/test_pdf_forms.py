"""Form fields and annotations of PDFs, which are not part of the pages' own text."""

from collections.abc import Sequence

import pytest

from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from tests.support.documents import PDF, page_stream
from tests.support.hostile import pdf_page

TEXT = "The society is open to all, and signed below."
LABELS = [(text, 12.0) for text in ("Application", "", "Name:", "Town:", "", TEXT, TEXT)]
"""Printed at 786, 757, 743 and 714 points."""
NAME_ROW, TOWN_ROW, FREE_ROW = b"[120 754 300 768]", b"[120 740 300 753]", b"[50 600 300 615]"


def form(
    annotations: Sequence[bytes], labels: Sequence[tuple[str, float]] = LABELS, parents: Sequence[bytes] = ()
) -> str:
    """Return the text of a page with these labels and annotations; `parents` are the objects from 6 on."""
    annots = b"/Annots [%b]" % b" ".join(b"<< /Type /Annot %b >>" % each for each in annotations)
    content = pdf_page(page_stream(labels), b"", parents, entries=annots)
    return extract_document(content, PDF, Limits(), lambda done, total: None).text


def widget(place: bytes, entries: bytes) -> bytes:
    return b"/Subtype /Widget /F 4 /Rect %b %b" % (place, entries)


def field(place: bytes, value: bytes, name: bytes = b"Text1", more: bytes = b"") -> bytes:
    return widget(place, b"/FT /Tx /T (%b) /V (%b) %b" % (name, value, more))


def box(place: bytes, name: bytes, *, on: bool, state: bytes = b"Yes") -> bytes:
    shown = state if on else b"Of"
    return widget(place, b"/FT /Btn /T (%b) /AS /%b /AP << /N << /%b 5 0 R /Off 5 0 R >> >>" % (name, shown, state))


def test_values_follow_their_labels():
    """The value of a text field stands in the row of its printed label."""
    made = form([field(TOWN_ROW, b"Oslo"), field(NAME_ROW, b"Ada King")])
    assert made == f"Application\n\nName: Ada King\nTown: Oslo\n\n{TEXT}\n{TEXT}"


def test_values_of_the_field_above():
    """A widget takes the value of the field that it belongs to, which may be hexadecimal Unicode."""
    above = b"<< /FT /Tx /T (name) /V <FEFF0410043404300020041A0438043D0433> >>"
    assert "Name: Ада Кинг" in form([widget(NAME_ROW, b"/Parent 6 0 R")], parents=[above])


def test_fields_without_printed_labels():
    """Without a text in its row a field is a line with its description or its name, unless a program gave it."""
    assert "Date of birth: 9 May" in form([field(FREE_ROW, b"9 May", b"f1", b"/TU (Date of birth)")])
    assert "date Of Birth: 9 May" in form([field(FREE_ROW, b"9 May", b"form[0].page1[0].dateOfBirth[0]"[17:])])
    assert form([field(FREE_ROW, b"9 May", b"Text Field 12")]).endswith(f"{TEXT}\n{TEXT}\n\n9 May")


def test_several_fields_in_a_row():
    """Fields that follow one printed text have their names before their values."""
    row = [("Name: ______ Town: ______", 12.0)]
    fields = [field(b"[100 780 160 795]", b"Ada", b"name"), field(b"[200 780 260 795]", b"Oslo", b"town")]
    assert form(fields, row) == "Name: ______ Town: ______ name: Ada; town: Oslo"


def test_check_boxes():
    """Check boxes and radio buttons are boxes before their labels, or with their names where none is printed."""
    boxes = [box(b"[30 755 44 769]", b"Check Box1", on=True), box(b"[30 740 44 753]", b"Check Box2", on=False)]
    assert form(boxes).split("\n")[2:4] == ["☒ Name:", "☐ Town:"]
    assert "☒ Newsletter" in form([box(FREE_ROW, b"Newsletter", on=True)])
    radios = [
        box(b"[50 600 60 610]", b"colour", on=False, state=b"red"),
        box(b"[50 580 60 590]", b"colour", on=True, state=b"blue"),
    ]
    assert form(radios).endswith("☐ colour: red\n\n☒ colour: blue")


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (b"/FT /Ch /V (NO) /Opt [[(NO) (Norway)] [(SE) (Sweden)]]", "Name: Norway"),
        (b"/FT /Ch /V [(NO) (SE)] /Opt [[(NO) (Norway)] [(SE) (Sweden)]]", "Name: Norway, Sweden"),
        (b"/FT /Ch /V (Blue) /Opt [(Red) (Blue)]", "Name: Blue"),
        (b"/FT /Tx /V (One\\rTwo)", "Name: One\nTwo"),
        (b"/FT /Sig /V << /Type /Sig /Name (Ada King) >>", "Name: Ada King"),
        (b"/FT /Tx /Ff 8192 /V (secret)", "Name:"),
        (b"/FT /Btn /Ff 65536 /MK << /CA (Send) >>", "Name:"),
        (b"/FT /Tx", "Name:"),
        (b"/FT /Tx /V (hidden) /F 2", "Name:"),
    ],
)
def test_kinds_of_fields(entries, text):
    """Choices are read as shown, lines of a text are kept; passwords, buttons and hidden fields are left out."""
    place = widget(NAME_ROW, entries)
    made = form([place.replace(b"/F 4 ", b"") if b"/F 2" in entries else place])
    assert made == f"Application\n\n{text}\nTown:\n\n{TEXT}\n{TEXT}"


def test_flattened_fields_are_read_once():
    """A value that the page itself prints at the field's place is not repeated; one elsewhere does not count."""
    printed = [("Name:", 12.0)]
    assert form([field(b"[45 780 300 795]", b"Name:")], printed) == "Name:"
    assert form([field(b"[120 780 300 795]", b"Name")], printed) == "Name: Name"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (b"/Subtype /FreeText /Contents (Approved)", "Approved"),
        (b"/Subtype /FreeText /RC (<body><p>Approved</p></body>)", "Approved"),
        (b"/Subtype /Stamp /Contents (Received 9 May)", "Received 9 May"),
        (b"/Subtype /Stamp /Name /NotApproved", "Not Approved"),
        (b"/Subtype /Text /T (Ada) /Contents (Check this.)", "Ada: Check this."),
        (b"/Subtype /Highlight /T (Ada) /Contents (Too much.)", "Ada: Too much."),
        (b"/Subtype /Text /T (Ada) /Contents (Accepted) /StateModel (Review)", ""),
        (b"/Subtype /Link /Contents (A link)", ""),
        (b"/Subtype /Popup /Contents (A popup)", ""),
        (b"/Subtype /FreeText /F 2 /Contents (Hidden)", ""),
        (b"/Subtype /Highlight /Contents (The society is open to all)", ""),
    ],
)
def test_annotations(annotation, text):
    """Free texts, stamps and comments are paragraphs at their place on the page."""
    made = form([b"%b /Rect [300 720 400 735]" % annotation])
    expected = ["Application", "Name:\nTown:", *([text] if text else []), f"{TEXT}\n{TEXT}"]
    assert made == "\n\n".join(expected)


def test_damaged_annotations():
    """Annotations that are no dictionaries, or have no rectangle, leave the page's text as it is."""
    plain = form([])
    assert form([b"/Subtype /FreeText /Contents (x) /Rect (y)"]) == plain
    assert form([b"/Subtype /FreeText /Contents (x)", widget(NAME_ROW, b"/Parent 99 0 R /FT /Tx")]) == plain
    assert "Town: Oslo" in form([field(b"[1 2]", b"x"), field(TOWN_ROW, b"Oslo"), b"/Subtype /FreeText /Rect [3]"])
