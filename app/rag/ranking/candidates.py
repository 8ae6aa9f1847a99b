"""Selection of the chunks to rank: those with a rare term of the query, or with several of the common ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.rag.ranking.terms import Forms

CANDIDATES = 1_000
"""Number of chunks to rank, about: on all test sets 500 of 10,000 rank as all do."""
MAX_CANDIDATES = 4 * CANDIDATES
"""Related terms have more chunks in common than the estimate, which assumes that they are independent."""


def rare_term_clauses(
    frequencies: Mapping[Forms, float], chunks: int, room: int = CANDIDATES
) -> Sequence[Sequence[Forms]]:
    """Return clauses of words; a chunk that contains all words of any clause is a candidate.

    The rarest words are clauses of their own, until some `room` chunks contain them; the remaining ones are combined.

    Args:
        frequencies: By word, the number of chunks that contain it.
        chunks: Number of all chunks.
        room: Number of candidates wanted.
    """
    rarest = sorted(frequencies, key=lambda each: frequencies[each])
    clauses: list[list[Forms]] = []
    left = float(room)
    for place, word in enumerate(rarest):
        if frequencies[word] > left:
            return [*clauses, conjunction(rarest[place:], frequencies, chunks, left)]
        clauses.append([word])
        left -= frequencies[word]
    return clauses


def conjunction(words: Sequence[Forms], frequencies: Mapping[Forms, float], chunks: int, room: float) -> list[Forms]:
    """Return as many words, in order, as it takes for at most `room` chunks to contain them all."""
    chosen: list[Forms] = []
    expected = float(chunks)
    for word in words:
        if expected <= room:
            break
        chosen.append(word)
        expected *= frequencies[word] / chunks
    return chosen
