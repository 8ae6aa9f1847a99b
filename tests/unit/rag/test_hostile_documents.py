"""Documents made to do harm: each ends at the limit that it attacks, in a process of its own."""

import asyncio
import contextlib
import io
import zipfile

import psutil
import pytest
import pytest_asyncio
from docx.oxml.ns import nsdecls

from app.domain.documents import DocumentFailure
from app.rag.extraction import errors
from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.sandbox.client import DocumentReader
from tests.support.documents import (
    CSV,
    DOCX,
    HTML,
    MARKDOWN,
    PDF,
    PLAIN,
    PPTX,
    deflated_zeros,
    docx_of,
    pdf,
    pdf_of_objects,
    pdf_of_streams,
    zip_with,
)
from tests.support.hostile import (
    pdf_of_forms,
    pdf_page,
    slide_group,
    slide_rows,
    slide_shape,
    slides,
    word_document,
    word_rows,
)

LIMITS = Limits(cpu_seconds=5, memory_bytes=800_000_000, unpacked_bytes=60_000_000)
FEW = Limits(cpu_seconds=5, elements=2_000, xml_elements=60_000, columns=300, cells=600, nesting=200)
"""Limits that small documents exceed, so that no test has to make large ones."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def reader():
    async with contextlib.aclosing(DocumentReader(LIMITS)) as reader:
        yield reader


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def few():
    async with contextlib.aclosing(DocumentReader(FEW)) as reader:
        yield reader


async def failure_of(reader: DocumentReader, content: bytes, media_type: str) -> DocumentFailure | None:
    """Return the failure of a document, or None if it is read."""
    try:
        await reader.read(content, media_type)
    except ExtractionError as error:
        assert not error.failure.retryable
        return error.failure
    return None


async def outcome(reader: DocumentReader, content: bytes, media_type: str) -> str:
    """Return the failure code of a document, or "read"."""
    failure = await failure_of(reader, content, media_type)
    return failure.code if failure is not None else "read"


def bomb(size: int) -> bytes:
    """Return a Word document of some KB whose text unpacks to `size` bytes."""
    file = io.BytesIO(docx_of("Hello"))
    with (
        zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as made,
        made.open("word/media.xml", "w", force_zip64=True) as member,
    ):
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return file.getvalue()


def lying(content: bytes, name: bytes) -> bytes:
    """Return the archive with the size of a member declared as 10 bytes."""
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
    return content[: entry + 24] + (10).to_bytes(4, "little") + content[entry + 28 :]


async def test_zip_bomb(reader):
    """An archive is refused for the unpacked size that it declares and for the one that it has."""
    content = bomb(60 << 20)
    assert len(content) < 100_000
    assert await failure_of(reader, content, DOCX) == errors.UNPACKED_TOO_LARGE
    assert await outcome(reader, lying(content, b"word/media.xml"), DOCX) == "document-corrupt"


async def test_too_many_members(reader):
    """The members of an archive are counted before they are read; an archive within is not opened."""
    file = io.BytesIO(docx_of("Hello"))
    with zipfile.ZipFile(file, "a") as made:
        for number in range(10_000):
            made.writestr(f"word/{number}.xml", b"")
    assert await failure_of(reader, file.getvalue(), DOCX) == errors.TOO_MANY_MEMBERS
    assert await outcome(reader, zip_with({"word/inner.docx": bomb(1 << 20)}, docx_of("Hello")), DOCX) == "read"


ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
WORDS = f"<w:document {nsdecls('w')}><w:body><w:p><w:r><w:t>{{}}</w:t></w:r></w:p></w:body></w:document>"


@pytest.mark.parametrize(
    ("entities", "text"),
    [
        (f'<!ENTITY l0 "lol">{ENTITIES}', "a &l11; b"),
        ('<!ENTITY e SYSTEM "file:///etc/passwd">', "a &e; b"),
        ('<!ENTITY % e SYSTEM "http://127.0.0.1:9/e.dtd">%e;', "a  b"),
    ],
)
async def test_entities_are_not_expanded(reader, entities, text):
    """XML entities are not expanded, whether they grow or refer to a file or an address."""
    source = f"<?xml version='1.0'?><!DOCTYPE d [{entities}]>{WORDS.format(text)}"
    try:
        document = await reader.read(zip_with({"word/document.xml": source.encode()}, docx_of("x")), DOCX)
    except ExtractionError as error:
        assert error.failure in {errors.CORRUPT, errors.TOO_MUCH_TEXT}
    else:
        assert "".join(document.text.split()) in {"ab", "a"}


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(
    ("content", "media_type"), [(docx_of("Hello", [["a", "b"]]), DOCX), (pdf([[("Hello", 12)]] * 9), PDF)]
)
async def test_truncated_documents(reader, content, media_type, share):
    """A truncated document is corrupt, or the remainder is read."""
    code = await outcome(reader, content[: int(len(content) * share)], media_type)
    assert code in ({"document-corrupt"} if media_type == DOCX else {"document-corrupt", "read", "document-empty"})


async def test_cyclic_pdf(reader):
    """A PDF whose tables or page trees refer to themselves ends with a failure or a text."""
    content = pdf([[("Hello", 12)]])
    table = content.rindex(b"xref\n0")
    looping = content.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % table)
    assert await outcome(reader, looping, PDF) in {"read", "document-corrupt"}
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"]
    assert await outcome(reader, pdf_of_objects(tree), PDF) in {
        "document-corrupt",
        "document-too-large",
        "document-empty",
    }


async def test_pdf_bomb(reader):
    """A page's stream that unpacks to a gigabyte is not unpacked."""
    content = pdf_of_streams([deflated_zeros(1 << 30)], deflated=True)
    assert await failure_of(reader, content, PDF) == errors.PDF_TOO_LARGE


