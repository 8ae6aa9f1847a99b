"""Pages of characters: each chunk knows the page of every character in it."""

import io
from collections.abc import Iterator, Sequence

import pytest
from pptx import Presentation

from app.domain.documents import Chunk, ExtractedDocument, Passage
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from tests.support.documents import MARKDOWN, PDF, PPTX, pdf

WORDS = "The reactor was designed by Ingrid Solberg and cooled with bismuth. "


def read(content: bytes, media_type: str) -> ExtractedDocument:
    return extract_document(content, media_type, Limits(), lambda done, total: None)


def passage_of(chunk: Chunk) -> Passage:
    """Return a chunk as a search result, which is what citations take their pages from."""
    return Passage(
        "c", "d", "name", chunk.page, chunk.start, chunk.end, chunk.content, 1.0, later_pages=chunk.later_pages
    )


def slides(texts: Sequence[str]) -> bytes:
    """Build a presentation of one text box a slide; an empty text is a slide without any."""
    deck = Presentation()
    for text in texts:
        slide = deck.slides.add_slide(deck.slide_layouts[6])
        if text:
            slide.shapes.add_textbox(0, 0, 1, 1).text_frame.text = text
    file = io.BytesIO()
    deck.save(file)
    return file.getvalue()


def marked(texts: Sequence[str]) -> Iterator[str]:
    """Yield each page's text with a word that names the page."""
    for page, text in enumerate(texts, 1):
        yield " ".join(f"p{page} {word}" for word in text.split()) if text else ""


SHORT, LONG = WORDS, WORDS * 40
KINDS = {
    "short": [SHORT] * 12,
    "blank": [SHORT, "", "", SHORT, "", SHORT],
    "mixed": [LONG, SHORT, SHORT, LONG, "", SHORT, SHORT],
    "one": [SHORT],
}


@pytest.mark.parametrize("media_type", [PDF, PPTX])
@pytest.mark.parametrize("kind", KINDS)
def test_page_of_every_character(kind, media_type):
    """The page of each character is the one that it is printed on, and a passage knows its last page."""
    texts = list(marked(KINDS[kind]))
    lines = [[(text[place : place + 90], 11.0) for place in range(0, len(text), 90)] for text in texts]
    document = read(pdf(lines) if media_type == PDF else slides(texts), media_type)
    assert document.page_count == len(texts)
    for chunk in document.chunks:
        passage = passage_of(chunk)
        words = [(place, word) for place, word in word_places(chunk) if word.startswith("p") and word[1:].isdigit()]
        assert all(passage.page_at(place) == int(word[1:]) for place, word in words)
        assert passage.page == passage.page_at(passage.start) == int(words[0][1][1:])
        assert passage.page_end == int(words[-1][1][1:])


def word_places(chunk: Chunk) -> Iterator[tuple[int, str]]:
    """Yield the words of a chunk with their offsets in the document's text."""
    place = 0
    for word in chunk.content.split():
        place = chunk.content.index(word, place)
        yield chunk.start + place, word
        place += len(word)


def test_formats_without_pages():
    """Chunks of a format without pages have neither a first page nor a last one."""
    (chunk,) = read(b"# One\n\nText.", MARKDOWN).chunks
    assert (passage_of(chunk).page, passage_of(chunk).page_end, chunk.later_pages) == (None, None, None)
