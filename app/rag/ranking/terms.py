"""Index terms: stems of a text's words, as hashes that are keyed by owner.

Both databases index the hashes, so that a word is the same term in either, owners share no posting lists, and nothing
in a user's text is query syntax.
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
from app.rag.chunking.identifiers import identifier_parts, joined_identifiers

HASH_LENGTH = 8
"""Characters of a term hash: 40 bits, enough for the words of one owner not to collide."""
HEADING_WEIGHT = 2
"""Count of a word in the heading, relative to one in the text."""
MAX_COUNT = 255
COMBINING_MARKS = "".join(chr(each) for each in range(0x300, 0x1DFF) if unicodedata.category(chr(each)).startswith("M"))
WORD = re.compile(rf"(?:[^\W_]|[{COMBINING_MARKS}])+")
ACCENTS = re.compile("[\u0300-\u036f]")
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
"""Scripts without spaces between words; their terms are pairs of characters."""


class IndexedTerms(NamedTuple):
    """A chunk's terms, as they are stored in its row."""

    terms: str
    """The hash of its document, then those of its terms, each once, separated by spaces."""
    counts: bytes
    """A byte for each of them: 0 for the document, else the number of occurrences, `MAX_COUNT` at most."""


def index_chunk(owner_id: str, document_id: str, content: str, heading: str = "", names: str = "") -> IndexedTerms:
    """Return the terms of a chunk, in some 0.3 ms; `names` are its additional search words."""
    counted = Counter(stems(content))
    counted.update(stems(names))
    for each in stems(heading):
        counted[each] += HEADING_WEIGHT
    hashes = [document_hash(document_id), *(term_hash(owner_id, each) for each in counted)]
    return IndexedTerms(" ".join(hashes), bytes([0, *(min(each, MAX_COUNT) for each in counted.values())]))


def query_stems(query: str) -> list[str]:
    """Return the stems to search for, each once: words that are no stop words, and identifiers joined and in parts."""
    words = list(plain_words(query))
    significant = [each for each in words if each not in STOP_WORDS]
    parts = [each for each in identifier_parts(query) if each not in STOP_WORDS]
    return list(dict.fromkeys(map(stem, [*(significant or words), *joined_identifiers(query), *parts])))


def term_hashes(owner_id: str, searched: Iterable[str]) -> list[str]:
    return [term_hash(owner_id, each) for each in searched]


@functools.lru_cache(maxsize=2**14)
def term_hash(owner_id: str, stem: str) -> str:
    """Return the hash of a stem, keyed by its owner."""
    return encoded(hashlib.blake2b(stem.encode(), digest_size=5, key=UUID(owner_id).bytes))


def document_hash(document_id: str) -> str:
    """Return the hash that is a term of all chunks of a document."""
    return encoded(hashlib.blake2b(UUID(document_id).bytes, digest_size=5, person=b"document"))


def stems(text: str) -> Iterator[str]:
    """Return the stems of all words, in order."""
    return map(stem, plain_words(text))


@functools.lru_cache(maxsize=2**14)
def stem(word: str) -> str:
    """Return an English word without its ending (Porter, 1980); short words and those not of a to z are unchanged."""
    return english_stemmer().stemWord(word) if len(word) > 2 and word.isascii() and word.isalpha() else word


@functools.cache
def english_stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("porter")


def plain_words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, without accents."""
    for word in WORD.findall(folded(text)):
        if word.isascii():
            yield word
        else:
            yield from split_unspaced(word)


def split_unspaced(word: str) -> Iterator[str]:
    """Split off the runs of scripts without spaces, and yield those as pairs of characters."""
    end = 0
    for run in UNSPACED.finditer(word):
        if end < run.start():
            yield word[end : run.start()]
        yield from character_pairs(run.group())
        end = run.end()
    if end < len(word):
        yield word[end:]


def character_pairs(run: str) -> Iterator[str]:
    """Yield each two neighbouring characters; a single one as it is."""
    if len(run) == 1:
        yield run
    yield from (run[place : place + 2] for place in range(len(run) - 1))


def folded(text: str) -> str:
    """Return the text in lower case, without accents, in the normal form NFKC."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", ACCENTS.sub("", unicodedata.normalize("NFKD", text))).casefold()


def encoded(digest: hashlib.blake2b) -> str:
    """Return a digest of five bytes as eight lower-case letters and digits."""
    return base64.b32encode(digest.digest()).decode().lower()
