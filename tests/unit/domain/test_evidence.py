from __future__ import annotations

from dataclasses import replace

from app.domain.documents import Passage
from app.domain.evidence import LENIENT, is_evidence, relevant_openings

TEXT = "The tower was finished in 1889."
PASSAGE = Passage("d:0", "d", "paris.txt", None, 0, len(TEXT), TEXT, 1.0)


def test_passages_as_evidence() -> None:
    """A similar passage, or one with many of the words, is evidence."""
    assert [is_evidence([replace(PASSAGE, similarity=each)], LENIENT) for each in (0.05, 0.9)] == [False, True]
    assert is_evidence([replace(PASSAGE, coverage=0.55)], LENIENT)
    assert not is_evidence([], LENIENT)
    few = replace(PASSAGE, coverage=0.3)
    assert is_evidence([few], LENIENT)
    assert not is_evidence([replace(few, similarity=0.1)], LENIENT)


def test_openings_of_named_documents() -> None:
    """The opening of a document named in the question is given whole; of several each is cut at a real span."""
    found = [replace(PASSAGE, text="word " * 200, end=1_000, document_name=name) for name in ("tax.pdf", "zoo.md")]
    assert relevant_openings("Summarise Tax.pdf", found) == found[:1]
    for each in relevant_openings("Summarise all", found):
        assert (each.end - each.start, each.text) == (len(each.text), found[0].text[: len(each.text)])
        assert len(each.text) <= 400
