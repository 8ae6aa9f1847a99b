from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.citations import citations_in
from app.domain.documents import PageStart, Passage
from app.domain.extractive import (
    Quote,
    best_sentence,
    closest_quote,
    content_words,
    outline_answer,
    question_without_names,
    quoted_answer,
    quotes_of,
)
from app.domain.sentences import sentences
from app.domain.similarity import SimilarityBars
from tests.support.citations import candidates

TEXT = "The tower was finished in 1889. It is 330 metres high!\n\nThe bridge was finished in 1900."
BARS = SimilarityBars(passage=0.5, sentence=0.4, sentence_named=0.33, sentence_sure=0.6, unnamed=0.25)
PASSAGE = Passage("d:0", "d", "paris.txt", None, 0, len(TEXT), TEXT, 1.0)


def passage(text: str, **more: object) -> Passage:
    """Return a passage of a document."""
    return replace(Passage("d:0", "d", "a.txt", None, 0, len(text), text, 1.0), **more)  # type: ignore[arg-type]  # names of its fields


def test_best_sentence() -> None:
    """The sentence with most of the question's words is quoted, with white space folded, cut at a word if too long."""
    assert best_sentence(TEXT, content_words("When was the bridge finished?")) == "The bridge was finished in 1900."
    assert best_sentence("one  two\nthree", content_words("three")) == "one two three"
    assert best_sentence("word " * 200, ()).endswith("word …")
    assert best_sentence("", ()) == ""


def test_closest_quote() -> None:
    """Similarity and words count together; if no sentence is near enough there is no quote."""
    quotes = quotes_of([PASSAGE], "")
    assert [each.sentence for each in quotes] == list(sentences(TEXT))
    found = closest_quote(quotes, [0.6, 0.1, 0.5], "When was the bridge finished?", BARS)
    assert found is not None
    assert found.sentence == "The bridge was finished in 1900."
    assert closest_quote(quotes, [0.1, 0.1, 0.1], "Who is the mayor?", BARS) is None
    there = quotes_of([replace(PASSAGE, coverage=0.9)], "")
    assert closest_quote(there, [0.1, 0.1, 0.1], "When was the bridge finished?", BARS) is not None
    assert closest_quote([], [], "Anything?", BARS) is None


def test_words_alone_decide() -> None:
    """Without vectors the passage covers the question, in an unknown script a little, and words choose the sentence."""
    question = "When was the bridge finished?"
    for bars, least in ((None, 0.6), (BARS, 0.07)):
        assert closest_quote(quotes_of([replace(PASSAGE, coverage=least - 0.01)], ""), None, question, bars) is None
        found = closest_quote(quotes_of([replace(PASSAGE, coverage=least)], ""), None, question, bars)
        assert found is not None
        assert found.sentence == "The bridge was finished in 1900."


def test_stop_words_choose_no_quote() -> None:
    """Words without content do not count for a sentence, in any language; Korean words are compared without endings."""
    texts = {
        "Где у вас в городе находится центр?": ("Где и когда у вас в городе гости.", "Центр находится в Казани."),
        "휴가는 며칠인가요?": ("점심은 열두 시입니다.", "휴가를 열흘 줍니다."),
    }
    for question, (other, wanted) in texts.items():
        found = closest_quote(quotes_of([passage(f"{other}\n\n{wanted}", coverage=0.5)], ""), None, question, BARS)
        assert found is not None
        assert found.sentence == wanted


def test_answer_is_quoted_with_its_question() -> None:
    """A question of a document is quoted with its answer, and the label of a clause with what the clause says."""
    texts = {
        "Can I book a room? Yes, at the desk.": ["Can I book a room? Yes, at the desk."],
        "## What is a card?\n\n5 dollars.\n\nFilms are free.": ["What is a card? 5 dollars.", "Films are free."],
        "3. Deposit. The tenant pays 300.\n4. Pets. No dogs.": [
            "3. Deposit. The tenant pays 300.",
            "4. Pets. No dogs.",
        ],
        "Who? What? This. Why?": ["Who?", "What? This.", "Why?"],
        "罚款多少？每天一元。": ["罚款多少？ 每天一元。"],
    }
    for text, expected in texts.items():
        assert [each.sentence for each in quotes_of([passage(text)], "")] == expected


def test_quoted_answer() -> None:
    """A quote stands with mark, document and page; its own marks are removed."""
    found = [passage("Nothing."), passage("It was built in 1889[7].", page=2)]
    assert quoted_answer(quotes_of(found, "")[1], found) == "“It was built in 1889.” [2] (a.txt, page 2)"


def test_page_of_a_quote() -> None:
    """The page of a quote is the one that it begins on, where its passage has several."""
    starts = [PageStart(13, 2), PageStart(33, 5)]
    several = replace(passage("It is small.\nIt was built\nin 1889. It stands here.", page=1), later_pages=starts)
    sentences_of = ["It is small.", "It was built in 1889.", "It stands here."]
    made = [quoted_answer(Quote(several, each), [several]).rpartition("(")[2] for each in sentences_of]
    assert made == ["a.txt, page 1)", "a.txt, page 2)", "a.txt, page 5)"]


def test_question_without_names() -> None:
    """Names and identifiers are left out; a question that has nothing else, or no names, has no such form."""
    assert question_without_names("When was Ingrid Solberg born?") == "When was born?"
    assert question_without_names("How much does the P200 weigh?") == "How much does the weigh?"
    assert question_without_names("Who is Omar Reyes?") is None
    assert question_without_names("How much does it weigh?") is None


def test_quotes_of_documents_with_all_names() -> None:
    """Sentences come from documents that mention all names of the question; a heading is none."""
    found = [
        passage("# X100\n\nThe warranty lasts two years.", document_id="one", document_name="x100.md"),
        passage("The warranty lasts three years.", document_id="two", heading="X200"),
    ]
    assert [each.sentence for each in quotes_of(found, "How long is the warranty of the X200?")] == [found[1].text]
    assert [each.sentence for each in quotes_of(found, "And of the X100?")] == ["The warranty lasts two years."]
    assert quotes_of(found, "How long is the warranty of the X300?") == []


def test_outline_answer() -> None:
    """An outline gives the headings or opening words of each document with marker and source."""
    found = [passage("A text. More.", heading="Taxes; Income"), passage("It begins here. More.", page=1)]
    assert outline_answer(found) == "a.txt: Taxes; Income [1]\na.txt, page 1: “It begins here.” [2]"


@pytest.mark.parametrize(
    "text", ["Use ` in 1889 [3].", "```in 1889", "<code> in 1889", "In $US 1889 [2]", "~~~", "a[1]"]
)
def test_quote_leaves_its_mark_readable(text: str) -> None:
    """A quote and a document's name that begin code cite nothing themselves, and leave the mark behind them one."""
    found = passage(text, document_name=f"{text} $ [4].txt")
    for reply in (quoted_answer(quotes_of([found], "")[0], [found]), outline_answer([found])):
        assert [each.marker for each in citations_in(reply, candidates(9))] == [1]


def test_content_words() -> None:
    """Words keep their vowel signs, and scripts without spaces have pairs of characters in the place of words."""
    assert content_words("किराया कितना है?") == {"किराया", "कितना", "है"}
    assert content_words("押金多少？") == {"押金", "金多", "多少"}
    assert content_words("How far is the station?") == {"far", "statio"}
