"""Small documents of every format, and parts of hostile ones."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence

import docx

PLAIN, MARKDOWN, HTML, CSV = "text/plain", "text/markdown", "text/html", "text/csv"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ENCRYPTED = "application/encrypted"
"""An Office document with a password."""


def pdf_of_objects(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """Build a PDF of numbered objects, the first of which is its catalogue."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = []
    for number, each in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, each))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, table))
    return out.getvalue()


def pdf_of_streams(streams: Sequence[bytes], *, deflated: bool = False) -> bytes:
    """Build a PDF of pages with these content streams and one font, Helvetica, as F1."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * page) for page in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, len(streams)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for page, stream in enumerate(streams):
        resources = b"/MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(b"<< /Type /Page /Parent 2 0 R %b /Contents %d 0 R >>" % (resources, 5 + 2 * page))
        filtered = b" /Filter /FlateDecode" if deflated else b""
        objects.append(b"<< /Length %d%b >>\nstream\n%b\nendstream" % (len(stream), filtered, stream))
    return pdf_of_objects(objects)


def pdf(pages: Sequence[Sequence[tuple[str, float]]]) -> bytes:
    """Build a PDF of pages of lines, each with its font size in points; an empty line is a gap."""
    return pdf_of_streams([page_stream(lines) for lines in pages])


def page_stream(lines: Iterable[tuple[str, float]]) -> bytes:
    """Build the content stream that prints lines from the top of a page down."""
    height = 800.0
    parts = []
    for text, size in lines:
        height -= size * 1.2
        if text:
            escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("cp1252")
            parts.append(b"BT /F1 %.1f Tf 1 0 0 1 50 %.1f Tm (%b) Tj ET" % (size, height, escaped))
    return b"\n".join(parts)


def docx_of(*content: str | Sequence[Sequence[str]], title: str | None = None) -> bytes:
    """Build a Word document: `# text` is a heading, `- text` an item, a list of rows a table, the rest paragraphs."""
    document = docx.Document()
    document.core_properties.title = title or ""
    for each in content:
        if isinstance(each, str):
            style = {"#": "Heading 1", "-": "List Bullet"}.get(each[:1])
            document.add_paragraph(each[2:] if style else each, style)
            continue
        table = document.add_table(len(each), len(each[0]))
        for line, cells in zip(table.rows, each, strict=True):
            for cell, text in zip(line.cells, cells, strict=True):
                cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def zip_with(members: dict[str, bytes], base: bytes | None = None) -> bytes:
    """Build an archive of these members and the others of `base`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        if base is not None:
            with zipfile.ZipFile(io.BytesIO(base)) as old:
                for name in old.namelist():
                    if name not in members:
                        made.writestr(name, old.read(name))
        for name, content in members.items():
            made.writestr(name, content)
    return file.getvalue()


def deflated_zeros(size: int) -> bytes:
    """Return about `size` zeros deflated, without the checksum at the end."""
    packer = zlib.compressobj()
    first, again = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (size >> 20)
