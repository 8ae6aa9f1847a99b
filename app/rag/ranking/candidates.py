"""Selection of the chunks to rank: those with a rare term of the query, or with several of the common ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

CANDIDATES = 1_000
"""Number of chunks to rank, about: on all test sets 500 of 10,000 rank as all do."""
MAX_CANDIDATES = 4 * CANDIDATES
"""Related terms have more chunks in common than the estimate, which assumes that they are independent."""


class CandidateTerms(NamedTuple):
    """The terms by which chunks become candidates."""

    clauses: Sequence[Sequence[str]]
    """A chunk that contains all terms of any clause is a candidate."""
    common: Sequence[str] = ()
    """Terms that too many chunks contain, even all together: needed only where the clauses find too few chunks."""


def candidate_terms(frequencies: Mapping[str, float], chunks: int, room: int = CANDIDATES) -> CandidateTerms:
    """Select the terms that find the candidates of a query.

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
            together, expected = conjunction(rarest[place:], frequencies, chunks, left)
            if expected > room:
                return CandidateTerms(clauses, together)
            return CandidateTerms([*clauses, together])
        clauses.append([term])
        left -= frequencies[term]
    return CandidateTerms(clauses)


def conjunction(
    terms: Sequence[str], frequencies: Mapping[str, float], chunks: int, room: float
) -> tuple[list[str], float]:
    """Combine terms, in order, until at most `room` chunks contain them all; return them and that number of chunks.

    The number exceeds `room` if all terms together are not rare enough.
    """
    chosen: list[str] = []
    expected = float(chunks)
    for term in terms:
        if expected <= room:
            break
        chosen.append(term)
        expected *= frequencies[term] / chunks
    return chosen, expected
