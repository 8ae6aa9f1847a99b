"""Long documents: the share of the answering spans in the passages that fit a budget of tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import TypeAlias

from app.rag.tokenizer import count_tokens
from evals.data import SpanQuestion, SpanSet
from evals.folding import Letters
from evals.ingest import Library
from evals.measuring import Bench, sampled
from evals.results import Line
from evals.service import Hit

TOKENS = 1_000
"""The budget in word pieces of the embedded embedding model, whichever the deployment uses."""

Place: TypeAlias = tuple[str, int]
"""A document's id and the offset of a character."""


async def measure(bench: Bench, data: SpanSet) -> AsyncIterator[Line]:
    """Search for spans, located in the texts that the service has extracted."""
    files = [(name, name, path.read_bytes()) for name, path in data.documents.items()]
    library = await bench.ingest(data.name, files)
    yield bench.ingest_line(data.name, "ingest", library)
    letters = {name: Letters(await bench.client.get_text(key)) for name, key in library.documents.items()}
    lengths = {name: len(path.read_text("utf-8")) for name, path in data.documents.items()}
    found = [(each, spans_of(each, letters[each.document], lengths[each.document])) for each in data.questions]
    located = [(each, places(library.documents[each.document], spans)) for each, spans in found if spans]
    unmapped = sum(len(each.spans) - len(spans) for each, spans in found)
    yield await measure_search(bench, data.name, library, sampled(located, bench.limit), unmapped)


async def measure_search(
    bench: Bench, name: str, library: Library, located: Sequence[tuple[SpanQuestion, set[Place]]], unmapped: int
) -> Line:
    """Measure recall and precision of the spans' characters within the budget."""
    watch, scores = bench.stopwatch(library.user_id), {}
    for question, gold in located:
        scores[question.question_id] = span_scores(within(await watch.search(question.text), TOKENS), gold)
    notes = {"tokens": TOKENS, "spans not in the text": unmapped}
    return Line(name, bench.database, "search", scores, watch.seconds, notes)


def spans_of(question: SpanQuestion, letters: Letters, length: int) -> list[tuple[int, int]]:
    """Return the places of a question's spans in the text extracted from a file of this length; some may be missing."""
    found = (letters.span(each.content, each.start / max(1, length)) for each in question.spans)
    return [each for each in found if each is not None]


def places(document_id: str, spans: Iterable[tuple[int, int]]) -> set[Place]:
    """Return all characters of spans."""
    return {(document_id, place) for span in spans for place in range(*span)}


def within(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """Return the first passages that together have at most `budget` tokens."""
    taken: list[Hit] = []
    for hit, tokens in zip(hits, count_tokens([each.text for each in hits]), strict=True):
        budget -= tokens
        if budget < 0:
            break
        taken.append(hit)
    return taken


def span_scores(hits: Sequence[Hit], gold: Collection[Place]) -> dict[str, float]:
    """Return the share of gold characters that is found, and of found characters that is gold."""
    found = {place for each in hits for place in places(each.document_id, [(each.start, each.end)])}
    right = len(found & set(gold))
    return {"recall": right / len(gold), "precision": right / len(found) if found else 0.0}
