"""Data of an evaluation: documents, questions about them, and right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARKDOWN = "text/markdown"
NAME_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a corpus, which becomes a document."""

    item_id: str
    title: str
    text: str

    @property
    def name(self) -> str:
        """Name of the item's file."""
        return f"{' '.join(self.title.replace('/', ' ').split())[:NAME_CHARACTERS] or self.item_id}.md"

    @property
    def content(self) -> bytes:
        """Content of the item's file."""
        title = " ".join(self.title.split())
        return (f"# {title}\n\n{self.text}" if title else self.text).encode(errors="replace")


@dataclass(frozen=True, slots=True)
class Query:
    """A query with the items that answer it."""

    query_id: str
    text: str
    grades: Mapping[str, float]
    earlier_messages: Sequence[str] = ()
    """The user's messages before the query, the oldest first."""
    rewrite: str | None = None
    """The query as a person rewrote it to be complete on its own."""


@dataclass(frozen=True, slots=True)
class RankedSet:
    """A corpus, and queries whose relevant items are known."""

    name: str
    corpus: Sequence[Item]
    queries: Sequence[Query]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one passage of a corpus."""

    question_id: str
    text: str
    passage_id: str
    """The passage that answers it, or that it resembles; empty if it is about something else."""
    answers: Sequence[str]
    """Forms of the right answer; empty if the corpus has none."""
    unanswerable: bool


@dataclass(frozen=True, slots=True)
class PassageSet:
    """A corpus of passages, and questions that it answers or does not."""

    name: str
    corpus: Sequence[Item]
    questions: Sequence[Question]

    @property
    def answerable(self) -> list[Question]:
        """The questions that the corpus answers."""
        return [each for each in self.questions if not each.unanswerable]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a document's file, in characters."""

    start: int
    end: int
    content: str


@dataclass(frozen=True, slots=True)
class SpanQuestion:
    """A question with the parts of a document that answer it."""

    question_id: str
    text: str
    document: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class SpanSet:
    """Long documents, by their names, and questions about parts of them."""

    name: str
    documents: Mapping[str, Path]
    questions: Sequence[SpanQuestion]


@dataclass(frozen=True, slots=True)
class EvidenceQuestion:
    """A question with the words of a document that answer it."""

    question_id: str
    text: str
    document: str
    """The document's name without its extension."""
    evidence: str


@dataclass(frozen=True, slots=True)
class FormatSet:
    """The same documents in several formats: for each format the files by their names without extension."""

    name: str
    formats: Mapping[str, Mapping[str, Path]]
    questions: Sequence[EvidenceQuestion]
