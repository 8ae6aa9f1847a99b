from __future__ import annotations

from dataclasses import replace

from app.domain.documents import Passage
from app.domain.evidence import is_evidence, select_openings
from app.domain.extractive import STRICT

TEXT = "The tower was finished in 1889."
PASSAGE = Passage("d:0", "d", "paris.txt", None, 0, len(TEXT), TEXT, 1.0)


def test_thresholds() -> None:
    """A passage is evidence for a model that cannot refuse if it is near enough by similarity or by words."""
    far, near = (replace(PASSAGE, similarity=each) for each in (0.05, 0.9))
    assert (is_evidence([far], STRICT), is_evidence([near], STRICT)) == (False, True)
    few, many = (replace(PASSAGE, coverage=each) for each in (0.55, 0.65))
    assert (is_evidence([few], STRICT), is_evidence([many], STRICT)) == (False, True)
    assert not is_evidence([], STRICT)


def test_openings_of_named_documents() -> None:
    """The opening of a document named in the question is given whole; of several each is cut at a real span."""
    found = [replace(PASSAGE, text="word " * 200, end=1_000, document_name=name) for name in ("tax.pdf", "zoo.md")]
    assert select_openings("tax.pdf", found) == found[:1]
    assert select_openings("taxes", found) == []
    for each in select_openings("", found):
        assert (each.end - each.start, each.text) == (len(each.text), found[0].text[: len(each.text)])
        assert len(each.text) <= 400
