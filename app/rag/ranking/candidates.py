"""Selection of the chunks to rank: those with a rare term of the query, or with several of the common ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CANDIDATES = 1_000
"""Number of chunks to rank, about: on all test sets 500 of 10,000 rank as all do."""
MAX_CANDIDATES = 4 * CANDIDATES
"""Related terms have more chunks in common than the estimate, which assumes that they are independent."""


def rare_term_clauses(frequencies: Mapping[str, float], chunks: int, room: int = CANDIDATES) -> Sequence[Sequence[str]]:
    """Return clauses of terms; a chunk that contains all terms of any clause is a candidate.

    The rarest terms are clauses of their own, until some `room` chunks contain them; the remaining ones are combined.

    Args:
        frequencies: By term, the number of chunks that contain it.
        chunks: Number of all chunks.
        room: Number of candidates wanted.
    """
    rarest = sorted(frequencies, key=lambda each: frequencies[each])
    clauses: list[list[str]] = []
    left = float(room)
    for place, term in enumerate(rarest):
        if frequencies[term] > left:
            return [*clauses, conjunction(rarest[place:], frequencies, chunks, left)]
        clauses.append([term])
        left -= frequencies[term]
    return clauses


def conjunction(terms: Sequence[str], frequencies: Mapping[str, float], chunks: int, room: float) -> list[str]:
    """Return as many terms, in order, as it takes for at most `room` chunks to contain them all."""
    chosen: list[str] = []
    expected = float(chunks)
    for term in terms:
        if expected <= room:
            break
        chosen.append(term)
        expected *= frequencies[term] / chunks
    return chosen
