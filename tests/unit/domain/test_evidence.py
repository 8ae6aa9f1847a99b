from __future__ import annotations

from dataclasses import replace

from app.domain.documents import Passage
from app.domain.evidence import select_openings

TEXT = "The tower was finished in 1889."
PASSAGE = Passage("d:0", "d", "paris.txt", None, 0, len(TEXT), TEXT, 1.0)


def test_openings_of_named_documents() -> None:
    """The opening of a document named in the question is given whole; of several each is cut at a real span."""
    found = [replace(PASSAGE, text="word " * 200, end=1_000, document_name=name) for name in ("tax.pdf", "zoo.md")]
    assert select_openings("tax.pdf", found) == found[:1]
    assert select_openings("taxes", found) == []
    for each in select_openings("", found):
        assert (each.end - each.start, each.text) == (len(each.text), found[0].text[: len(each.text)])
        assert len(each.text) <= 400
