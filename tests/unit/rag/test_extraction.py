import codecs
import io

import docx
import pypdf
import pytest
from docx.opc.constants import NAMESPACE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx import Presentation
from pptx.util import Inches

from app.domain.documents import ExtractedDocument
from app.rag.extraction.blocks import BlockKind, TextBlocks
from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.format import ReadOptions
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document, read_blocks
from tests.support.documents import (
    CSV,
    DOCX,
    ENCRYPTED,
    HTML,
    MARKDOWN,
    PDF,
    PLAIN,
    PPTX,
    docx_of,
    pdf,
    pdf_of_streams,
    zip_with,
)
from tests.support.office import compound_file


def read(content: bytes | str, media_type: str, limits: Limits | None = None) -> ExtractedDocument:
    content = content.encode() if isinstance(content, str) else content
    return extract_document(content, media_type, limits or Limits(), lambda done, total: None)


def draft(content: bytes | str, media_type: str) -> TextBlocks:
    content = content.encode() if isinstance(content, str) else content
    return read_blocks(content, media_type, Limits(), lambda done, total: None)


def blocks(content: bytes | str, media_type: str) -> list[tuple[BlockKind, str]]:
    made = draft(content, media_type)
    return [(block.kind, made.text[block.start : block.end]) for block in made.blocks]


def failure(content: bytes | str, media_type: str, limits: Limits | None = None) -> str:
    with pytest.raises(ExtractionError) as raised:
        read(content, media_type, limits)
    return raised.value.failure.code


def test_plain_text_is_unchanged():
    """The text of a plain text file is the file's own, to the character."""
    source = "  One.\n\n\n\tTwo\n  three.   \n"
    assert read(source, PLAIN).text == source


def test_text_is_storable():
    """Newlines become one kind; NUL and lone surrogates are not extracted."""
    assert read(b"a\r\nb\rc\x0cd", PLAIN).text == "a\nb\nc d"
    assert read(codecs.BOM_UTF16_LE + "a\ud800\x00b".encode("utf-16-le", "surrogatepass"), PLAIN).text.isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_encodings(encoding):
    """UTF-8, UTF-16 and Windows-1252 give the same text."""
    assert read("Zürich - naïve”".encode(encoding), PLAIN).text == "Zürich - naïve”"


@pytest.mark.parametrize(
    "heading", ["INTRODUCTION", "2.1 Scope of this", "Chapter 4 The Sea", "Scope\n=====", "# Scope", "= Scope ="]
)
def test_plain_text_headings(heading):
    """A heading in plain text is recognised by its form."""
    source = f"{heading}\n\nSome text that goes on."
    assert blocks(source, PLAIN) == [(BlockKind.HEADING, heading), (BlockKind.PARAGRAPH, "Some text that goes on.")]


@pytest.mark.parametrize(
    "line", ["1. Open the box and take out all of it", "I was there.", "A short line", "NO!", "3 apples"]
)
def test_plain_text_without_headings(line):
    """Items, sentences and short lines are no headings."""
    assert all(kind is not BlockKind.HEADING for kind, _ in blocks(f"{line}\n\nText.", PLAIN))


PAGE = """<!doctype html><html><head><title>Pumps &amp; valves</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><header><a>Logo</a></header><div class="navheader">Prev Next</div>
<main><h1>Pumps</h1><p>A <b>pump</b> moves<br>water.</p><p hidden>secret</p><p style="display: none">gone</p>
<ul><li>small<ul><li>tiny</li></ul></li><li><p>large</p><p>very</p></li></ul><ol start=1><li>one</li><li>two</li></ol>
<table><caption>Sizes</caption><tr><th>Name</th><th>Size</th></tr><tr><td>P1</td><td>3 <i>mm</i></td></tr></table>
<pre>if x:
    y()</pre><dl><dt>Flow</dt><dd>Litres a minute.</dd></dl><script>alert(1)</script></main>
<aside>Advertisement</aside><footer>Imprint</footer></body></html>"""


