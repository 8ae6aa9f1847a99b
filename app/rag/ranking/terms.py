"""What a text is found by: its words' stems, as marks that tell nothing of the words and belong to one owner.

Both databases index the marks, so that a word means the same on either, an owner's words stand in no other owner's
lists, and nothing that anyone writes can be syntax.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.language import STOP_WORDS
from app.rag.chunking.identifiers import parts_of

MARK_LENGTH = 8
"""Characters of a mark: 40 bits, by which words of one owner do not meet by chance."""
HEADING_WEIGHT = 2
"""How many times a word in the heading counts."""
MAX_COUNT = 255
LETTER_MARKS = "".join(chr(each) for each in range(0x300, 0x1DFF) if unicodedata.category(chr(each)).startswith("M"))
WORD = re.compile(rf"(?:[^\W_]|[{LETTER_MARKS}])+")
ACCENTS = re.compile("[\u0300-\u036f]")
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
"""Scripts that put no spaces between words; their characters are taken in pairs."""


class Indexed(NamedTuple):
    """What stands in a chunk's row to find it by."""

    words: str
    """The marks of its document and its words, each once, with spaces between."""
    counts: bytes
    """How often each of them occurs, at most 255 times; 0 for the document."""


def indexed(owner_id: str, document_id: str, content: str, heading: str = "", names: str = "") -> Indexed:
    """A chunk's marks; some 0.3 ms of CPU."""
    counted = Counter(stems(content))
    counted.update(stems(names))
    for each in stems(heading):
        counted[each] += HEADING_WEIGHT
    hashes = [document_mark(document_id), *(term_hash(owner_id, each) for each in counted)]
    return Indexed(" ".join(hashes), bytes([0, *(min(each, MAX_COUNT) for each in counted.values())]))


def query_stems(query: str) -> list[str]:
    """What is searched for, each once: the words that say something, and the parts of identifiers."""
    words = list(plain_words(query))
    telling = [each for each in words if each not in STOP_WORDS]
    found = map(stem, [*(telling or words), *(each for each in parts_of(query) if each not in STOP_WORDS)])
    return list(dict.fromkeys(found))


def term_hashes(owner_id: str, searched: Iterable[str]) -> list[str]:
    """The marks of an owner's words."""
    return [term_hash(owner_id, each) for each in searched]


@functools.lru_cache(maxsize=2**14)
def term_hash(owner_id: str, word: str) -> str:
    """A word of an owner."""
    return short(hashlib.blake2b(word.encode(), digest_size=5, key=UUID(owner_id).bytes))


def document_mark(document_id: str) -> str:
    """What all chunks of a document have."""
    return short(hashlib.blake2b(UUID(document_id).bytes, digest_size=5, person=b"document"))


def stems(text: str) -> Iterator[str]:
    """The stems of all words, in order."""
    return map(stem, plain_words(text))


@functools.lru_cache(maxsize=2**14)
def stem(word: str) -> str:
    """An English word without its ending (Porter, 1980); short ones, and those with others than a to z, whole."""
    return english().stemWord(word) if len(word) > 2 and word.isascii() and word.isalpha() else word


@functools.cache
def english() -> Any:
    """The stemmer."""
    import snowballstemmer

    return snowballstemmer.stemmer("porter")


def plain_words(text: str) -> Iterator[str]:
    """The words, in lower case and without accents."""
    for word in WORD.findall(folded(text)):
        if word.isascii():
            yield word
        else:
            yield from spaced(word)


def spaced(word: str) -> Iterator[str]:
    """A word that may hold several, since its script puts no spaces between them."""
    end = 0
    for run in UNSPACED.finditer(word):
        if end < run.start():
            yield word[end : run.start()]
        yield from pairs(run.group())
        end = run.end()
    if end < len(word):
        yield word[end:]


def pairs(run: str) -> Iterator[str]:
    """Each two characters that stand together; a lone one as it is."""
    if len(run) == 1:
        yield run
    yield from (run[place : place + 2] for place in range(len(run) - 1))


def folded(text: str) -> str:
    """In lower case, without accents, and with one form for each letter."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", ACCENTS.sub("", unicodedata.normalize("NFKD", text))).casefold()


def short(digest: hashlib.blake2b) -> str:
    """A digest of five bytes in eight letters and digits."""
    return base64.b32encode(digest.digest()).decode().lower()