async def test_too_many_pages(reader):
    """Pages are counted before they are read."""
    kids = b" ".join([b"3 0 R"] * 11_000)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [%b] /Count 11000 >>" % kids]
    content = pdf_of_objects([*objects, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"])
    assert await failure_of(reader, content, PDF) == errors.TOO_MANY_PAGES


async def test_too_many_xml_elements(reader):
    """Elements of a compressed document are counted before a tree is built."""
    content = word_document(f"<w:p>{'<w:r><w:t>x</w:t></w:r>' * 2_100_000}</w:p>")
    assert len(content) < 200_000
    assert await failure_of(reader, content, DOCX) == errors.TOO_MANY_ELEMENTS


async def test_too_many_columns(reader):
    """Columns are counted row by row before cells are built."""
    names = ",".join(map(str, range(1_000_000)))
    assert await failure_of(reader, f"{names}\n1,2".encode(), CSV) == errors.TOO_MANY_COLUMNS


async def test_too_many_cells_below_a_title(reader):
    """Cells are counted before the title above them is kept."""
    assert await failure_of(reader, b"Prices\n" + b"a,b,c\n" * 1_000_001, CSV) == errors.TOO_MANY_CELLS


ELEMENTS, COLUMNS, CELLS = errors.TOO_MANY_ELEMENTS, errors.TOO_MANY_COLUMNS, errors.TOO_MANY_CELLS
DEEP, CPU, MEMORY = errors.TOO_DEEP, errors.OUT_OF_CPU, errors.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("content", "media_type", "bound"),
    [
        ("a\n\n" * 2_100, PLAIN, ELEMENTS),
        ("# a\n" * 2_100, PLAIN, ELEMENTS),
        ("a\n\n" * 600, MARKDOWN, ELEMENTS),
        ("*a* " * 600, MARKDOWN, ELEMENTS),
        ("|a|b\n|-|-\n" + "|b|c\n" * 600, MARKDOWN, ELEMENTS),
        ("<p>" * 2_100, HTML, ELEMENTS),
        ("<svg>" + "<path d='M0 0'/>" * 2_100, HTML, ELEMENTS),
        (word_document("<w:p/>" * 70_000), DOCX, ELEMENTS),
        (word_document("<w:p " + " ".join(f"w:a{n}=''" for n in range(70_000)) + "/>"), DOCX, ELEMENTS),
        (zip_with({"word/styles.xml": b"<w:styles>" + b"<w:style/>" * 70_000}, docx_of("x")), DOCX, ELEMENTS),
        (slides(slide_shape(9, "<a:p/>" * 70_000)), PPTX, ELEMENTS),
        ("a," * 400, CSV, COLUMNS),
        ("a;b\n" + "1;" * 400, CSV, COLUMNS),
        ("<table><tr>" + "<td>1" * 400, HTML, COLUMNS),
        ("|a" * 301 + "|\n" + "|-" * 301 + "|\n", MARKDOWN, COLUMNS),
        (word_document(word_rows(1, 301)), DOCX, COLUMNS),
        ("a,b\n" + "1,\n" * 400, CSV, CELLS),
        (word_document(word_rows(310, 2)), DOCX, CELLS),
        ("<div>" * 201 + "x", HTML, DEEP),
        ("<div></x>" * 201 + "x", HTML, DEEP),
        ("<div><b></b>" * 201 + "x", HTML, DEEP),
        ("<ul><li>x" * 201, HTML, DEEP),
        ("<table><tr><td>" * 201 + "x", HTML, DEEP),
        ("<b><p>" * 201 + "x", HTML, DEEP),
        (word_document("<w:sdt>" * 300 + "</w:sdt>" * 300), DOCX, DEEP),
        (word_document("<w:tbl><w:tr><w:tc>" * 90 + "</w:tc></w:tr></w:tbl>" * 90), DOCX, DEEP),
        (pdf_page(b"[" * 5_000), PDF, DEEP),
    ],
)
async def test_structures_are_counted(few, content, media_type, bound):
    """Elements, columns, cells or nesting beyond a limit end the reading with a failure that names the limit."""
    content = content.encode() if isinstance(content, str) else content
    assert await failure_of(few, content, media_type) == bound


async def test_slide_tables_are_counted():
    """Columns, cells and nested groups of slides count toward the limits."""
    few = Limits(cpu_seconds=5, columns=30, cells=60)
    async with contextlib.aclosing(DocumentReader(few)) as reader:
        assert await failure_of(reader, slides(slide_rows(1, 31)), PPTX) == COLUMNS
        for many in (slides(slide_rows(31, 2)), slides(slide_rows(2, 2), 16)):
            assert errors.TOO_MANY_CELLS.detail in ((await reader.read(many, PPTX)).truncated or "")
        groups = slide_shape(9)
        for _ in range(300):
            groups = slide_group(groups)
        assert await failure_of(reader, slides(groups), PPTX) == DEEP


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        ("<div>" * 1_900 + "<aside>x</aside>" * 400_000, HTML),
        ("<p " + " ".join(f"a{n}" for n in range(300_000)) + ">x", HTML),
        ("a b. " * 2_000_000, PLAIN),
        (pdf_of_forms(9, 9), PDF),
    ],
)
async def test_cpu_time_is_bounded(content, media_type):
    """Documents within all counted limits that still take long end at the limit of CPU time."""
    content = content.encode() if isinstance(content, str) else content
    async with contextlib.aclosing(DocumentReader(Limits(cpu_seconds=1))) as reader:
        assert await failure_of(reader, content, media_type) in {CPU, errors.PDF_TOO_LARGE}


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (pdf_page(b"BT /F1 12 Tf (x) Tj ET " * 2_000, times=9_000), PDF),
        (slides("".join(map(slide_shape, range(10, 2_010))), 9_000), PPTX),
    ],
)
async def test_cpu_time_of_many_pages(content, media_type):
    """Of many pages that take too long together, those are read for which the CPU time suffices."""
    async with contextlib.aclosing(DocumentReader(Limits(cpu_seconds=2))) as reader:
        document = await reader.read(content, media_type)
    assert document.page_count == 9_000
    assert CPU.detail in (document.truncated or "")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"<p>" * 900_000, HTML),
        (word_document("<w:p/>" * 1_300_000), DOCX),
        (slides(slide_shape(9, "<a:p/>" * 1_300_000)), PPTX),
        (b"a\n\n" * 120_000, MARKDOWN),
        (pdf_of_streams([deflated_zeros(70 << 20)], deflated=True), PDF),
    ],
)
async def test_memory_is_bounded(content, media_type):
    """A document that needs more memory than allowed fails for it, whatever the library does with the error."""
    async with contextlib.aclosing(DocumentReader(Limits(memory_bytes=180_000_000))) as reader:
        assert await failure_of(reader, content, media_type) == MEMORY


