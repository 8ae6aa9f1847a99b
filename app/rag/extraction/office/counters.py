"""Numbers of list items as Word and PowerPoint write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain

ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
ROMAN_MAX = 3999
LATIN = "abcdefghijklmnopqrstuvwxyz"
CYRILLIC = "абвгдежзиклмнопрстуфхцчшщыэюя"
HAN_DIGITS = "〇一二三四五六七八九"
CIRCLED = "".join(map(chr, chain(range(0x2460, 0x2474), range(0x3251, 0x3260), range(0x32B1, 0x32C0))))
"""The circled numbers from 1 to 50."""


def roman(number: int) -> str:
    if not 0 < number <= ROMAN_MAX:
        return str(number)
    parts = []
    for value, letters in ROMAN:
        count, number = divmod(number, value)
        parts.append(letters * count)
    return "".join(parts)


def repeated_letter(number: int, alphabet: str = LATIN) -> str:
    """Return a to z, then aa, bb and so on."""
    times, place = divmod(number - 1, len(alphabet))
    return alphabet[place] * (times + 1) if 0 <= times < len(alphabet) else str(number)


def ordinal(number: int) -> str:
    teens = number % 100 in range(11, 14)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def han(number: int) -> str:
    """Return a number of at most two digits as Chinese and Japanese count: 十, 十一, 二十."""
    tens, ones = divmod(number, 10)
    if not 0 < tens < len(HAN_DIGITS):
        return "".join(HAN_DIGITS[int(digit)] for digit in str(number)) if number >= 0 else str(number)
    return (HAN_DIGITS[tens] if tens > 1 else "") + "十" + (HAN_DIGITS[ones] if ones else "")


def circled(number: int) -> str:
    return CIRCLED[number - 1] if 0 < number <= len(CIRCLED) else str(number)


COUNTERS: Mapping[str, Callable[[int], str]] = {
    "decimalZero": "{:02}".format,
    "lowerRoman": roman,
    "upperRoman": lambda number: roman(number).upper(),
    "lowerLetter": repeated_letter,
    "upperLetter": lambda number: repeated_letter(number).upper(),
    "russianLower": lambda number: repeated_letter(number, CYRILLIC),
    "russianUpper": lambda number: repeated_letter(number, CYRILLIC).upper(),
    "ordinal": ordinal,
    "decimalEnclosedCircle": circled,
    "decimalEnclosedCircleChinese": circled,
    "ideographDigital": han,
    "chineseCounting": han,
    "chineseCountingThousand": han,
    "japaneseCounting": han,
    "japaneseDigitalTenThousand": han,
    "taiwaneseCounting": han,
    "taiwaneseCountingThousand": han,
    "none": "".format,
}


def counter(number: int, kind: str) -> str:
    """Return a number in one of the formats of ECMA-376, part 1, 17.18.59; digits for those not listed here."""
    return COUNTERS.get(kind, str)(number)
