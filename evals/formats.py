"""Extraction and retrieval of the same documents in several formats."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from evals.data import EvidenceQuestion, FormatSet
from evals.folding import fold
from evals.ingest import Library
from evals.measuring import Bench, sampled
from evals.results import Line
from evals.service import Hit

DEPTHS = (5, 8)
"""8 is the default limit of a search."""


async def measure(bench: Bench, data: FormatSet) -> AsyncIterator[Line]:
    """Measure each format on its own, for a user of its own."""
    for form, paths in data.formats.items():
        files = [(stem, path.name, path.read_bytes()) for stem, path in paths.items()]
        library = await bench.ingest(f"{data.name} {form}", files)
        yield bench.ingest_line(data.name, f"ingest {form}", library)
        questions = [each for each in data.questions if each.document in paths]
        yield await measure_evidence(bench, data.name, form, library, sampled(questions, bench.limit))


async def measure_evidence(
    bench: Bench, name: str, form: str, library: Library, questions: Sequence[EvidenceQuestion]
) -> Line:
    """Measure whether the evidence of each question is extracted and found."""
    watch, scores = bench.stopwatch(library.user_id), {}
    for each in questions:
        document_id = library.documents[each.document]
        text, hits = await bench.client.get_text(document_id), await watch.search(each.text)
        scores[each.question_id] = evidence_scores(each.evidence, document_id, text, hits)
    return bench.line(name, form, watch, scores)


def evidence_scores(wanted: str, document_id: str, text: str, hits: Sequence[Hit]) -> dict[str, float]:
    """Return whether the evidence is in the first passages of the right document, and in its text at all."""
    words = fold(wanted)
    holds = [hit.document_id == document_id and words in fold(hit.text) for hit in hits]
    found = {f"in the first {depth}": float(any(holds[:depth])) for depth in DEPTHS}
    return {**found, "in the text": float(words in fold(text))}
