"""The same documents in several formats: is what answers a question read out of each, and found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from evals.data import EvidenceQuestion, FormatSet
from evals.folding import folded
from evals.ingest import Shelf
from evals.measuring import Bench, Stopwatch, sampled
from evals.results import Line
from evals.service import Hit

DEPTHS = (5, 8)
"""8 is how many passages a search gives by default."""


async def measured(bench: Bench, data: FormatSet) -> AsyncIterator[Line]:
    """Measures each format by itself, as a user of its own."""
    for form, paths in data.formats.items():
        files = [(stem, path.name, path.read_bytes()) for stem, path in paths.items()]
        shelf = await bench.shelf(f"{data.name} {form}", files)
        yield bench.ingested(data.name, f"ingest {form}", shelf)
        questions = [each for each in data.questions if each.document in paths]
        yield await evidence(bench, data.name, form, shelf, sampled(questions, bench.limit))


async def evidence(bench: Bench, name: str, form: str, shelf: Shelf, questions: Sequence[EvidenceQuestion]) -> Line:
    """Whether each question's evidence is in its document's text, and among what is found first."""
    watch, scores = Stopwatch(bench.client, shelf.user_id), {}
    for each in questions:
        document_id = shelf.documents[each.document]
        text, hits = await bench.client.text(document_id), await watch.search(each.text)
        scores[each.question_id] = of_evidence(each.evidence, document_id, text, hits)
    return bench.line(name, form, watch, scores)


def of_evidence(wanted: str, document_id: str, text: str, hits: Sequence[Hit]) -> dict[str, float]:
    """Whether the evidence is among the first passages, of the right document, and in its text at all."""
    words = folded(wanted)
    holds = [hit.document_id == document_id and words in folded(hit.text) for hit in hits]
    found = {f"in the first {depth}": float(any(holds[:depth])) for depth in DEPTHS}
    return {**found, "in the text": float(words in folded(text))}