async def test_refused_document_leaves_nothing():
    """A refused document leaves neither a process nor memory of the service."""
    process = psutil.Process()
    others = set(process.children())
    content = word_document("<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 300_000)
    async with contextlib.aclosing(DocumentReader(Limits(memory_bytes=250_000_000))) as reader:
        assert await failure_of(reader, content, DOCX) == MEMORY
        before = process.memory_full_info().uss
        for _ in range(3):
            assert await failure_of(reader, content, DOCX) == MEMORY
        assert process.memory_full_info().uss - before < 20_000_000
        (server,) = set(process.children()) - others
        async with asyncio.timeout(30):  # the last child has answered but may not be reaped yet
            while server.children():  # noqa: ASYNC110  another process's child sets no event
                await asyncio.sleep(0.01)
        assert (await reader.read(b"Next", PLAIN)).text == "Next"


async def test_long_link_address_is_read_once(reader):
    """A long address costs nothing for each of the links that refer to it."""
    source = f"[a]: http://x/{'y' * 100_000} 'title'\n\n{'[a] ![a] ' * 20_000}"
    assert set((await reader.read(source.encode(), MARKDOWN)).text) == {"a", " "}


@pytest.mark.parametrize(
    ("source", "media_type", "codes"),
    [
        ("<!--" * 100_000, HTML, {"document-empty"}),
        ("<nav>" * 1_900 + "x", HTML, {"read"}),
        (f"<nav><p>{'no sentence ' * 20_000}</nav><p>x", HTML, {"read"}),
        ("<table><tr><td colspan=1000000 rowspan=1000000>1<td>2</table>", HTML, {"read"}),
        ("[" * 20_000, MARKDOWN, {CPU.code, "read"}),
        ("*a **b " * 10_000, MARKDOWN, {CPU.code, "read"}),
        ("> " * 50_000 + "x", MARKDOWN, {"document-empty"}),
        ("- " * 50_000 + "x", MARKDOWN, {CPU.code, "document-empty"}),
        ("|a" * 10_000 + "\n" + "|-" * 10_000 + "\n|b", MARKDOWN, {"read"}),
        ("---\n" * 20_000, MARKDOWN, {"document-empty"}),
        ('"' + "a\n" * 20_000, CSV, {"read"}),
        ("'\",;" * 20_000, CSV, {"read", "document-corrupt"}),
        ("x" * 1_000_000, PLAIN, {"read"}),
        ("\u4e2d" * 300_000, PLAIN, {"read"}),
        ("." * 1_000_000 + "a", PLAIN, {"read"}),
        ("= " * 50_000, PLAIN, {"read"}),
        ("func ( " * 20_000, PLAIN, {"read"}),
        ("x\n" + " " * 1_000_000 + "\nx", PLAIN, {"read"}),
        ("x" * 11_000_000, PLAIN, {CPU.code, "read"}),
    ],
)
async def test_slow_texts_end(reader, source, media_type, codes):
    """Deep, wide and ambiguous texts that make parsers slow end within the limits."""
    assert await outcome(reader, source.encode(), media_type) in codes


async def test_long_words_and_many_rows(reader):
    """A long word in a PDF and many rows and shapes of slides take time in proportion to their number."""
    assert await outcome(reader, pdf_page(b"BT /F1 12 Tf (" + b"x" * 300_000 + b") Tj ET"), PDF) == "read"
    assert await outcome(reader, slides(slide_rows(4_000, 2)), PPTX) == "read"
    assert await outcome(reader, slides("".join(map(slide_shape, range(10, 4_010)))), PPTX) == "read"


async def test_footnotes_are_read_once():
    """Footnotes with many relations to them are read once."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    relations = "".join(f"<Relationship Id='r{n}' Type='{kind}' Target='footnotes.xml'/>" for n in range(50))
    namespace = "http://schemas.openxmlformats.org/package/2006/relationships"
    note = "<w:p><w:r><w:t>Note.</w:t></w:r></w:p>"
    members = {
        "word/_rels/document.xml.rels": f"<Relationships xmlns='{namespace}'>{relations}</Relationships>".encode(),
        "word/footnotes.xml": f"<w:footnotes {nsdecls('w')}>{note}</w:footnotes>".encode(),
    }
    async with contextlib.aclosing(DocumentReader()) as reader:
        document = await reader.read(zip_with(members, docx_of("Hello")), DOCX)
    assert document.text == "Hello\n\nNote."
