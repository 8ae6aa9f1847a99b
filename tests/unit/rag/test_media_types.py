import codecs
import subprocess
import sys
from pathlib import Path

import pytest

from app.rag.extraction.media_types import detect_media_type
from app.rag.extraction.registry import FORMATS, readable_extensions
from tests.support.documents import CSV, DOCX, ENCRYPTED, HTML, MARKDOWN, PDF, PLAIN, PPTX, docx_of, pdf, zip_with
from tests.support.office import WORD_TYPE, compound_file, content_types

ROOT = Path(__file__).parents[3]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
ELF = b"\x7fELF\x02\x01\x01\x00\x00\x00"
GZIP = b"\x1f\x8b\x08\x08\x9a\x17\x02\x61\x02\x03"


def kind(content: bytes, name: str) -> str | None:
    return detect_media_type(content[:65536], content[-65536:], name)


@pytest.mark.parametrize("name", ["a.pdf", "a.txt", "a.docx", "a.html", "a"])
@pytest.mark.parametrize("content", [PNG, ELF, GZIP, b"a\x00b", b"{\\rtf1 a}", b"%!PS-Adobe", bytes(range(256))])
def test_other_bytes_are_refused(content, name):
    """Bytes of another kind are refused, whatever the file's name."""
    assert kind(content, name) is None


def test_content_decides_the_type():
    """PDF, Word documents and presentations are recognised by their bytes, whatever the file's name."""
    assert kind(pdf([[("Hello", 12)]]), "a.txt") == PDF
    assert kind(b"\n\n" + pdf([[("Hello", 12)]]), "a") == PDF
    assert kind(docx_of("Hello"), "a.zip") == DOCX
    assert kind(zip_with({"ppt/presentation.xml": b"<p/>"}), "a.docx") == PPTX


def test_content_types_decide():
    """The content type of an Office package decides before its folders, also where other members come first."""
    types = content_types("doc/main.xml", WORD_TYPE)
    assert kind(zip_with({"ppt/a.xml": b"", "[Content_Types].xml": types}), "a") == DOCX
    pictures = {f"media/{n}.png": bytes(range(256)) * 400 for n in range(3)}
    assert kind(zip_with({**pictures, "[Content_Types].xml": types}), "a") == DOCX
    assert kind(zip_with({"word/document.xml": b"", "[Content_Types].xml": b"<Types/>"}), "a") == DOCX


@pytest.mark.parametrize("name", ["a.docx", "a.pptm", "a.xlsx", "a.doc", "a"])
def test_office_files_with_a_password(name):
    """A compound file with an encrypted document in it is recognised under any name, others are refused."""
    assert kind(compound_file("EncryptionInfo", "EncryptedPackage"), name) == ENCRYPTED
    assert kind(compound_file("WordDocument", "1Table"), name) is None
    assert kind(compound_file("PowerPoint Document", "Current User"), name) is None


def test_other_archives_are_refused():
    """An archive of documents, a spreadsheet and half an archive are refused."""
    inner = docx_of("Hello")
    assert kind(zip_with({"a.docx": inner}), "a.docx") is None
    assert kind(zip_with({"xl/workbook.xml": b"<w/>"}), "a.docx") is None
    assert kind(inner[: len(inner) // 2], "a.docx") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.md", MARKDOWN), ("A.CSV", CSV), ("a.tsv", CSV), ("a.txt", PLAIN), ("a.log", PLAIN), ("", PLAIN)],
)
def test_extension_decides_the_text_type(name, expected):
    """The extension decides between kinds of text."""
    assert kind(b"a,b\n1,2\n", name) == expected


@pytest.mark.parametrize(
    "start",
    ["<!DOCTYPE html><p>", "\ufeff<HTML>", "<!-- a --><!-- b -->\n<html>", '<?xml version="1.0"?>\n<!doctype HTML>'],
)
def test_html_by_its_beginning(start):
    """A text that begins as HTML is HTML, whatever the file's name."""
    assert kind(start.encode(), "a.txt") == HTML


def test_html_fragment_by_extension():
    """A fragment is HTML if the file's extension says so."""
    assert kind(b"<p>a</p>", "a.html") == HTML
    assert kind(b"<p>a</p>", "a.txt") == PLAIN


@pytest.mark.parametrize("content", [b"<svg xmlns='x'><script/></svg>", b"<?xml version='1.0'?><!-- a --><svg/>"])
def test_svg_is_refused(content):
    """SVG is refused, also with the extension of HTML."""
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
def test_text_encodings(content):
    """UTF-8, UTF-16 with its mark and Windows-1252 are text, also where the window ends within a character."""
    assert kind(content, "a.txt") == PLAIN


def test_many_comments_are_scanned_once():
    """Thousands of comments at the beginning are scanned in linear time."""
    assert kind(b"<!---->" * 9000 + b"x", "a.txt") == PLAIN


def test_formats_are_declared_and_documented():
    """Each format has its own media type and extensions and a row in docs/documents.md."""
    assert list(FORMATS) == [PLAIN, MARKDOWN, HTML, CSV, PDF, DOCX, PPTX, ENCRYPTED]
    extensions = [extension for each in FORMATS.values() for extension in each.extensions]
    assert len(set(extensions)) == len(extensions)
    assert readable_extensions() == [".txt", ".md", ".html", ".csv", ".pdf", ".docx", ".pptx"]
    page = (ROOT / "docs" / "documents.md").read_text()
    for name in ("PDF", "DOCX", "PPTX", "HTML", "Markdown", "CSV", "text"):
        assert f"\n| {name} " in page


def test_declarations_import_no_library():
    """The declarations of the formats import none of the libraries that read them."""
    libraries = {each.partition(".")[0] for found in FORMATS.values() for each in found.libraries}
    script = "import sys, app.rag.extraction.media_types, app.rag.sandbox.client; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "app.rag.extraction.formats.pdf" in loaded
    assert not libraries & set(loaded)
    assert not {"lxml", "numpy", "tokenizers", "snowballstemmer"} & set(loaded)
