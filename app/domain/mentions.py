"""Names and numbers of a question, and whether evidence mentions them.

A question about the X200 is not answered by a sentence about the X100, however near the two are by meaning. What is no
name for sure is not required: the rules prefer a needless quote to a needless refusal.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.domain.language import language_of, stop_words
from app.domain.number_words import HAN_DIGITS, HAN_UNITS, ORDINALS, VALUES, WORDS, han_value

MARKS = re.compile("[\u0300-\u036f\u064b-\u065f\u0670\u093c]")
WORD = re.compile(r"[^\W\d_]+")
IDENTIFIER = re.compile(
    r"(?<![a-z0-9])(?=[a-z0-9./-]{0,60}[0-9])(?=[a-z0-9./-]{0,60}[a-z])[a-z0-9]{1,40}(?:[./-][a-z0-9]{1,20}){0,6}"
)
NUMBER = re.compile(
    r"(?<![\w.,])(?:[0-9]{1,3}(?:[., \u00a0\u202f'\u2019][0-9]{3})+|[0-9]+)(?:[.,][0-9]{1,2})?(?![0-9a-z])"
)
DECIMALS = re.compile(r"[.,]([0-9]{1,2})$")
DATE = re.compile(r"(?<![0-9])[0-9]{1,4}([./-])[0-9]{1,2}\1[0-9]{1,4}(?![0-9])")
TIME = re.compile(
    r"(?<![0-9])(?:[0-9]{1,2}:[0-9]{2}|24/7)(?![0-9])|(?<![0-9.,])[0-9]{1,2}(?= ?(?:am|pm|a\.m|p\.m|uhr|o'clock)\b)"
)
YEAR_DIGITS = 4
WITH_UNIT = re.compile(r"([0-9]+(?:[.,][0-9]+)?)([a-z]{1,3})")
"""A number with a unit or an ordinal's ending, such as `5kg` or `21st`."""
HOURS = frozenset({"am", "pm", "h"})
HAN_NUMERAL = re.compile(f"[{''.join([*HAN_DIGITS, *HAN_UNITS])}]{{2,8}}|[二三四五六七八九](?=[号號番階层楼室级級])")
"""A single character without one that counts after it is part of many words."""
QUOTED = re.compile(r"[\"\u201c\u201e\u201d\u00ab\u300c\u300e\u300a](.{2,60}?)[\"\u201c\u201d\u00bb\u300d\u300f\u300b]")
TOKEN = re.compile(r"[^\W_]+(?:[\u2019'][^\W_]+)*")
SENTENCE_START = re.compile(r"(?:^|[.?!:;\u00bf\u00a1\u2026\n])[\s\"'\u201c\u201e\u00ab(]*$")
LATIN = re.compile(r"(?<![^\W\d_])[A-Za-z]{3,}(?![A-Za-z])")
MIN_STEM = 4
MAX_ACRONYM = 5
FEW_WORDS = 5
NOUN_CAPITALS = frozenset({"de"})
"""Languages that write all nouns with a capital."""
ROMAN_NUMERALS = "ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx xxi"
ROMAN = dict(enumerate(ROMAN_NUMERALS.split(), 2))
UNCASED = frozenset({"ar", "fa", "ur", "he", "hi", "mr", "ne", "ja", "zh", "ko", "th"})
GENERIC_WORDS = (
    "i mr mrs ms dr prof sir madam inc ltd llc corp corporation company co gmbh ag plc group department team office "
    "manager director officer chief head agreement contract plan program programme policy guide manual handbook "
    "section chapter article table figure version part page annex appendix paragraph step level internet "
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays "
    "saturdays sundays january february march april may june july august september october november december "
    "english german french spanish europe european ok usd eur gbp chf vat ceo cfo cto hr faq pdf "
    "url wifi tv pc eta asap"
)
GENERIC = frozenset(GENERIC_WORDS.split())
"""Words with a capital that are no names, or that documents express in other ways."""
CONTRACTED = frozenset({"what", "who", "where", "when", "how", "that", "there", "it", "he", "she", "here", "let"})


