"""Characters of the fonts whose letters are pictures, in Unicode."""

from __future__ import annotations

import re
from collections.abc import Mapping

SYMBOL_LETTERS = "!∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
SYMBOL_SIGNS = "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪ 〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"
SYMBOL = dict(enumerate(SYMBOL_LETTERS, 0x21)) | dict(enumerate(SYMBOL_SIGNS, 0xA0))
WINGDINGS = dict(
    zip(
        bytes.fromhex("28 2a 4a 4c 6c 6e 6f 71 72 75 76 9f a7 a8 d8 df e0 e1 e2 e8 ef f0 f3 fb fc fd fe"),
        "☎✉☺☹●■□❑❒◆❖•▪☐➢←→↑↓➔⇦⇨⇔✗✓☒☑",
        strict=True,
    )
)
WINGDINGS_2 = dict(zip(bytes.fromhex("4f 50 51 52 53 54 a3"), "✗✓☒☑☒☒☐", strict=True))
FONTS: Mapping[str, Mapping[int, str]] = {"symbol": SYMBOL, "wingdings": WINGDINGS, "wingdings 2": WINGDINGS_2}

PRIVATE = 0xF000
"""The first of the places in Unicode for the characters of such fonts."""
PRIVATE_CHARACTER = re.compile("[\uf000-\uf0ff]")
ASCII_MAX, FONT_MAX = 0x7F, 0xFF


def symbol_text(text: str, font: str) -> str:
    """Return the text of a run in a font.

    Office keeps such characters in the private range, or one alone as a character that is no letter of English. Those
    that Unicode does not have, or that are not listed, are left out.
    """
    table = FONTS.get(font.lower(), {})
    if table and len(text.strip()) == 1:
        text = "".join(table.get(ord(each), each) if ord(each) > ASCII_MAX else each for each in text)
    return PRIVATE_CHARACTER.sub(lambda match: table.get(ord(match[0]) - PRIVATE, ""), text)


def symbol(code: int, font: str) -> str:
    """Return the character with a number in a font, with or without the offset of the private range."""
    picture = font.lower() in FONTS and code <= FONT_MAX
    return symbol_text(chr(PRIVATE + code if picture else code), font)
