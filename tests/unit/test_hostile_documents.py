"""Documents made to harm: each ends with a clear code, within its limits, in a process of its own."""

import contextlib
import io
import zipfile

import pytest
import pytest_asyncio
from docx.oxml.ns import nsdecls

from app.rag.limits import Limits
from app.rag.reader import DocumentReader
from app.rag.sniff import CSV, DOCX, HTML, MARKDOWN, PDF, PLAIN
from app.rag.unreadable import Unreadable
from tests.support.documents import deflated_zeros, docx_of, pdf, pdf_of_objects, pdf_of_streams, zip_with

LIMITS = Limits(cpu_seconds=1, memory_bytes=1_000_000_000, unpacked_bytes=20_000_000)
LARGE, CORRUPT, COMPLEX = "document-too-large", "document-corrupt", "document-too-complex"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def reader():
    async with contextlib.aclosing(DocumentReader(LIMITS)) as reader:
        yield reader


async def outcome(reader: DocumentReader, content: bytes, media_type: str) -> str:
    """The code with which a document fails, or "read"."""
    try:
        await reader.read(content, media_type)
    except Unreadable as error:
        assert not error.failure.retryable
        return error.failure.code
    return "read"


def bomb(size: int) -> bytes:
    """A Word document of some KB whose text unpacks to `size` bytes."""
    file = io.BytesIO(docx_of("Hello"))
    with (
        zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as made,
        made.open("word/media.xml", "w", force_zip64=True) as member,
    ):
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return file.getvalue()


def lying(content: bytes, name: bytes) -> bytes:
    """The archive with the size of a member said to be 10 bytes."""
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
    return content[: entry + 24] + (10).to_bytes(4, "little") + content[entry + 28 :]


async def test_word_documents_that_unpack_to_much(reader):
    """An archive is refused for what it says that it unpacks to, and for what it does."""
    content = bomb(40 << 20)
    assert len(content) < 100_000
    assert await outcome(reader, content, DOCX) == LARGE
    assert await outcome(reader, lying(content, b"word/media.xml"), DOCX) == CORRUPT


async def test_archives_of_very_many_members(reader):
    """The members of an archive are counted first; an archive within is not opened."""
    file = io.BytesIO(docx_of("Hello"))
    with zipfile.ZipFile(file, "a") as made:
        for number in range(10_000):
            made.writestr(f"word/{number}.xml", b"")
    assert await outcome(reader, file.getvalue(), DOCX) == LARGE
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
async def test_entities_in_word_documents(reader, entities, text):
    """Entities are not replaced, whether they grow or lead elsewhere."""
    source = f"<?xml version='1.0'?><!DOCTYPE d [{entities}]>{WORDS.format(text)}"
    try:
        document = await reader.read(zip_with({"word/document.xml": source.encode()}, docx_of("x")), DOCX)
    except Unreadable as error:
        assert error.failure.code == CORRUPT
    else:
        assert "".join(document.text.split()) in {"ab", "a"}


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(
    ("content", "media_type"), [(docx_of("Hello", [["a", "b"]]), DOCX), (pdf([[("Hello", 12)]] * 9), PDF)]
)
async def test_documents_that_are_cut_off(reader, content, media_type, share):
    """A part of a document is corrupt, or what is left of it is read."""
    code = await outcome(reader, content[: int(len(content) * share)], media_type)
    assert code in ({CORRUPT} if media_type == DOCX else {CORRUPT, "read", "document-empty"})


async def test_pdfs_that_loop(reader):
    """Tables and trees of pages that lead back to themselves end."""
    content = pdf([[("Hello", 12)]])
    table = content.rindex(b"xref\n0")
    looping = content.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % table)
    assert await outcome(reader, looping, PDF) in {"read", CORRUPT}
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"]
    assert await outcome(reader, pdf_of_objects(tree), PDF) in {CORRUPT, LARGE, "document-empty"}


async def test_pdfs_that_unpack_to_much(reader):
    """A stream of a page that unpacks to a gigabyte is not unpacked."""
    assert await outcome(reader, pdf_of_streams([deflated_zeros(1 << 30)], deflated=True), PDF) == LARGE


async def test_pdfs_of_very_many_pages(reader):
    """Pages are counted before they are read."""
    kids = b" ".join([b"3 0 R"] * 11_000)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [%b] /Count 11000 >>" % kids]
    content = pdf_of_objects([*objects, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"])
    assert await outcome(reader, content, PDF) in {"document-too-many-pages", COMPLEX}


@pytest.mark.parametrize(
    ("source", "media_type", "codes"),
    [
        ("<div>" * 100_000 + "x", HTML, {COMPLEX}),
        ("<table><tr><td>" * 2_000 + "x", HTML, {COMPLEX, "read"}),
        ("<!--" * 100_000, HTML, {"document-empty"}),
        ("[" * 20_000, MARKDOWN, {COMPLEX, "read"}),
        ("*a **b " * 10_000, MARKDOWN, {COMPLEX, "read"}),
        ("> " * 50_000 + "x", MARKDOWN, {"document-empty"}),
        ("- " * 50_000 + "x", MARKDOWN, {COMPLEX, "document-empty"}),
        ("|a" * 10_000 + "\n" + "|-" * 10_000 + "\n|b", MARKDOWN, {COMPLEX, "read"}),
        ("---\n" * 20_000, MARKDOWN, {COMPLEX, "document-empty"}),
        (",".join(map(str, range(1_000_000))), CSV, {COMPLEX}),
        ('"' + "a\n" * 20_000, CSV, {"read"}),
        ("'\",;" * 20_000, CSV, {COMPLEX, "read", CORRUPT}),
        ("x" * 100_000, PLAIN, {"read"}),
        ("." * 100_000 + "a", PLAIN, {"read"}),
        ("= " * 50_000, PLAIN, {"read"}),
        ("func ( " * 20_000, PLAIN, {"read"}),
        ("x" * 11_000_000, PLAIN, {LARGE}),
    ],
)
async def test_texts_that_are_hard_to_read(reader, source, media_type, codes):
    """Depth, width and everything that makes parsers slow end within the limits."""
    assert await outcome(reader, source.encode(), media_type) in codes


async def test_memory_is_bounded():
    """A page that takes more memory than is given ends for it."""
    async with contextlib.aclosing(DocumentReader(Limits(cpu_seconds=5, memory_bytes=200_000_000))) as reader:
        assert await outcome(reader, b"<p>" * 2_000_000, HTML) == COMPLEX
