"""Which chunks are worth ranking by words: those that have the rare ones, or several of the common ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CANDIDATES = 1_000
"""Chunks to rank, about: on all sets tried 500 of 10,000 rank as all do."""
AT_MOST = 4 * CANDIDATES
"""Since words that go together have more chunks in common than chance would give them."""


def rare_term_clauses(frequencies: Mapping[str, float], chunks: int, room: int = CANDIDATES) -> Sequence[Sequence[str]]:
    """Marks of which a candidate has all of one clause, for marks that so many of an owner's chunks have.

    The rarest alone, while about `room` chunks have them; of those that are left as many together as it takes.
    """
    rarest = sorted(frequencies, key=lambda each: frequencies[each])
    chosen: list[list[str]] = []
    left = float(room)
    for place, mark in enumerate(rarest):
        if frequencies[mark] > left:
            return [*chosen, conjunction(rarest[place:], frequencies, chunks, left)]
        chosen.append([mark])
        left -= frequencies[mark]
    return chosen


def conjunction(marks: Sequence[str], frequencies: Mapping[str, float], chunks: int, room: float) -> list[str]:
    """As many of the marks, the rarest first, as it takes for few enough chunks to have them all."""
    chosen: list[str] = []
    expected = float(chunks)
    for mark in marks:
        if expected <= room:
            break
        chosen.append(mark)
        expected *= frequencies[mark] / chunks
    return chosen
