"""The script of a text."""

from __future__ import annotations

import pytest

from app.domain.scripts import script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello world", "LATIN"),
        ("Größe, café, Łódź, İstanbul, Việt Nam", "LATIN"),
        ("\uff21\uff22 \U0001d401 ª", "LATIN"),
        ("Где находится E18?", "CYRILLIC"),
        ("Πού είναι", "GREEK"),
        ("भारत की राजधानी", "DEVANAGARI"),
        ("أين المكتب", "ARABIC"),
        ("איפה המשרד", "HEBREW"),
        ("ประเทศไทย", "THAI"),
        ("한국어 문장", "HANGUL"),
        ("中文", "CJK"),
        ("日本語のテストです", "CJK"),
        ("ひらがなだけ", "CJK"),
        ("ﾃｽﾄ", "CJK"),
        ("বাংলা", "BENGALI"),
        ("தமிழ்", "TAMIL"),
        ("ქართული", "GEORGIAN"),
        ("አማርኛ", "ETHIOPIC"),
        ("the error Ошибка appeared on the screen", "LATIN"),
        ("при вызове parse() возникает ошибка", "CYRILLIC"),
        ("1234 - 56 %", None),
        ("", None),
        ("🙂👍", None),
    ],
)
def test_script_is_that_of_most_letters(text: str, script: str | None) -> None:
    """Digits, marks and punctuation do not count."""
    assert script_of(text) == script
