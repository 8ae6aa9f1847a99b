"""Hostile documents: small files that cost their reader much."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from docx.oxml.ns import nsdecls
from pptx import Presentation

from tests.support.documents import docx_of, pdf_of_objects, zip_with

MAIN = "word/document.xml"
TABLE_URI = "http://schemas.openxmlformats.org/drawingml/2006/table"


def word_document(body: str, doctype: str = "") -> bytes:
    """Build a Word document with this XML as its body."""
    root = f"<w:document {nsdecls('w')}><w:body>{body}</w:body></w:document>"
    return zip_with({MAIN: f"<?xml version='1.0'?>{doctype}{root}".encode()}, docx_of("x"))


def word_rows(rows: int, columns: int) -> str:
    """Return the XML of a table."""
    row = f"<w:tr>{'<w:tc><w:p/></w:tc>' * columns}</w:tr>"
    return f"<w:tbl>{row * rows}</w:tbl>"


def slides(shapes: str, count: int = 1) -> bytes:
    """Build a presentation that lists one slide, with a title and this XML, `count` times."""
    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Title"
    file = io.BytesIO()
    deck.save(file)
    with zipfile.ZipFile(file) as archive:
        slide = archive.read("ppt/slides/slide1.xml").decode().replace("</p:spTree>", f"{shapes}</p:spTree>")
        deck_xml = archive.read("ppt/presentation.xml").decode()
    begin, end = deck_xml.index("<p:sldId "), deck_xml.index("</p:sldIdLst>")
    listed = deck_xml[:begin] + deck_xml[begin:end] * count + deck_xml[end:]
    members = {"ppt/slides/slide1.xml": slide.encode(), "ppt/presentation.xml": listed.encode()}
    return zip_with(members, file.getvalue())


def slide_shape(number: int, paragraphs: str = "<a:p><a:r><a:t>x</a:t></a:r></a:p>") -> str:
    """Return the XML of a text box."""
    named = f'<p:nvSpPr><p:cNvPr id="{number}" name="a"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr>'
    return f"<p:sp>{named}<p:spPr/><p:txBody><a:bodyPr/>{paragraphs}</p:txBody></p:sp>"


def slide_group(content: str) -> str:
    """Return the XML of a group of shapes."""
    named = '<p:nvGrpSpPr><p:cNvPr id="5" name="a"/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr>'
    return f"<p:grpSp>{named}<p:grpSpPr/>{content}</p:grpSp>"


def slide_rows(rows: int, columns: int) -> str:
    """Return the XML of a table on a slide."""
    cell = "<a:tc><a:txBody><a:bodyPr/><a:p><a:r><a:t>x</a:t></a:r></a:p></a:txBody></a:tc>"
    row = f'<a:tr h="1">{cell * columns}</a:tr>'
    table = f"<a:tbl><a:tblGrid/>{row * rows}</a:tbl>"
    named = '<p:nvGraphicFramePr><p:cNvPr id="7" name="a"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr>'
    data = f'<a:graphic><a:graphicData uri="{TABLE_URI}">{table}</a:graphicData></a:graphic>'
    return f"<p:graphicFrame>{named}<p:xfrm/>{data}</p:graphicFrame>"


def pdf_page(
    stream: bytes, resources: bytes = b"", others: Sequence[bytes] = (), *, entries: bytes = b"", times: int = 1
) -> bytes:
    """Build a PDF that lists one page `times` times; its stream is object 4, its font 5, `others` follow from 6.

    `entries` are further ones of the page.
    """
    kids = b" ".join([b"3 0 R"] * times)
    fonts = b"/Resources << /Font << /F1 5 0 R >> %b >>" % resources
    return pdf_of_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, times),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] %b %b /Contents 4 0 R >>" % (fonts, entries),
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            *others,
        ]
    )


def pdf_of_forms(depth: int, fan: int) -> bytes:
    """Build a PDF of one page with nested forms, each `fan` times in the one above."""
    forms = []
    for number in range(depth):
        inner = b"/XObject << /X %d 0 R >>" % (7 + number) if number + 1 < depth else b"/Font << /F1 5 0 R >>"
        body = b"/X Do\n" * fan if number + 1 < depth else b"BT /F1 12 Tf (x) Tj ET"
        head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << %b >> /Length %d >>" % (
            inner,
            len(body),
        )
        forms.append(head + b"\nstream\n" + body + b"\nendstream")
    return pdf_page(b"/X Do", b"/XObject << /X 6 0 R >>", forms)
