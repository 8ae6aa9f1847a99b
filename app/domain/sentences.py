"""Split text into sentences, list items, slide lines and table rows, in any script."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from app.domain.language import language_of, stop_words

CLOSING = "\"'\u2019\u201d\u00bb\u203a)\\]}\uff09\u300d\u300f\u3011\u300b\u3009"
END = re.compile(
    rf"(?P<whole>[\u3002\uff01\uff1f\uff0e\uff61\u061f\u06d4\u0964\u0965]+[{CLOSING}]*)"
    rf"|(?P<spaced>[.!?\u2026\u203c\u2047-\u2049\u0589\u1362\u104b]+[{CLOSING}]*)(?=\s|[\u3040-\u30ff\u3400-\u9fff]|$)"
)
"""Marks at the end of a sentence: of scripts that need no white space behind them, and of the others."""
ITEM = re.compile(
    r"\s*(?:[-*+\u2022\u2023\u25aa\u25cf\u25e6\u2013\u2014]\s|#{1,6}\s|\||\(?(?:[0-9]{1,3}|[a-zA-Z])[.)]\s)"
)
"""The beginning of a list item, a heading or a row of a Markdown table."""
NUMBERED = re.compile(r"\s*[0-9]")
CELLS = re.compile(r"\t|\s\|\s|^\s*\||\|\s*$")
RULE = re.compile(r"[\s|:+=_-]+")
"""The line between the head and the rows of a table, and other lines without any text."""
HEADING = re.compile(r"\s*#{1,6}\s")
GOES_ON = re.compile(r"[,;:\u3001\uff0c\u060c-]\s*$")
ENDED = re.compile(rf"[.!?\u2026\u3002\uff01\uff1f\u061f\u06d4\u0964][{CLOSING}]*\s*$")
SHORT_UNCASED = 24
"""Characters of a line without capitals and end mark, such as one of a Chinese slide; a longer one is wrapped text."""

TITLED = "mr mrs ms dr prof rev hon st gen col capt lt sgt gov sen rep hr fr frl mme mlle m sr sra srta dra dhr"
TITLES = frozenset(TITLED.split())
ABBREVIATED = (
    # English
    "sr jr inc ltd co corp llc bros est fig figs eq eqs sec ch chap vol vols nos para pp p ed eds al etc vs v cf ca "
    "approx appt dept div avg jan feb mar apr jun jul aug sept sep oct nov dec tue tues wed thu thur thurs fri e.g i.e "
    "a.m p.m u.s u.k u.s.a u.n ph.d m.d d.c tel ext ave blvd rd mt ft lbs oz hrs incl excl temp "
    # German
    "nr bzw usw usf evtl ggf inkl exkl zzgl abs abb bd hrsg str mio mrd tsd geb gest gem std okt dez bspw vgl sog allg "
    "z.b d.h u.a z.t i.d.r dipl ing mär mrz "
    # French, Spanish, Portuguese, Italian
    "av bd env janv févr avr juil déc éd p.ex sres ud uds núm pág págs aprox ej p.ej avda ee uu ee.uu ene abr ago dic "
    "pç sig sigg dott avv pag pagg ecc gen mag giu lug ott set "
    # Dutch, Scandinavian, Polish
    "bijv d.w.z m.b.t mevr mw blz enz bl.a t.ex dvs osv f.eks kr np itd itp ul "
    # Russian, Ukrainian
    "т.е т.д т.п т.к и.о г гг вв руб коп тыс млн млрд ул пр кв стр рис табл см др проф акад им обл тел чел"
)
ABBREVIATIONS = TITLES | frozenset(ABBREVIATED.split())
BEFORE_NUMBERS = frozenset(
    {"no", "art", "max", "min", "sat", "sun", "mon", "tab", "kap", "cap", "chap", "item", "hs", "n"}
)
"""Words that are abbreviations before a number only."""
WORD_BEFORE = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+){0,5}$")
NEXT_WORD = re.compile(r"\s*[\"'\u201c\u201e\u00ab(\u00bf\u00a1]*([^\W_]+)")
ORDINAL = re.compile(r"(?:^|[^.\s]\s|[(\u2013-])[0-9]{1,2}$")
MONTHS = re.compile(r"(?:jan|feb|mär|mar|apr|mai|maj|jun|jul|aug|sep|okt|oct|nov|dez|dec|des)[^\W\d_]*$", re.IGNORECASE)
ORDINAL_LANGUAGES = frozenset({"de", "da", "no", "fi", "cs", "sk", "hu", "pl", "hr", "sl", "tr"})
"""Languages that write an ordinal number with a full stop."""
STARTING_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "ru")


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, stripped; a list item, a slide line or a table row is one, or several."""
    for paragraph in re.split(r"\n\s*\n", text):
        for unit in units(paragraph.splitlines()):
            for sentence in [unit] if CELLS.search(unit) else sentences_of(unit):
                if (stripped := sentence.strip()) and not RULE.fullmatch(stripped):
                    yield stripped


