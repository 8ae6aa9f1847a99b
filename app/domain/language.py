"""The language of a text and its stop words, for search terms, quotes and refusals."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from app.domain.stop_words import SPACED, UNSPACED

ENGLISH = (
    "a about after all also am an and any are as at be because been before being between both but by can could did do "
    "doing during each for from further had has have having he her here hers him his how i if in into is it its "
    "itself just me more most my no nor not of off on once only or other our out over own please s same she should so "
    "some such t tell than that the their them then there these they this those through to too under until up very was "
    "we were what when where which while who whom why will with would you your"
)
STOP_WORDS = frozenset(ENGLISH.split())
"""English words without content of their own, lower-case; `s` and `t` are left of contractions.

Retrieval is measured with this list (docs/retrieval.md): a word more or less changes rankings.
"""
READ_CHARACTERS = 20_000
"""Characters from the beginning of a text that decide about its language."""
MIN_SCORE = 60
"""Minimum score per word of a text of `MANY_WORDS` or more: tables of names and code have no language."""
MANY_WORDS = 12
HINT_SCORE = 400
"""Score of a word for one of `LETTERS` or `ENDINGS`, shared by the languages that have it; a stop word scores 1,000."""
LEAD = 1.1
"""Minimum ratio of the best language's score to the next one's."""
SENTENCE_SCORE = 450
"""Minimum score per word, above `HINT_SCORE`, of a Latin sentence in which words of another script are quoted."""
CJK_WEIGHT = 3
"""Letters of an alphabet that say about as much as one Chinese, Japanese or Korean character."""

SCRIPTS: dict[str, str] = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "cyrillic": "\u0400-\u052f",
    "arabic": "\u0620-\u06d3\u0750-\u077f",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "hebrew": "\u05d0-\u05ea",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "th": "\u0e01-\u0e4e",
    "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "kana": "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\uff66-\uff9d",
    "han": "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "hy": "\u0531-\u0587",
    "ka": "\u10a0-\u10ff",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "si": "\u0d80-\u0dff",
    "lo": "\u0e81-\u0eff",
    "my": "\u1000-\u109f",
    "km": "\u1780-\u17ff",
}
"""Letters of each script, as ranges of a character class; a script of one language is named by that language."""
WORDS = re.compile(rf"[{''.join(SCRIPTS.values())}]+")
RUNS = {script: re.compile(f"[{letters}]+") for script, letters in SCRIPTS.items()}
INITIALS = re.compile(r"\b[A-Z]\.")
"""Letters of names, which are words of some languages: `L.` is no French article."""
LANGUAGES_OF = {
    "latin": "ca cs da de en es fi fr hr hu id it lt nl no pl pt ro sk sl sv tr vi",
    "cyrillic": "be bg ru sr uk",
    "arabic": "ar fa ur",
    "devanagari": "hi mr ne",
    "greek": "el",
    "hebrew": "he",
}
LETTERS: dict[str, str] = {
    "ar": "ةىأإؤيك",
    "be": "ўі",
    "bg": "ъ",
    "cs": "ěůřž",
    "da": "øæå",
    "de": "ßäöü",
    "el": "αεηιουως",
    "es": "ñ",
    "fa": "پچژگکی",
    "fi": "äö",
    "fr": "çœêèùûîô",
    "he": "אהוי",
    "hr": "đćž",
    "hu": "őűöü",
    "lt": "ųėįū",
    "mr": "ळ",
    "no": "øåæ",
    "pl": "łąęśżźń",
    "pt": "ãõçêô",
    "ro": "ășțţ",
    "ru": "ыэё",
    "sk": "ľĺŕôž",
    "sl": "ž",
    "sr": "јљњђћџ",
    "sv": "åäö",
    "tr": "ğışİ",
    "uk": "іїєґ",
    "ur": "ٹڈڑںےھہ",
    "vi": "ơưđạảấầẩậắặẹẻếềểệịỉọỏốồổộớờởợụủứừửự",
}
"""Letters that few languages of a script have."""
ENDINGS: dict[str, str] = {
    "bg": "та то ите ват",
    "cs": "ých ého ní ost",
    "da": "erne ede hed",
    "de": "ung ungen keit heit lich liche lichen ische ischen schaft tät ieren iert",
    "en": "tion tions ing ly ness ed ity ies ated ment ments ous ive ic es th sh ck",
    "es": "ción ciones dad dades ando iendo illo ero era mente ado ada",
    "fi": "ssa ssä sta stä lla llä ksi inen iset",
    "fr": "tion tions eux euse eur eurs ment ments ité ités oire age er ez aux elle",
    "hu": "ban ben nak nek ság ség hoz ból ből",
    "it": "zione zioni ità aggio mente ato ata ano ono zza cchi tti ggi",
    "nl": "ing ingen heid lijk lijke eren aar uur ij",
    "no": "ene et het",
    "pl": "ość ych ego owy owa ować anie enie",
    "pt": "ção ções dade dades mente ado ada inho inha eiro eira agem ndo lh nh ou",
    "ro": "ului ție ții ilor ează",
    "ru": "ть ться ут ого его ий ый ых их ние ости ой ом ах ям ами ет ют ия ии",
    "sv": "ning ningar het arna erna ade lig",
    "tr": "lar ler dır dir ları leri ının inin",
    "uk": "ти тись ння ість ого ий ої",
}
"""Frequent endings of words, of use where few words of a question are stop words."""
LONGEST_ENDING = 6
DETECTED = {language: frozenset(words.casefold().split()) for language, words in SPACED.items()} | {
    "en": STOP_WORDS | {"does", "shall", "may", "must", "isn", "don", "ll", "ve", "re", "whose", "per"}
}


def languages_by_item(table: Mapping[str, Iterable[str]]) -> Mapping[str, Collection[str]]:
    """Return the languages of each word, letter or ending of a table by languages."""
    languages: dict[str, set[str]] = {}
    for language, items in table.items():
        for item in items:
            languages.setdefault(item, set()).add(language)
    return languages


BY_WORD = languages_by_item(DETECTED)
BY_LETTER = languages_by_item(LETTERS)
BY_ENDING = languages_by_item({language: endings.split() for language, endings in ENDINGS.items()})


def language_of(text: str) -> str | None:
    """Return the language that a text is written in, as ISO 639-1; None if that is not clear.

    The script decides, then the stop words and rare letters of its languages. A text with words of another script than
    Latin is in that language as soon as these are a quarter of it, unless the Latin words are a sentence themselves:
    names of products stand in questions of every language.
    """
    read = INITIALS.sub(" ", text[:READ_CHARACTERS])
    letters = {script: len("".join(run.findall(read))) for script, run in RUNS.items()}
    for script in ("han", "kana", "ko"):
        letters[script] *= CJK_WEIGHT
    latin = letters.pop("latin")
    other = sum(letters.values())
    if latin and other < latin:
        is_latin = other * 3 < latin
        language = spaced_language(read, "latin", MIN_SCORE if is_latin else SENTENCE_SCORE)
        if is_latin or language is not None:
            return language
    return language_of_script(read, letters) if other else None


def language_of_script(text: str, letters: Mapping[str, int]) -> str | None:
    """Return the language of a text by its most frequent script other than Latin."""
    cjk = letters["han"] + letters["kana"]
    script = max(letters, key=lambda each: letters[each])
    if script in ("han", "kana") or cjk > letters[script]:
        return "ja" if letters["kana"] * 20 >= cjk else "zh"
    return spaced_language(text, script) if script in LANGUAGES_OF else script


def spaced_language(text: str, script: str, min_score: int = MIN_SCORE) -> str | None:
    """Return the language of a text's words in one script; None where no language or several are likely.

    Args:
        text: The text.
        script: A script of several languages.
        min_score: The minimum score per word; `MIN_SCORE` holds for long texts only.
    """
    words = RUNS[script].findall(text.casefold())
    scores = language_scores(words, LANGUAGES_OF[script].split())
    ranked = [*scores.most_common(2), ("", 0), ("", 0)]
    (language, best), (_, second) = ranked[0], ranked[1]
    is_judged = min_score > MIN_SCORE or len(words) >= MANY_WORDS
    total = sum(weighted(words).values())
    if not best or best < second * LEAD or (is_judged and best < min_score * max(total, 2)):
        return None
    return language


def language_scores(words: Iterable[str], languages: Iterable[str]) -> Counter[str]:
    """Return the score of each language: of its stop words, and of the letters and the endings of other words.

    The scores are in thousandths of a stop word.
    """
    candidates = frozenset(languages)
    scores: Counter[str] = Counter()
    for word, count in weighted(words).items():
        if known_by := candidates.intersection(BY_WORD.get(word, ())):
            scores.update(shared(known_by, 1_000 * count))
            continue
        for letter in set(word) & BY_LETTER.keys():
            scores.update(shared(candidates.intersection(BY_LETTER[letter]), HINT_SCORE * count))
        endings = (word[-size:] for size in range(min(LONGEST_ENDING, len(word) - 2), 1, -1))
        ending = next((each for each in endings if each in BY_ENDING), "")
        scores.update(shared(candidates.intersection(BY_ENDING.get(ending, ())), HINT_SCORE * count))
    return scores


def weighted(words: Iterable[str]) -> dict[str, float]:
    """Return each word with the logarithm of its count: one that is everywhere is a title or part of a program."""
    return {word: math.log2(1 + count) for word, count in Counter(words).items()}


def shared(languages: Collection[str], score: float) -> dict[str, int]:
    """Return an equal part of a score for each language."""
    return {each: int(score / len(languages)) for each in languages}


@functools.cache
def stop_words(language: str | None) -> frozenset[str]:
    """Return the words of a language without content of their own, case-folded, also without accents.

    They are `STOP_WORDS` for English, and empty for None and for a language without a list.
    """
    if language == "en":
        return STOP_WORDS
    listed = {**SPACED, **UNSPACED}.get(language or "", "").casefold().split()
    return frozenset(form for word in listed for form in (word, unicodedata.normalize("NFKC", word), unaccented(word)))


def unaccented(word: str) -> str:
    """Return a word without the accents of European scripts, in the normal form NFKC."""
    letters = (each for each in unicodedata.normalize("NFKD", word) if not "\u0300" <= each <= "\u036f")
    return unicodedata.normalize("NFKC", "".join(letters))
