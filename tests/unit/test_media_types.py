import codecs
import subprocess
import sys
from pathlib import Path

import pytest

from app.rag.extraction import format as format_module
from app.rag.extraction.media_types import detect_media_type
from app.rag.extraction.registry import FORMATS, readable_extensions
from tests.support.documents import CSV, DOCX, HTML, MARKDOWN, PDF, PLAIN, PPTX, docx_of, pdf, zip_with

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
ELF = b"\x7fELF\x02\x01\x01\x00\x00\x00"
GZIP = b"\x1f\x8b\x08\x08\x9a\x17\x02\x61\x02\x03"


def kind(content: bytes, name: str) -> str | None:
    return detect_media_type(content[:65536], content[-65536:], name)


@pytest.mark.parametrize("name", ["a.pdf", "a.txt", "a.docx", "a.html", "a"])
@pytest.mark.parametrize("content", [PNG, ELF, GZIP, b"a\x00b", b"{\\rtf1 a}", b"%!PS-Adobe", bytes(range(256))])
def test_other_bytes_are_no_document(content, name):
    """Bytes of another kind are not taken, whatever they are called."""
    assert kind(content, name) is None


def test_documents_are_known_whatever_they_are_called():
    """PDF and Word documents are told by their bytes."""
    assert kind(pdf([[("Hello", 12)]]), "a.txt") == PDF
    assert kind(b"\n\n" + pdf([[("Hello", 12)]]), "a") == PDF
    assert kind(docx_of("Hello"), "a.zip") == DOCX
    assert kind(zip_with({"ppt/presentation.xml": b"<p/>"}), "a.docx") == PPTX


def test_an_archive_of_documents_is_no_document():
    """An archive that holds a Word document, stored or packed, is not one; nor is a spreadsheet, or half an archive."""
    inner = docx_of("Hello")
    assert kind(zip_with({"a.docx": inner}), "a.docx") is None
    assert kind(zip_with({"xl/workbook.xml": b"<w/>"}), "a.docx") is None
    assert kind(inner[: len(inner) // 2], "a.docx") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.md", MARKDOWN), ("A.CSV", CSV), ("a.tsv", CSV), ("a.txt", PLAIN), ("a.log", PLAIN), ("", PLAIN)],
)
def test_a_name_tells_texts_apart(name, expected):
    """The ending of a name decides between kinds of text."""
    assert kind(b"a,b\n1,2\n", name) == expected


@pytest.mark.parametrize(
    "start",
    ["<!DOCTYPE html><p>", "\ufeff<HTML>", "<!-- a --><!-- b -->\n<html>", '<?xml version="1.0"?>\n<!doctype HTML>'],
)
def test_a_page_is_one_whatever_it_is_called(start):
    """What begins as HTML is HTML."""
    assert kind(start.encode(), "a.txt") == HTML


def test_a_fragment_is_a_page_by_its_name():
    """Without a beginning that says so, HTML is told by its name."""
    assert kind(b"<p>a</p>", "a.html") == HTML
    assert kind(b"<p>a</p>", "a.txt") == PLAIN


@pytest.mark.parametrize("content", [b"<svg xmlns='x'><script/></svg>", b"<?xml version='1.0'?><!-- a --><svg/>"])
def test_drawings_are_no_documents(content):
    """SVG is not taken."""
    assert kind(content, "a.html") is None


@pytest.mark.parametrize(
    "content",
    [
        "Zürich - 東京".encode(),
        codecs.BOM_UTF8 + "Zürich".encode(),
        "Zürich".encode("utf-16"),
        codecs.BOM_UTF16_BE + "Zürich".encode("utf-16-be"),
        "Zürich “naïve”".encode("cp1252"),
        b"",
        ("é" * 40000).encode(),
    ],
)
def test_text_in_the_usual_encodings(content):
    """UTF-8, UTF-16 with its mark and Windows-1252 are text, also where the window ends within a character."""
    assert kind(content, "a.txt") == PLAIN


def test_comments_that_never_end_take_no_time():
    """Many comments before nothing are looked at once."""
    assert kind(b"<!---->" * 9000 + b"x", "a.txt") == PLAIN


def test_all_formats_are_declared_and_documented():
    """Each format has a media type and extensions of its own, and a row in docs/documents.md."""
    assert list(FORMATS) == [PLAIN, MARKDOWN, HTML, CSV, PDF, DOCX, PPTX]
    extensions = [extension for each in FORMATS.values() for extension in each.extensions]
    assert len(set(extensions)) == len(extensions)
    assert readable_extensions() == [".txt", ".md", ".html", ".csv", ".pdf", ".docx", ".pptx"]
    page = (ROOT / "docs" / "documents.md").read_text()
    for name in ("PDF", "DOCX", "PPTX", "HTML", "Markdown", "CSV", "text"):
        assert f"\n| {name} " in page


def test_formats_of_an_extra_that_is_not_installed_are_not_read(monkeypatch):
    """Presentations are refused without the extra `pptx`, and the formats that are read do not list them."""
    presentation = FORMATS[PPTX]
    monkeypatch.setattr(format_module, "find_spec", lambda _: None)
    assert not presentation.available
    assert kind(zip_with({"ppt/presentation.xml": b"<p/>"}), "a.pptx") is None
    assert ".pptx" not in readable_extensions()
    assert FORMATS[DOCX].available


def test_declarations_import_no_library():
    """The service knows all formats without the memory that their libraries take."""
    libraries = {each.partition(".")[0] for found in FORMATS.values() for each in found.libraries}
    script = "import sys, app.rag.extraction.media_types, app.rag.sandbox.client; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "app.rag.extraction.formats.pdf" in loaded
    assert not libraries & set(loaded)
    assert not {"lxml", "numpy", "tokenizers", "snowballstemmer"} & set(loaded)