class Mentions(NamedTuple):
    """Names and numbers of a question."""

    identifiers: frozenset[str] = frozenset()
    """Words of letters and digits, folded, without the characters between them."""
    numbers: frozenset[str] = frozenset()
    """Digits alone, without separators."""
    names: frozenset[str] = frozenset()
    """Folded words."""
    pairs: frozenset[tuple[str, str]] = frozenset()
    """Two words, of which one has to be mentioned."""

    def __bool__(self) -> bool:
        return any(self)


def mentions_of(question: str) -> Mentions:
    """Return the names and numbers that evidence for an answer has to mention."""
    language = language_of(question)
    folded = fold(question)
    identifiers, numbers = set(), set()
    for found in IDENTIFIER.finditer(folded):
        if unit := WITH_UNIT.fullmatch(found.group()):
            numbers |= set() if unit[2] in HOURS else {digits_of(unit[1])}
        else:
            identifiers.add(re.sub(r"[./-]", "", found.group()))
    numbers |= set(required_numbers(folded)) | spelled_numbers(folded, language)
    numbers.discard("1")  # "1 year" is "a year"
    names: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    if language in UNCASED:
        names |= {fold(each) for each in LATIN.findall(question)}
    elif not question.isupper():
        capitalised = list(capitalised_words(question, language))
        if language in NOUN_CAPITALS:
            pairs |= neighbours(question, capitalised)
        elif not is_title_case(question):
            names |= {fold(each.group()) for each in capitalised}
    for phrase in QUOTED.findall(question):
        names |= {each for each in WORD.findall(fold(phrase)) if len(each) >= MIN_STEM}
    return Mentions(frozenset(identifiers), frozenset(numbers), frozenset(names - GENERIC), frozenset(pairs))


def without_names(text: str, mentions: Mentions) -> str:
    """Return a text on one line without the words that begin with a name or identifier, or the text if none does."""
    names = (*mentions.names, *mentions.identifiers)
    words = text.split()
    kept = [each for each in words if not re.sub(r"[\W_]", "", fold(each)).startswith(names)] if names else words
    return text if len(kept) == len(words) else " ".join(kept)


def is_title_case(question: str) -> bool:
    """Return whether most words have a capital, which then says nothing about names."""
    words = TOKEN.findall(question)
    return len(words) >= FEW_WORDS and sum(each[0].isupper() for each in words) > len(words) * 0.7


def capitalised_words(question: str, language: str | None) -> Iterator[re.Match[str]]:
    """Yield the words with a capital inside of sentences, and acronyms anywhere, without possessive endings."""
    ignored = stop_words(language) | stop_words("en")
    for token in TOKEN.finditer(question):
        part = re.compile(r"[^\W\d_]{2,}").search(question, token.start(), end_of_name(token))
        if part is None or fold(part.group()) in ignored or any(map(str.isdecimal, token.group())):
            continue
        word = part.group()
        is_acronym = len(word) > 1 and word.isupper()
        inside = word[0].isupper() and not SENTENCE_START.search(question, 0, token.start())
        if is_acronym or inside or any(map(str.isupper, word[1:])) or is_possessive(token):
            yield part


def end_of_name(token: re.Match[str]) -> int:
    """Return the end of a token without `'s`."""
    return token.end() - 2 if is_possessive(token) else token.end()


def is_possessive(token: re.Match[str]) -> bool:
    text = token.group()
    return text[0].isupper() and text.endswith(("'s", "\u2019s")) and text[:-2].lower() not in CONTRACTED


def neighbours(question: str, words: Sequence[re.Match[str]]) -> set[tuple[str, str]]:
    """Return the folded words that stand next to each other, as two names do where all nouns have capitals."""
    return {
        (fold(one.group()), fold(other.group()))
        for one, other in itertools.pairwise(words)
        if question[one.end() : other.start()] == " "
    }


def required_numbers(folded: str) -> Iterator[str]:
    """Yield the numbers of a folded question as digits; of a date only its year, and of a time nothing."""
    for date in map(re.Match.group, DATE.finditer(folded)):
        yield from (each for each in re.split(r"\D", date) if len(each) == YEAR_DIGITS)
    yield from (digits_of(each) for each in NUMBER.findall(TIME.sub(" ", DATE.sub(" ", folded))))
    yield from han_numbers(folded)


