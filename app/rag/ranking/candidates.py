"""Selection of the chunks to rank: those with a rare term of the query, or with several of the common ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.rag.ranking.terms import Forms

CANDIDATES = 1_000
"""Number of chunks to rank, about: on all test sets 500 of 10,000 rank as all do."""
MAX_CANDIDATES = 4 * CANDIDATES
"""Related terms have more chunks in common than the estimate, which assumes that they are independent."""


class CandidateTerms(NamedTuple):
    """The words by which chunks become candidates."""

    clauses: Sequence[Sequence[Forms]]
    """A chunk that contains all words of any clause is a candidate."""
    common: Sequence[Forms] = ()
    """Words that too many chunks contain, even all together: needed only where the clauses find too few chunks."""


def rarest_words(frequencies: Mapping[Forms, float], limit: int) -> dict[Forms, float]:
    """Return so many of the words with the fewest chunks, the rarest first."""
    return dict(sorted(frequencies.items(), key=lambda each: each[1])[:limit])


def candidate_terms(frequencies: Mapping[Forms, float], chunks: int, room: int = CANDIDATES) -> CandidateTerms:
    """Select the words that find the candidates of a query.

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
            together, expected = conjunction(rarest[place:], frequencies, chunks, left)
            if expected > room:
                return CandidateTerms(clauses, together)
            return CandidateTerms([*clauses, together])
        clauses.append([word])
        left -= frequencies[word]
    return CandidateTerms(clauses)


def conjunction(
    words: Sequence[Forms], frequencies: Mapping[Forms, float], chunks: int, room: float
) -> tuple[list[Forms], float]:
    """Combine words, in order, until at most `room` chunks contain them all; return them and that number of chunks.

    The number exceeds `room` if all words together are not rare enough.
    """
    chosen: list[Forms] = []
    expected = float(chunks)
    for word in words:
        if expected <= room:
            break
        chosen.append(word)
        expected *= frequencies[word] / chunks
    return chosen, expected