def test_html_without_navigation():
    """HTML gives headings, lists, tables and code in order, without navigation, scripts, footers and hidden parts."""
    assert blocks(PAGE, HTML) == [
        (BlockKind.HEADING, "Pumps"),
        (BlockKind.PARAGRAPH, "A pump moves"),
        (BlockKind.PARAGRAPH, "water."),
        (BlockKind.LIST, "- small\n  - tiny\n- large\n  very\n1. one\n2. two"),
        (BlockKind.PARAGRAPH, "Sizes"),
        (BlockKind.TABLE, "Name | Size\nP1 | 3 mm"),
        (BlockKind.CODE, "if x:\n    y()"),
        (BlockKind.PARAGRAPH, "Flow"),
        (BlockKind.PARAGRAPH, "Litres a minute."),
    ]
    assert read(PAGE, HTML).title == "Pumps & valves"


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ('<a href="https://a.example/x?y=1&amp;z=2">Terms</a>', "Terms (https://a.example/x?y=1&z=2)"),
        ('<a href="/terms.html"><b>Terms</b></a>', "Terms (/terms.html)"),
        ('<a href="https://a.example">https://a.example</a>', "https://a.example"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
        ('<a href="#part">Part</a> <a href="javascript:x()">Run</a> <a name="x">Here</a>', "Part Run Here"),
        ('<table><tr><td>A</td><td><a href="b.html">B</a></td></tr></table>', "A | B (b.html)"),
    ],
)
def test_addresses_of_links(link, text):
    """Addresses of links are read where that is wanted."""
    content = f"<html><body>{link}</body></html>".encode()
    options = ReadOptions(keep_links=True)
    assert extract_document(content, HTML, Limits(), lambda done, total: None, options).text == text
    assert "example)" not in read(content, HTML).text


def test_html_in_a_footer_is_read():
    """A page whose whole text is in a footer is not taken for empty."""
    assert read("<html><body><footer>All there is</footer></body></html>", HTML).text == "All there is"


def test_html_layout_tables():
    """Text in a table of one column or in a table of tables is read as ordinary text."""
    inner = "<table><tr><td>a</td><td>b</td></tr></table>"
    source = f"<table><tr><td><h1>Title</h1><p>Text.</p>{inner}</td></tr></table>"
    assert blocks(source, HTML) == [
        (BlockKind.HEADING, "Title"),
        (BlockKind.PARAGRAPH, "Text."),
        (BlockKind.TABLE, "a | b"),
    ]


@pytest.mark.parametrize("declared", ['<meta charset="iso-8859-2">', '<?xml version="1.0" encoding="iso-8859-2"?>'])
def test_html_declared_encoding(declared):
    """The encoding that a page declares is used where it is not UTF-8."""
    assert read(f"{declared}<p>Łódź</p>".encode("iso-8859-2"), HTML).text == "Łódź"


def test_markdown():
    """Markdown gives its rendered text without front matter; text that only resembles a tag stays."""
    source = (
        "---\ntitle: 'Pumps'\ntags: [a]\n---\n# All *pumps*\n\nUse `<name>` or <unk> of [this](http://a.b)\nline.\n\n"
        "| A | B |\n|---|---|\n| 1 | **2** |\n\n```py\ndef f():\n    pass\n```\n\n"
        "* one\n* two\n\n<div class='x'>\n\nText\n\n</div>\n"
    )
    assert blocks(source, MARKDOWN) == [
        (BlockKind.HEADING, "All pumps"),
        (BlockKind.PARAGRAPH, "Use <name> or <unk> of this (http://a.b) line."),
        (BlockKind.TABLE, "A | B\n1 | 2"),
        (BlockKind.CODE, "def f():\n    pass"),
        (BlockKind.LIST, "- one\n- two"),
        (BlockKind.PARAGRAPH, "Text"),
    ]
    assert read(source, MARKDOWN).title == "Pumps"


@pytest.mark.parametrize(
    ("source", "title", "text"),
    [
        ("+++\ntitle = 'Pumps'\n+++\nText\n", "Pumps", "Text"),
        ("---\n# by Anna\ntitle: Pumps\n...\nText\n", "Pumps", "Text"),
        ("---\n\nFirst text.\n\n---\n\nText\n", None, "First text.\n\nText"),
        ("---\nFirst text.\n\n---\n\nText\n", None, "First text.\n\nText"),
    ],
)
def test_front_matter(source, title, text):
    """Front matter begins with a key; text between two rules is text."""
    document = read(source, MARKDOWN)
    assert (document.title, document.text) == (title, text)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            'See [the manual](https://x.example/m?a=1&b=2 "Manual").',
            "See the manual (https://x.example/m?a=1&b=2 “Manual”).",
        ),
        ("See <https://x.example> and [part](#p).", "See https://x.example and part."),
        ("[A][d] and [B][d].\n\n[d]: /d.md", "A (/d.md) and B."),
        ("Text.\n\n[d]: /d.md 'Title'\n[e]: /e.md", "Text.\n\n[d]: /d.md 'Title'\n\n[e]: /e.md"),
        ("A claim.[^1]\n\n[^1]: Example\n[^b]: A note.", "A claim.[^1]\n\n[^1]: Example\n\n[^b]: A note."),
        ("![A red pump](p.png) ![logo](l.png)", "A red pump"),
        ("- [ ] one\n- [x] two", "- [ ] one\n- [x] two"),
        ("7. one\n8. two", "7. one\n8. two"),
        ("| A | B |\n|--|--|\n| 1 | [x](y.md) |", "A | B\n1 | x (y.md)"),
        ("<details><summary>More</summary>\n\nInner **text**\n\n</details>", "More\n\nInner text"),
    ],
)
def test_markdown_keeps_addresses_and_notes(source, text):
    """Addresses, titles, definitions and footnotes of Markdown are text."""
    assert read(source, MARKDOWN).text == text