def units(lines: Sequence[str]) -> Iterator[str]:
    """Join the lines of a paragraph that are wrapped text, and yield them and the others."""
    is_wrapped = any(line.lstrip()[:1].islower() for line in lines[1:])
    unit: list[str] = []
    for line in lines:
        if unit and begins_unit(unit[-1], line, is_wrapped=is_wrapped):
            yield "\n".join(unit)
            unit = []
        unit.append(line)
    yield "\n".join(unit)


def begins_unit(before: str, line: str, *, is_wrapped: bool) -> bool:
    """Return whether a line begins another sentence than the line before it, whatever that one ends with."""
    if ITEM.match(line) or NUMBERED.match(line) or CELLS.search(line) or CELLS.search(before) or HEADING.match(before):
        return True
    if is_wrapped or GOES_ON.search(before) or ENDED.search(before):
        return False
    first = line.lstrip()[:1]
    return first.isupper() or (first.isalpha() and not first.islower() and len(before.strip()) <= SHORT_UNCASED)


def sentences_of(unit: str) -> Iterator[str]:
    """Yield the sentences of running text."""
    begin = 0
    for mark in END.finditer(unit):
        if is_end(unit, mark):
            yield unit[begin : mark.end()]
            begin = mark.end()
    yield unit[begin:]


def is_end(unit: str, mark: re.Match[str]) -> bool:
    """Return whether a mark ends its sentence; a full stop also stands behind abbreviations and ordinal numbers."""
    following = unit[mark.end() : mark.end() + 1]
    if mark["whole"]:
        is_quoted = mark.group()[-1] in "\u300d\u300f\uff09"
        is_between_digits = mark.group() == "\uff0e" and unit[mark.start() - 1 : mark.start()].isdecimal()
        return not (is_quoted and "\u3041" <= following <= "\u3096") and not (
            is_between_digits and following.isdecimal()
        )
    found = NEXT_WORD.match(unit, mark.end())
    following_word = found[1] if found else ""
    if mark.group()[0] == "\u2026" or mark.group().startswith(".."):
        return not following_word[:1].islower()
    if mark.group()[0] != "." or not following_word:
        return True
    return not following_word[0].islower() and not is_abbreviated(unit, mark.start(), following_word)


def is_abbreviated(unit: str, end: int, following: str) -> bool:
    """Return whether the word before a full stop at `end` is an abbreviation, an initial or an ordinal number."""
    before = unit[max(end - 40, 0) : end]
    if ORDINAL.search(before):
        return before.strip(" \t\n(").isdecimal() or is_ordinal(unit, following)
    found = WORD_BEFORE.search(before)
    if found is None:
        return False
    word = found.group().casefold()
    if word in BEFORE_NUMBERS:
        return following[0].isdecimal()
    if word in TITLES:
        return True
    if word not in ABBREVIATIONS and len(word.rpartition(".")[2]) > 1:
        return False
    return not begins_sentence(following)


def is_ordinal(unit: str, following: str) -> bool:
    """Return whether a number with a full stop is an ordinal, by the word that follows it and the language."""
    if MONTHS.match(following):
        return True
    return not begins_sentence(following) and has_ordinals(unit)


@functools.lru_cache(maxsize=8)
def has_ordinals(unit: str) -> bool:
    """Return whether the language of a text writes an ordinal number with a full stop."""
    return language_of(unit) in ORDINAL_LANGUAGES


def begins_sentence(word: str) -> bool:
    """Return whether a word with a capital is one that has none inside of a sentence."""
    folded = word.casefold()
    return len(word) > 1 and any(
        folded in stop_words(each) for each in ("en", "de", "fr", "es", "it", "pt", "nl", "ru")
    )
