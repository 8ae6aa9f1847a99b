"""Lexical ranking by BM25 (Robertson and Zaragoza, 2009), over the term hashes that chunks are stored with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from app.rag.lazy_numpy import numpy
from app.rag.ranking.terms import HASH_LENGTH, Forms

if TYPE_CHECKING:
    from numpy.typing import NDArray

K1 = 1.2
B = 0.75


class Candidate(NamedTuple):
    """A chunk to rank, with the two fields of its `IndexedTerms`."""

    chunk_key: int
    terms: str
    counts: bytes


class Ranked(NamedTuple):
    """A chunk in a ranking."""

    chunk_key: int
    score: float


@dataclass(frozen=True, slots=True)
class TermStatistics:
    """Statistics of all chunks of an owner, estimated from a sample if there are many."""

    chunks: int
    sampled: int
    mean_length: float
    """Words per chunk."""
    sample_counts: Mapping[str, int]
    """By term hash the number of sampled chunks that contain the term."""

    def frequency(self, word: Forms) -> float:
        """Estimate the number of the owner's chunks that contain a word, by the most frequent of its terms."""
        counted = max(self.sample_counts.get(each, 0) for each in word)
        return counted * self.chunks / max(self.sampled, 1)

    @property
    def complete(self) -> bool:
        """True if all chunks were sampled."""
        return self.sampled >= self.chunks


def estimate_statistics(chunks: int, sample: Sequence[Candidate]) -> TermStatistics:
    """Estimate the statistics of `chunks` chunks from a sample of them."""
    counts: Counter[str] = Counter()
    for each in sample:
        counts.update(each.terms.split(" "))
    length = sum(sum(each.counts) for each in sample) / max(len(sample), 1)
    return TermStatistics(chunks, len(sample), length, counts)


def term_weight(frequency: float, chunks: int) -> float:
    """Return the inverse document frequency of a term that `frequency` of the chunks contain; it is always positive."""
    return (
        math.log1p((chunks - frequency + 0.5) / (frequency + 0.5)) if frequency < chunks else math.log1p(0.5 / chunks)
    )


class Postings:
    """An inverted index of candidates in memory: the chunks that contain each term, and how often."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        np = numpy()
        layout: Any = {"names": ["hash"], "formats": ["<u8"], "offsets": [0], "itemsize": HASH_LENGTH + 1}
        hashes = " ".join([*(each.terms for each in candidates), ""]).encode("ascii")
        self._keys = [each.chunk_key for each in candidates]
        self._hashes = np.ascontiguousarray(np.frombuffer(hashes, np.dtype(layout))["hash"])
        self._counts = np.frombuffer(b"".join([each.counts for each in candidates]), np.uint8)
        sizes = np.fromiter((len(each.counts) for each in candidates), np.int64, len(candidates))
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._places: dict[str, NDArray[Any]] = {}
        """By term, its places in the arrays of all candidates."""

    def chunks_with(self, word: Forms) -> int:
        """Return the number of candidates that contain a word."""
        return len(self._occurrences(word)[0])

    def rank(self, weights: Mapping[Forms, float], mean_length: float, limit: int) -> list[Ranked]:
        """Return the best candidates for words with weights, the best first; those without any word are left out."""
        np = numpy()
        lengths = np.add.reduceat(self._counts, self._starts, dtype=np.int64)
        slack = K1 * (1 - B + B * lengths / max(mean_length, 1.0))
        scores = np.zeros(len(self._keys))
        for word, word_weight in weights.items():
            row, count = self._occurrences(word)
            scores[row] += word_weight * count * (K1 + 1) / (count + slack[row])
        order = np.argsort(-scores, kind="stable")[:limit]
        return [Ranked(self._keys[place], float(scores[place])) for place in order if scores[place] > 0]

    def _occurrences(self, word: Forms) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the candidates that contain a word, and the count of that of its terms which is there most often."""
        np = numpy()
        found = [self._occurrences_of(each) for each in word]
        if len(found) == 1:
            return found[0]
        counts = np.zeros(len(self._keys))
        for rows, of_term in found:
            counts[rows] = np.maximum(counts[rows], of_term)
        rows = np.flatnonzero(counts)
        return rows, counts[rows]

    def _occurrences_of(self, term: str) -> tuple[NDArray[Any], NDArray[Any]]:
        places = self._places_of(term)
        return numpy().searchsorted(self._ends, places, side="right"), self._counts[places].astype(float)

    def _places_of(self, term: str) -> NDArray[Any]:
        if (places := self._places.get(term)) is None:
            places = self._places[term] = numpy().flatnonzero(self._hashes == hash_number(term))
        return places


def hash_number(term: str) -> int:
    """Return a term hash as the 64-bit number that its characters are in memory."""
    return int.from_bytes(term.encode("ascii"), "little")


def coverage(terms: str, weights: Mapping[Forms, float]) -> float:
    """Return the share of a query's words, by weight from 0 to 1, that a chunk with these `terms` contains."""
    contained = set(terms.split(" "))
    total = sum(weights.values())
    covered = sum(word_weight for word, word_weight in weights.items() if not contained.isdisjoint(word))
    return covered / total if total else 0.0
