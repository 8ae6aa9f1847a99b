"""Texts without meaning but with natural statistics: the word frequencies of Zipf (1935)."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from app.rag.tokenizer import VOCABULARY

LETTERS = 3
"""Shorter entries of the vocabulary are parts of words."""
OFFSET = 2.7
"""Mandelbrot's correction: the first ranks are less frequent than by the law."""
SENTENCE = 12


@functools.cache
def words() -> Sequence[str]:
    """Return some 20,000 English words, each one token of the embedded embedding model."""
    entries = VOCABULARY.read_text("utf-8").split("\n")
    return [each for each in entries if each.isascii() and each.isalpha() and len(each) >= LETTERS]


@functools.cache
def weights() -> Sequence[float]:
    """Return the cumulative frequencies of the words."""
    return list(accumulate(1 / (rank + OFFSET) for rank in range(1, len(words()) + 1)))


def drawn(chance: random.Random, count: int) -> list[str]:
    """Draw words by their frequencies."""
    return chance.choices(words(), cum_weights=weights(), k=count)


def sentences(chance: random.Random, count: int) -> Iterator[str]:
    """Yield sentences with `count` words in total."""
    text = drawn(chance, count)
    for start in range(0, count, SENTENCE):
        yield " ".join(text[start : start + SENTENCE]).capitalize() + "."


def passage(chance: random.Random, tokens: int) -> str:
    """Return a paragraph of about `tokens` tokens."""
    return " ".join(sentences(chance, tokens * SENTENCE // (SENTENCE + 1)))


def document(chance: random.Random, passages: int, tokens: int) -> str:
    """Return a text of paragraphs in sections of ten."""
    parts = []
    for number in range(passages):
        if number % 10 == 0:
            parts.append(f"# {' '.join(drawn(chance, 4)).capitalize()}")
        parts.append(passage(chance, tokens))
    return "\n\n".join(parts)


def question(chance: random.Random) -> str:
    """Return a question of a few words, of which some are rare."""
    return f"What is {' '.join(drawn(chance, 4))} {' '.join(chance.choices(words(), k=2))}?"
