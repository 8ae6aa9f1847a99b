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
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeAlias
from uuid import UUID

from app.domain.language import STOP_WORDS, language_of
from app.rag.chunking.identifiers import identifier_parts, joined_identifiers
from app.rag.ranking.stemming import COMPOUNDING, STEMMED_LANGUAGES, folded, parts_of, porter, stems_of

ANALYSIS = 1
"""Version of the analysis, by which ready documents of older releases are analysed again in the background.

It is incremented with each change of the terms of a text; `older_stems` then returns those of all versions before.
"""
HASH_LENGTH = 8
"""Characters of a term hash: 40 bits, enough for the words of one owner not to collide."""
HEADING_WEIGHT = 2
"""Count of a word in the heading, relative to one in the text."""
MAX_COUNT = 255
QUERY_CHARACTERS = 8_000
"""Characters of a query whose words are searched for."""
COMBINING_MARKS = "".join(chr(each) for each in range(0x300, 0x1DFF) if unicodedata.category(chr(each)).startswith("M"))
WORD = re.compile(rf"(?:[^\W_]|[{COMBINING_MARKS}])+")
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
"""Scripts without spaces between words; their terms are pairs of characters."""
IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Characters that are words or roots by themselves: questions and passages often share these alone."""


class IndexedTerms(NamedTuple):
    """A chunk's terms, as they are stored in its row."""

    terms: str
    """The hash of its document, then those of its terms, each once, separated by spaces."""
    counts: bytes
    """A byte for each of them: 0 for the document, else the number of occurrences, `MAX_COUNT` at most."""


Forms: TypeAlias = tuple[str, ...]
"""The terms of one word of a query, of which a chunk has one or several: a stem for each language of the documents."""


def index_chunk(
    owner_id: str, document_id: str, content: str, heading: str = "", names: str = "", language: str | None = None
) -> IndexedTerms:
    """Return the terms of a chunk, in some 0.3 ms.

    Args:
        owner_id: The row of the document's user.
        document_id: The document.
        content: The text of the chunk.
        heading: The headings above it.
        names: Its additional search words.
        language: The document's, whose stemmer is used; None if it is unknown.
    """
    counted = Counter(stems(content, language))
    counted.update(stems(names, language))
    for each in stems(heading, language):
        counted[each] += HEADING_WEIGHT
    hashes = [document_hash(document_id), *(term_hash(owner_id, each) for each in counted)]
    return IndexedTerms(" ".join(hashes), bytes([0, *(min(each, MAX_COUNT) for each in counted.values())]))


def query_forms(query: str, languages: Collection[str | None] = (None,), *, older: bool = False) -> list[Forms]:
    """Return the words to search for, each once, without stop words: also parts of identifiers.

    Stop words are English ones alone: without those of other languages fewer passages are found, and none are better.

    Args:
        query: The question or search words of a user.
        languages: Those of the documents, of which each has the stems of its own.
        older: True if some of the documents have the terms of an older analysis.
    """
    text, among = abridged(query), analysed(languages)

    def forms(word: str) -> Forms:
        stems = [stem for each in among for stem in stems_of(word, each)]
        return tuple(dict.fromkeys([*stems, *(older_stems(word) if older else ())]))

    parts = [each for each in identifier_parts(text) if each not in STOP_WORDS]
    searched = map(forms, [*(significant_words(text) or plain_words(text)), *joined_identifiers(text), *parts])
    return list(dict.fromkeys(each for each in searched if each))


def compound_forms(query: str, languages: Collection[str | None]) -> list[Forms]:
    """Return the parts by which a query's words are found in compounds, each with the stems of its word.

    A chunk with the word itself so has all of its parts, also one in a language without compounds: whether a document
    is stored with parts must not decide how well it matches. For a query in such a language there are none, nor for
    one whose language is not clear if there are documents in such a language.
    """
    known = set(languages) - {None}
    language = language_of(query)
    if not known & COMPOUNDING or (language not in COMPOUNDING if language else known - COMPOUNDING):
        return []
    among = min(each for each in known & COMPOUNDING if each is not None)  # all have the same parts
    found: dict[Forms, None] = {}
    for word in dict.fromkeys(significant_words(abridged(query))):
        if parts := parts_of(word, among):
            stems = [stem for each in analysed(languages) for stem in stems_of(word, each)]
            found.update(dict.fromkeys(tuple(dict.fromkeys([part, *stems])) for part in parts))
    return list(found)


def analysed(languages: Collection[str | None]) -> Collection[str | None]:
    """Return the languages with stemmers of their own, each once, and None for the other ones."""
    return dict.fromkeys(each if each in STEMMED_LANGUAGES else None for each in languages) or (None,)


def abridged(query: str) -> str:
    """Return the beginning and the end of a query that is a pasted document: its words are stemmed in each language."""
    half = QUERY_CHARACTERS // 2
    return query if len(query) <= QUERY_CHARACTERS else f"{query[:half]} {query[-half:]}"


def significant_words(text: str) -> list[str]:
    return [each for each in plain_words(text) if folded(each) not in STOP_WORDS]


def older_stems(word: str) -> Forms:
    """Return the stems of a word in documents with an older analysis: version 0 stemmed English words alone."""
    return (porter(folded(word)),)


def term_hashes(owner_id: str, searched: Iterable[str]) -> Forms:
    return tuple(term_hash(owner_id, each) for each in searched)


@functools.lru_cache(maxsize=2**14)
def term_hash(owner_id: str, stem: str) -> str:
    """Return the hash of a stem, keyed by its owner."""
    return encoded(hashlib.blake2b(stem.encode(), digest_size=5, key=UUID(owner_id).bytes))


def document_hash(document_id: str) -> str:
    """Return the hash that is a term of all chunks of a document."""
    return encoded(hashlib.blake2b(UUID(document_id).bytes, digest_size=5, person=b"document"))


def stems(text: str, language: str | None = None) -> Iterator[str]:
    """Yield the stems of all words, in order, and the parts of compounds; a word with accents may have two stems."""
    for each in plain_words(text):
        yield from stems_of(each, language)
        yield from parts_of(each, language)


def plain_words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, in the normal form NFKC."""
    for word in WORD.findall(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()):
        if word.isascii():
            yield word
        else:
            yield from split_unspaced(word)


def split_unspaced(word: str) -> Iterator[str]:
    """Split off the runs of scripts without spaces, and yield those as pairs of characters and single ideographs."""
    end = 0
    for run in UNSPACED.finditer(word):
        if end < run.start():
            yield word[end : run.start()]
        yield from character_pairs(run.group())
        if len(run.group()) > 1:
            yield from IDEOGRAPH.findall(run.group())
        end = run.end()
    if end < len(word):
        yield word[end:]


def character_pairs(run: str) -> Iterator[str]:
    """Yield each two neighbouring characters; a single one as it is."""
    if len(run) == 1:
        yield run
    yield from (run[place : place + 2] for place in range(len(run) - 1))


def encoded(digest: hashlib.blake2b) -> str:
    """Return a digest of five bytes as eight lower-case letters and digits."""
    return base64.b32encode(digest.digest()).decode().lower()
