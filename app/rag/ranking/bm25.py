"""How well chunks answer to words: BM25 (Robertson and Zaragoza, 2009), over the marks in their rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from app.rag.lazy_numpy import numpy
from app.rag.ranking.terms import MARK_LENGTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

K1 = 1.2
B = 0.75


class Candidate(NamedTuple):
    """A chunk as it is ranked, see `app.rag.ranking.terms.Indexed`."""

    chunk_key: int
    words: str
    counts: bytes


class Ranked(NamedTuple):
    """A chunk in a ranking."""

    chunk_key: int
    score: float


@dataclass(frozen=True, slots=True)
class Collected:
    """What is known of all chunks of an owner, from some of them where they are many."""

    chunks: int
    sampled: int
    mean_length: float
    """Words of a chunk."""
    holding: Mapping[str, int]
    """How many of the sampled chunks have a mark."""

    def frequency(self, mark: str) -> float:
        """How many of the owner's chunks have it, about."""
        return self.holding.get(mark, 0) * self.chunks / max(self.sampled, 1)

    @property
    def complete(self) -> bool:
        """Whether all chunks were looked at."""
        return self.sampled >= self.chunks


def collected(chunks: int, sample: Sequence[Candidate]) -> Collected:
    """What a sample tells of all chunks."""
    holding: Counter[str] = Counter()
    for each in sample:
        holding.update(each.words.split(" "))
    length = sum(sum(each.counts) for each in sample) / max(len(sample), 1)
    return Collected(chunks, len(sample), length, holding)


def weight(frequency: float, chunks: int) -> float:
    """What a word that so many chunks have tells: never nothing."""
    return (
        math.log1p((chunks - frequency + 0.5) / (frequency + 0.5)) if frequency < chunks else math.log1p(0.5 / chunks)
    )


class Postings:
    """Which of some candidates have which marks, and how often."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        np = numpy()
        layout: Any = {"names": ["mark"], "formats": ["<u8"], "offsets": [0], "itemsize": MARK_LENGTH + 1}
        marks = "".join(f"{each.words} " for each in candidates).encode("ascii")
        self._keys = [each.chunk_key for each in candidates]
        self._marks = np.ascontiguousarray(np.frombuffer(marks, np.dtype(layout))["mark"])
        self._counts = np.frombuffer(b"".join(each.counts for each in candidates), np.uint8)
        self._rows = np.repeat(np.arange(len(candidates)), [len(each.counts) for each in candidates])

    def holding(self, mark: str) -> int:
        """How many candidates have it."""
        return len(self._places(mark))

    def ranked(self, weights: Mapping[str, float], mean_length: float, limit: int) -> list[Ranked]:
        """The best candidates by the weights of the marks that are searched for, the best first."""
        np = numpy()
        lengths = np.bincount(self._rows, self._counts, len(self._keys))
        slack = K1 * (1 - B + B * lengths / max(mean_length, 1.0))
        scores = np.zeros(len(self._keys))
        for mark, mark_weight in weights.items():
            places = self._places(mark)
            count, row = self._counts[places].astype(float), self._rows[places]
            scores[row] += mark_weight * count * (K1 + 1) / (count + slack[row])
        order = np.argsort(-scores, kind="stable")[:limit]
        return [Ranked(self._keys[place], float(scores[place])) for place in order if scores[place] > 0]

    def _places(self, mark: str) -> NDArray[Any]:
        np = numpy()
        places: NDArray[Any] = np.flatnonzero(self._marks == as_number(mark))
        return places


def as_number(mark: str) -> int:
    """A mark as `Postings` has it."""
    return int.from_bytes(mark.encode("ascii"), "little")


def coverage(words: str, weights: Mapping[str, float]) -> float:
    """How much of what is searched for a chunk with these marks has, by weight, from 0 to 1."""
    there: Collection[str] = set(words.split(" "))
    total = sum(weights.values())
    return sum(each for mark, each in weights.items() if mark in there) / total if total else 0.0