def digits_of(number: str) -> str:
    """Return the digits of a number: 1,000, 1.000 and 1 000 are 1000, and 6.50 is 65, as 6.5 is."""
    decimals = DECIMALS.search(number)
    whole, fraction = (number[: decimals.start()], decimals[1].rstrip("0")) if decimals else (number, "")
    return (re.sub(r"\D", "", whole).lstrip("0") or "0") + fraction


def han_numbers(folded: str) -> Iterator[str]:
    for found in HAN_NUMERAL.findall(folded):
        yield str(han_value(found))


def spelled_numbers(folded: str, language: str | None) -> set[str]:
    """Return the numbers above one that are words of a text."""
    values = number_words().get(language or "", {})
    found = (values.get(each) for each in TOKEN.findall(folded))
    return {str(each) for each in found if each is not None and each > 1}


@functools.cache
def number_words() -> dict[str, dict[str, int]]:
    """Return the value of each folded number word, by language."""
    return {
        language: {
            fold(form): value
            for value, forms in zip(VALUES, words.split(), strict=True)
            for form in forms.split("/")
            if form != "-"
        }
        for language, words in WORDS.items()
    }


class EvidenceText:
    """The text of a document's passages, to find names and numbers in."""

    def __init__(self, *texts: str) -> None:
        self._folded = fold("\n".join(texts))
        self._words = set(WORD.findall(self._folded))
        self._numbers = {*map(digits_of, NUMBER.findall(self._folded)), *han_numbers(self._folded)}
        self._numbers |= {each.lstrip("0") or "0" for each in re.findall("[0-9]+", self._folded)}
        self._numbers |= {str(HAN_DIGITS[each]) for each in self._folded if each in HAN_DIGITS}

    def mentions_all(self, mentions: Mentions) -> bool:
        """Return whether each name and number is in the text, whatever its ending and spelling."""
        return (
            all(map(self._has_identifier, mentions.identifiers))
            and all(map(self._has_number, mentions.numbers))
            and all(map(self._has_name, mentions.names))
            and all(any(map(self._has_name, pair)) for pair in mentions.pairs)
        )

    def _has_identifier(self, identifier: str) -> bool:
        parts = re.findall("[a-z]+|[0-9]+", identifier)
        return re.search(rf"(?<![a-z0-9]){r'[^a-z0-9]{0,2}'.join(parts)}(?![0-9])", self._folded) is not None

    def _has_number(self, digits: str) -> bool:
        if digits in self._numbers:
            return True
        value = int(digits)
        parts = {value} if value in VALUES else {value - value % 10} if value < 100 else {100, 1000}
        if ROMAN.get(value) in self._words or any(each.startswith(ORDINALS.get(value, ())) for each in self._words):
            return True
        if value >= 100 and value % 100:
            return False
        return any(
            self._spells(word) for words in number_words().values() for word, each in words.items() if each in parts
        )

    def _spells(self, word: str) -> bool:
        return word in self._words or (len(word) >= MIN_STEM and word in self._folded)

    def _has_name(self, name: str) -> bool:
        stem = name[:-2] if len(name) > MIN_STEM + 1 else name
        if any(each.startswith(stem) for each in self._words) or (len(stem) >= MIN_STEM and stem in self._folded):
            return True
        return len(name) <= MAX_ACRONYM and name in self._initials

    @functools.cached_property
    def _initials(self) -> str:
        return "".join(each[0] for each in WORD.findall(self._folded) if each not in stop_words("en"))


@functools.lru_cache(maxsize=256)
def fold(text: str) -> str:
    """Return a text in lower case, without accents and vowel signs, with European digits."""
    decomposed = MARKS.sub("", unicodedata.normalize("NFKD", text))
    folded = unicodedata.normalize("NFKC", decomposed).casefold()
    return folded if folded.isascii() else "".join(map(european_digit, folded))


def european_digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)
