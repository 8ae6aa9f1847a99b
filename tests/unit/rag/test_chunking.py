import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.documents import Chunk
from app.rag.chunking.segments import MAX_TOKENS
from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from app.rag.tokenizer import count_tokens
from tests.support.documents import CSV, HTML, MARKDOWN, PLAIN

SENTENCE = "The pump moves some water from the well to the house. "


def chunks(source: str, media_type: str = MARKDOWN) -> list[Chunk]:
    return list(extract_document(source.encode(), media_type, Limits(), lambda done, total: None).chunks)


def covers(text: str, made: list[Chunk]) -> bool:
    """Return whether chunks are spans of the text, in order, that leave out nothing but white space."""
    places = [0, *(place for each in made for place in (each.start, each.end)), len(text)]
    between = [text[places[i] : places[i + 1]] for i in range(0, len(places), 2)]
    return places == sorted(places) and all(not gap.strip() for gap in between)


WORDS = st.sampled_from(
    ["a", "Water.", "東京都。", "한국어", "naïve", "x" * 300, "\u200b", "\U0001f600", "(1)", "No!", "# H", "- i"]
)
BLANKS = st.sampled_from([" ", "\n", "\n\n", "  ", "\t", "\n\n\n# ", ". ", "", "\u3000", "\u2028"])
TEXT = st.lists(st.tuples(WORDS, BLANKS, st.integers(1, 40)), max_size=30).map(
    lambda parts: "".join((word + blank) * times for word, blank, times in parts)
) | st.text(max_size=2000)


@given(TEXT, st.sampled_from([PLAIN, MARKDOWN, HTML, CSV]))
@settings(max_examples=150)
def test_chunks_cover_the_text_once(source, media_type):
    """Chunks are exact spans in order, cover everything except white space, and have at most 250 tokens."""
    try:
        document = extract_document(source.encode("utf-8", "replace"), media_type, Limits(), lambda done, total: None)
    except ExtractionError as error:
        assert error.failure.code == "document-empty"
        return
    made = list(document.chunks)
    assert covers(document.text, made)
    assert all(each.content == document.text[each.start : each.end] for each in made)
    assert max(count_tokens([each.content for each in made])) <= MAX_TOKENS


def test_paragraphs_stay_whole():
    """A text is split between paragraphs, not within them, into chunks of at least 100 tokens."""
    source = "\n\n".join(SENTENCE * 4 for _ in range(20))
    made = chunks(source)
    assert all(each.content.count(SENTENCE.strip()) % 4 == 0 for each in made)
    assert all(100 <= tokens <= MAX_TOKENS for tokens in count_tokens([each.content for each in made]))


def test_heading_stays_with_its_text():
    """No chunk ends with a heading or with a line that introduces a list."""
    source = "\n\n".join(f"## Part {n}\n\n{SENTENCE * 9}\n\nThese are:\n\n- one {n}\n- two {n}" for n in range(12))
    for each in chunks(source):
        assert not each.content.rpartition("\n")[2].startswith(("Part", "These are"))


def test_small_sections_share_a_chunk():
    """Sections of one line each are packed together under the headings that they share."""
    source = "# Pump\n\n## Use\n\n" + "\n\n".join(f"### Part {n}\n\n{SENTENCE}" for n in range(30))
    made = chunks(source)
    assert len(made) < 10
    assert {each.heading for each in made[1:]} == {"Pump > Use"}


def test_heading_path():
    """A chunk's heading is the path from the document's title down to its own heading."""
    source = "---\ntitle: Manual\n---\n# Pump\n\n" + f"## Use\n\n{SENTENCE * 15}\n\n### Daily\n\n{SENTENCE * 40}"
    assert [each.heading for each in chunks(source)][-1] == "Manual > Pump > Use > Daily"


def test_rows_keep_their_header():
    """Later chunks of a table have the header row in their heading; no row is split."""
    rows = "\n".join(f"| pump {n} | {n} litres a minute | in the cellar, behind the door |" for n in range(60))
    made = chunks(f"# Sizes\n\n| Name | Flow | Place |\n|---|---|---|\n{rows}\n")
    assert made[0].heading == "Sizes"
    assert {each.heading for each in made[1:]} == {"Sizes > Name | Flow | Place"}
    assert all(line.count("|") == 2 for each in made[1:] for line in each.content.split("\n"))


@pytest.mark.parametrize(
    "text", ["東京都の天気は良いです" * 300, "x" * 20000, "a" + " " * 30000 + "b", "한국어" * 2000]
)
def test_unbroken_text_is_split(text):
    """Text without spaces or sentences, one enormous word and enormous white space are split all the same."""
    made = chunks(text, PLAIN)
    assert covers(text, made)
    assert max(count_tokens([each.content for each in made])) <= MAX_TOKENS
    assert max(len(each.content) for each in made) <= 10 * MAX_TOKENS


def test_long_paragraph_splits_at_sentences():
    """Within a paragraph that is too long, chunks end where sentences end."""
    assert all(each.content.endswith(".") for each in chunks(SENTENCE * 100, PLAIN))


@pytest.mark.parametrize(
    "sentence", ["हमारी वारंटी दो साल की है। ", "کیا وارنٹی دو سال کی ہے؟ ", "وارنٹی دو سال کی ہے۔ ", "保证期为两年。"]
)
def test_sentences_end_in_many_scripts(sentence):
    """Chunks end where sentences of other scripts end."""
    assert all(each.content.endswith(sentence.strip()[-1]) for each in chunks(sentence * 100, PLAIN))


def test_outline():
    """The outline has every heading with its level and offset."""
    document = extract_document(b"# A\n\ntext\n\n## B\n\ntext", MARKDOWN, Limits(), lambda done, total: None)
    assert [(each.level, each.text) for each in document.outline] == [(1, "A"), (2, "B")]
    assert document.text[document.outline[1].start :].startswith("B")


def test_outline_is_bounded():
    """Of too many headings the outermost are kept."""
    source = "".join(f"# A{n}\n\n" + "## B\n\n" * 10 for n in range(500))
    outline = extract_document(source.encode(), MARKDOWN, Limits(), lambda done, total: None).outline
    assert [each.level for each in outline] == [1] * 500