def test_word_document():
    """Paragraphs, lists and tables of a Word document come in order."""
    content = docx_of(
        "# Rates", "They hold.", "- one", "- two", [["Year", "Rate"], ["2023", "4 %"]], "End.", title="Rates 23"
    )
    assert blocks(content, DOCX) == [
        (BlockKind.HEADING, "Rates"),
        (BlockKind.PARAGRAPH, "They hold."),
        (BlockKind.LIST, "- one\n- two"),
        (BlockKind.TABLE, "Year | Rate\n2023 | 4 %"),
        (BlockKind.PARAGRAPH, "End."),
    ]
    assert read(content, DOCX).title == "Rates 23"


def word(body: str) -> bytes:
    """Return a Word document with a paragraph and these parts."""
    document = docx.Document()
    document.add_paragraph("Start")
    document.element.body.insert(1, parse_xml(f"<w:sdt {nsdecls('w')}><w:sdtContent>{body}</w:sdtContent></w:sdt>"))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_word_content_controls_and_changes():
    """Content controls and inserted text are read, deleted text is not."""
    run, gone = "<w:r><w:t>new</w:t><w:tab/><w:t>text</w:t></w:r>", "<w:r><w:delText>old</w:delText></w:r>"
    assert read(word(f"<w:p><w:ins>{run}</w:ins><w:del>{gone}</w:del></w:p>"), DOCX).text == "Start\n\nnew\ttext"


def test_word_nested_tables():
    """A table within a cell is part of its row; a table of one column is ordinary text."""
    cell = "<w:tc>{}<w:p/></w:tc>".format
    inner = f"<w:tbl><w:tr>{cell('<w:p><w:r><w:t>x</w:t></w:r></w:p>')}</w:tr></w:tbl>"
    y = cell("<w:p><w:r><w:t>y</w:t></w:r></w:p>")
    assert blocks(word(f"<w:tbl><w:tr>{cell(inner)}{y}</w:tr></w:tbl>"), DOCX)[1] == (BlockKind.TABLE, "x | y")
    assert blocks(word(f"<w:tbl><w:tr>{cell(inner)}</w:tr></w:tbl>"), DOCX)[1] == (BlockKind.PARAGRAPH, "x")


