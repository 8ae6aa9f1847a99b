"""Documents that meet a limit: what was read until then is kept, and the document says where reading stopped."""

import contextlib
import re

import pytest

from app.domain.documents import ExtractedDocument
from app.rag.extraction import errors
from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from app.rag.sandbox.client import DocumentReader
from tests.support.documents import CSV, DOCX, HTML, MARKDOWN, PDF, PLAIN, PPTX, docx_of, pdf, pdf_of_streams
from tests.support.hostile import slide_rows, slide_shape, slides

LINE = "The pump moves some water from the well to the house."
PAGES = [[(f"{LINE} {'abcdefghij'[page]}{line}", 12.0) for line in range(9)] for page in range(8)]


def read(content: bytes, media_type: str, limits: Limits) -> ExtractedDocument:
    return extract_document(content, media_type, limits, lambda done, total: None)


def test_whole_documents():
    """A document within its limits is not truncated."""
    assert read(pdf(PAGES), PDF, Limits()).truncated is None


@pytest.mark.parametrize(
    ("limits", "pages", "failure"),
    [
        (Limits(characters=1_200), 2, errors.TOO_MUCH_TEXT),
        (Limits(pages=3), 3, errors.TOO_MANY_PAGES),
    ],
)
def test_pages_before_the_limit(limits, pages, failure):
    """Of a PDF over its limit of text or pages the pages before it are read, and all are counted."""
    made = read(pdf(PAGES), PDF, limits)
    assert made.truncated == f"Reading stopped after page {pages} of 8. {failure.detail}"
    assert made.page_count == 8
    assert made.text.count(LINE) == 9 * pages
    assert made.textless_pages == []


def test_first_page_over_the_limit():
    """A page that is over the limit of text alone is read up to a word's end."""
    made = read(pdf(PAGES), PDF, Limits(characters=300))
    assert made.truncated == f"Reading stopped on page 1. {errors.TOO_MUCH_TEXT.detail}"
    assert 250 < len(made.text) <= 300
    assert re.search(r"a\d\Z", made.text)


def test_pages_that_are_left_out():
    """A page that is too large by itself is left out, and the others are read."""
    large = b"BT /F1 12 Tf (x) Tj ET " * 700_000
    made = read(pdf_of_streams([b"BT /F1 12 Tf (One) Tj ET", large, b"BT /F1 12 Tf (Three) Tj ET"]), PDF, Limits())
    assert made.text == "One\n\nThree"
    assert made.truncated == f"Page 2 was not read. {errors.PDF_TOO_LARGE.detail}"
    assert made.textless_pages == [2]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (docx_of("# Pumps", *[LINE] * 40, title="Manual"), DOCX),
        (slides("".join(slide_shape(n, f"<a:p><a:r><a:t>{LINE}</a:t></a:r></a:p>") for n in range(9, 49))), PPTX),
        (f"<h1>Pumps</h1>{f'<p>{LINE}</p>' * 40}".encode(), HTML),
    ],
)
def test_text_before_the_limit(content, media_type):
    """Text of the other formats is read up to the limit of characters, with its title."""
    made = read(content, media_type, Limits(characters=1_000))
    assert errors.TOO_MUCH_TEXT.detail in (made.truncated or "")
    assert ("on page 1" in (made.truncated or "")) is (media_type == PPTX)
    assert 800 <= len(made.text) <= 1_000
    assert made.title in {"Manual", "Pumps", "Title"}
    assert made.chunks[-1].end == len(made.text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("media_type", [PLAIN, MARKDOWN, HTML, CSV])
def test_files_of_text_over_the_limit(media_type, encoding):
    """Of a file of text as many characters are read as the limit allows, to the end of a line."""
    source = "".join(f"Zürich, {n}\n" for n in range(200)).encode(encoding)
    made = read(source, media_type, Limits(characters=1_000))
    assert made.truncated == f"Reading stopped after 1,000 characters of the file. {errors.TOO_MUCH_TEXT.detail}"
    last = int(re.findall(r"\d+", made.text)[-1])
    assert last == made.text.count("Zürich") - 1
    assert 80 <= last <= 90


def test_cells_before_the_limit():
    """The rows of a table up to the limit of cells are read."""
    rows = "".join(f"<tr><td>a{n}<td>b{n}" for n in range(90))
    made = read(f"<p>Rates</p><table>{rows}</table>".encode(), HTML, Limits(cells=100))
    assert made.text.count(" | ") == 50
    assert errors.TOO_MANY_CELLS.detail in (made.truncated or "")


def test_slides_before_the_limit():
    """The slides before the limit of pages are read, and all are counted."""
    made = read(slides(slide_rows(1, 2), 5), PPTX, Limits(pages=3))
    assert (made.page_count, made.text.count("Title")) == (5, 3)
    assert made.truncated == f"Reading stopped on page 3. {errors.TOO_MANY_PAGES.detail}"


def test_chunks_before_the_limit():
    """The chunks up to the limit are kept, with the text and the headings in them."""
    source = "".join(f"<h2>Part {n}</h2><p>{LINE * 12}</p>" for n in range(9))
    made = read(source.encode(), HTML, Limits(chunks=4))
    assert len(made.chunks) == 4
    assert made.chunks[-1].end == len(made.text)
    assert [each.text for each in made.outline] == [f"Part {n}" for n in range(4)]
    assert errors.TOO_MANY_CHUNKS.detail in (made.truncated or "")


def test_time_is_limited_within_a_page():
    """A single page that takes all the time fails the document, since nothing was read before."""
    with pytest.raises(ExtractionError) as raised:
        read(pdf_of_streams([b"BT /F1 12 Tf (x) Tj ET " * 60_000]), PDF, Limits(cpu_seconds=0))
    assert raised.value.failure == errors.OUT_OF_CPU


async def test_truncation_leaves_the_process():
    """What a document says about its truncation arrives from the process that reads it."""
    async with contextlib.aclosing(DocumentReader(Limits(pages=3))) as reader:
        made = await reader.read(pdf(PAGES), PDF)
    assert made.truncated == f"Reading stopped after page 3 of 8. {errors.TOO_MANY_PAGES.detail}"
