"""Characters of the fonts whose letters are pictures, in Unicode."""

from __future__ import annotations

from collections.abc import Mapping

SYMBOL = {
    **dict(
        enumerate(
            "!∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼", 0x21
        )
    ),
    **dict(
        enumerate(
            "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪ 〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭", 0xA0
        )
    ),
}
WINGDINGS = {
    **{0x28: "☎", 0x2A: "✉", 0x4A: "☺", 0x4C: "☹", 0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0x72: "❒", 0x75: "◆"},
    **{0x76: "❖", 0x9F: "•", 0xA7: "▪", 0xA8: "☐", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE8: "➔"},
    **{0xEF: "⇦", 0xF0: "⇨", 0xF3: "⇔", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
}
WINGDINGS_2 = {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐"}
FONTS: Mapping[str, Mapping[int, str]] = {"symbol": SYMBOL, "wingdings": WINGDINGS, "wingdings 2": WINGDINGS_2}

PRIVATE = range(0xF000, 0xF100)
"""Where Office places the characters of such fonts in Unicode."""


def symbol_text(text: str, font: str) -> str:
    """Return the text of a run in a font; a picture that Unicode does not have, or that is not listed, is left out."""
    table = FONTS.get(font.lower())
    return "".join(symbol(ord(each), table) for each in text)


def symbol(code: int, table: Mapping[int, str] | None) -> str:
    private = code in PRIVATE
    code -= PRIVATE.start if private else 0
    if table is None:
        return "" if private else chr(code)
    return table.get(code, "" if private or code > 0x7F else chr(code))
