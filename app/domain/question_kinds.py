"""Classify questions by their words alone; the rules prefer a needless search to a missing one."""

from __future__ import annotations

import re

import regex

WORDS = regex.compile(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}]*(?:['\u2019][\p{L}\p{N}][\p{L}\p{N}\p{M}]*)*")
"""With vowel signs, which `re` does not count as parts of words."""

SMALL_TALK = frozenset(
    phrase
    for line in (
        "hi|hello|hey|hi there|hello there|hey there|good morning|good afternoon|good evening|good night|what's up",
        "how are you|how are you doing|how's it going|nice to meet you|have a nice day|see you|see you later",
        "thanks|thank you|thanks a lot|many thanks|thank you very much|thank you so much|thx|cheers|ta|you're welcome",
        "ok|okay|k|great|cool|nice|perfect|fine|good|very good|got it|i see|alright|awesome|wonderful|please|sorry",
        "bye|goodbye|good bye|hallo|guten tag|guten morgen|guten abend|danke|danke schön|vielen dank|tschüss|super|gut",
        "bonjour|salut|bonsoir|merci|merci beaucoup|au revoir|d'accord|très bien|hola|buenos días|buenas tardes",
        "gracias|muchas gracias|adiós|vale|ciao|buongiorno|buonasera|grazie|grazie mille|arrivederci|va bene",
        "olá|oi|bom dia|boa tarde|boa noite|obrigado|obrigada|muito obrigado|tchau|hoi|dank je|dank je wel|bedankt",
        "hej|hei|tack|takk|tak|kiitos|cześć|dzięki|dziękuję|ahoj|děkuji|merhaba|teşekkürler|teşekkür ederim",
        "привет|здравствуйте|спасибо|дякую|привіт|你好|您好|谢谢|謝謝|こんにちは|ありがとう|ありがとうございます",
        "안녕하세요|감사합니다|مرحبا|شكرا|धन्यवाद",
    )
    for phrase in line.split("|")
)
LONGEST_PHRASE = 4
"""Words of the longest phrase of `SMALL_TALK`."""

BACK_REFERENCES = frozenset(
    word
    for line in (
        "it its that this those these they them their he him his she her hers there one ones former latter same above",
        "previous er sie ihn ihm ihr ihre dies diese dieser das davon dort darin dessen il elle ils elles cela ça ceci",
        "eux leur ello eso esto esos ellos ellas su sus lo esso isso isto ele ela eles quello questo essi",
    )
    for word in line.split()
)
CONTINUES = re.compile(
    r"(and|but|or|so|then|also|why|how so|how come|what about|how about|what else|which one"
    r"|und|aber|oder|warum|wieso|et|mais|ou|pourquoi|y|pero|o|por qué|e|ma|mas|perché)\b",
    re.IGNORECASE,
)
FEW_WORDS = 4
"""A question of at most so many words counts as a follow-up."""

REPHRASE = re.compile(
    r"(please )?((make|say|write|put) (it|that|this)|(rephrase|reword|shorten|simplify|translate|repeat)"
    r"( (it|that|this|your( last| previous)? (answer|reply)))?|shorter|simpler|again)\b"
    r"( (shorter|simpler|again))?( (into|in|to) (\w+ )?\w+)?( please)?[.!]?",
    re.IGNORECASE,
)


def words_of(text: str) -> list[str]:
    """Return the words of a text, case-folded and with straight apostrophes."""
    return [word.replace("\u2019", "'") for word in WORDS.findall(text.casefold())]


def is_small_talk(message: str) -> bool:
    """Return whether a message is nothing but greetings, thanks and the like, in a few languages."""
    words = words_of(message)
    position = 0
    while position < len(words):
        sizes = range(min(LONGEST_PHRASE, len(words) - position), 0, -1)
        size = next((each for each in sizes if " ".join(words[position : position + each]) in SMALL_TALK), 0)
        if not size:
            return False
        position += size
    return True


def wants_rephrasing(message: str) -> bool:
    """Return whether a message only requests the last reply in another form, which needs no search either."""
    return REPHRASE.fullmatch(message.strip()) is not None


def is_follow_up(question: str) -> bool:
    """Return whether a question may not stand alone: it is short, continues a sentence, or has a pronoun."""
    words = words_of(question)
    return (
        len(words) <= FEW_WORDS
        or CONTINUES.match(question.strip()) is not None
        or not BACK_REFERENCES.isdisjoint(words)
    )