def test_presentation():
    """A slide is a page with its title as heading; tables and speaker's notes are read."""
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Plans"
    slide.placeholders[1].text = "First\nSecond"
    deck.slides.add_slide(deck.slide_layouts[6])
    last = deck.slides.add_slide(deck.slide_layouts[6])
    table = last.shapes.add_table(2, 2, *[Inches(1)] * 4).table
    for place, text in enumerate(["A", "B", "1", "2"]):
        table.cell(place // 2, place % 2).text = text
    last.notes_slide.notes_text_frame.text = "Say this."
    file = io.BytesIO()
    deck.save(file)
    document = read(file.getvalue(), PPTX)
    assert document.text == "Plans\n\nFirst\nSecond\n\nA | B\n1 | 2\n\nSay this."
    assert (document.page_count, document.textless_pages) == (3, [2])


def test_csv_rows_name_their_columns():
    """Each row of a CSV file is extracted with the names of its columns."""
    source = 'Name;Town;Note\nAda;London;"a\n;b"\n\nGrace;;x;more\n'
    assert read(source, CSV).text == "Name: Ada; Town: London; Note: a ;b\nName: Grace; Note: x; more"


@pytest.mark.parametrize("source", ["1,2\n3,4", "a,a\n3,4", ",,\n3,4"])
def test_csv_without_a_header(source):
    """If the first row is no header it is a row."""
    assert read(source, CSV).text.endswith("3 | 4")


def test_pdf_pages():
    """In a PDF larger letters are a heading, a gap ends a paragraph, and pages and blank pages are known."""
    first = [("The pump", 20), ("", 12), ("It moves the", 12), ("water.", 12), ("", 12), ("It is old.", 12)]
    content = pdf([first, [], [("Last page here.", 12)]])
    assert blocks(content, PDF) == [
        (BlockKind.HEADING, "The pump"),
        (BlockKind.PARAGRAPH, "It moves the\nwater."),
        (BlockKind.PARAGRAPH, "It is old."),
        (BlockKind.PARAGRAPH, "Last page here."),
    ]
    document = read(content, PDF)
    assert (document.title, document.page_count, document.textless_pages) == ("The pump", 3, [2])
    assert [block.page for block in draft(content, PDF).blocks] == [1, 1, 1, 3]


def test_pdf_hyphenation():
    """A word divided at the end of a line is joined; a compound keeps its hyphen."""
    content = pdf([[("An exam-", 12), ("ple of well-", 12), ("known and \xadsoft", 12)]])
    assert read(content, PDF).text == "An example of well-known and soft"


def encrypted(password: str, algorithm: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(pdf([[("Hidden text", 12)]])))
    writer.encrypt(user_password=password, owner_password="owner", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_encrypted_pdf(algorithm):
    """A PDF that only restricts its use is read; one that needs a password is not."""
    assert read(encrypted("", algorithm), PDF).text == "Hidden text"
    assert failure(encrypted("secret", algorithm), PDF) == "document-encrypted"


def test_encrypted_office_document():
    """An Office document with a password is an encrypted document."""
    assert failure(compound_file("EncryptionInfo", "EncryptedPackage"), ENCRYPTED) == "document-encrypted"


@pytest.mark.parametrize("media_type", [PLAIN, MARKDOWN, HTML, CSV])
def test_blank_text_is_empty(media_type):
    """A file of white space is an empty document."""
    assert failure(" \n\t \n", media_type) == "document-empty"
    assert failure("", media_type) == "document-empty"


def test_documents_without_text():
    """A scan and a Word document without text are empty documents."""
    assert failure(pdf([[], []]), PDF) == "document-empty"
    assert failure(docx_of(), DOCX) == "document-empty"


def test_unknown_media_type():
    """A media type without a reader is refused."""
    assert failure("a", "image/png") == "unsupported-format"


def test_size_limits():
    """An archive of more unpacked bytes than the limit is refused."""
    assert failure(docx_of("Hello"), DOCX, Limits(unpacked_bytes=1000)) == "document-too-large"


def test_unreadable_pages():
    """One broken page has no text; a file of broken pages alone is corrupt."""
    good = b"BT /F1 12 Tf 50 700 Td (Good) Tj ET"
    document = read(pdf_of_streams([good, b"BT /F1 (x) Tf ["]), PDF)
    assert (document.text, document.textless_pages) == ("Good", [2])


def test_word_footnotes():
    """Footnotes follow the text."""
    base = docx_of("Text")
    note = "<w:footnote w:id='1'><w:p><w:r><w:t>A note</w:t></w:r></w:p></w:footnote>"
    notes = f"<w:footnotes {nsdecls('w')}>{note}</w:footnotes>"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    relation = f'<Relationship Id="n1" Type="{kind}" Target="footnotes.xml"/>'
    relations = f'<Relationships xmlns="{NAMESPACE.OPC_RELATIONSHIPS}">{relation}</Relationships>'
    members = {"word/footnotes.xml": notes.encode(), "word/_rels/document.xml.rels": relations.encode()}
    assert read(zip_with(members, base), DOCX).text == "Text\n\nA note"


@pytest.mark.parametrize(("rows", "columns"), [(200_000, 4), (600, 2_000), (20, 60_000)])
def test_large_tables_are_read(rows, columns):
    """Tables of the size that science and business use are far from the limits of rows, columns and cells."""
    header = ",".join(f"c{number}x" for number in range(columns))
    source = f"{header}\n" + ",".join(["98765"] * columns).join(["", "\n"]) * rows
    text = draft(source, CSV).text
    assert text.count("\n") >= rows - 1
    assert text.count("98765") == rows * columns
