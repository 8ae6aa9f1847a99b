"""Sentences of many scripts, abbreviations, list items, slide lines and table rows."""

from __future__ import annotations

import time

import pytest

from app.domain.sentences import sentences

SEPARATE = [
    ["It is high.", "Is it?", "Yes!", "So be it…", "Then go."],
    ["He said “Go.”", "She went (late).", "Done."],
    ["东京很大。", "你去吗？", "去！", "好的。"],
    ["彼は「行く。」と言った。", "次の文です．", "はい｡"],
    ["هل تعمل المضخة؟", "نعم.", "شكرا!"],
    ["یہ پمپ ہے۔", "وہ نہیں ہے۔"],
    ["यह पंप है।", "वह नहीं है॥", "ठीक है।"],
    ["펌프는 큽니다.", "작동하나요?", "네!"],
    ["Насос стоит.", "Он работает?", "Да."],
    ["Acme Inc. moved its office.", "The U.S. market grew.", "See Fig. 3 and Eq. 4.", "On Jan. 5 it ended."],
    ["It was sold to Acme Inc.", "The price is secret."],
    ["It closes at 5 p.m.", "It opens at 8 a.m. on Mondays.", "Lunch is at noon."],
    ["See p. 5, pp. 6-7, no. 8, vol. 2 and sec. 3.", "It ends."],
    ["Tickets are booked by Ms. Okafor.", "Ask Dr. J. Smith, e.g. by mail.", "Thanks!"],
    ["Es gibt Obst, z. B. Birnen, d. h. Kernobst.", "Siehe Nr. 5, Abs. 2 und S. 7.", "Gut."],
    ["Der 3. Oktober ist frei.", "Im 2. Stock ist die Küche.", "Sie hat 5 Plätze."],
    ["Il habite 5 av. Foch avec M. Petit.", "C’est M. J. Petit."],
    ["El Sr. Ruiz vive en EE. UU. desde 2001.", "Véase la pág. 5.", "¿Cuándo vuelve?"],
    ["Дом стоит на ул. Садовой, т. е. рядом.", "В 2001 г. его построили.", "Он большой."],
    ["Version 3.5 costs 1.000 Euro.", "See https://a.example/b.html for more."],
    ["A sentence that is wrapped\nonto two lines.", "Another one."],
]
LINES = [
    ("- Pumps\n- Hoses and\n  clamps\n* Fuses", ["- Pumps", "- Hoses and\n  clamps", "* Fuses"]),
    ("1. First, do this.\n2. Then that.", ["1. First, do this.", "2. Then that."]),
    ("Our goals\nGrow by 5 %\nHire ten people", ["Our goals", "Grow by 5 %", "Hire ten people"]),
    ("我们的目标\n增长百分之五\n招聘十人", ["我们的目标", "增长百分之五", "招聘十人"]),
    ("| Part | Price |\n|---|---|\n| Seal | 5 |", ["| Part | Price |", "| Seal | 5 |"]),
    (
        "part: Seal, approx. | price: 5\npart: Hose | price: 9",
        ["part: Seal, approx. | price: 5", "part: Hose | price: 9"],
    ),
    ("Seal\t5\nHose\t9", ["Seal\t5", "Hose\t9"]),
    ("# Prices\nAll are in pounds.\n\nOrder now", ["# Prices", "All are in pounds.", "Order now"]),
    ("", []),
    (" \n\n ", []),
]


@pytest.mark.parametrize("expected", SEPARATE)
def test_sentence_ends(expected: list[str]) -> None:
    """Sentences end at the marks of their script, and not behind abbreviations, initials and ordinal numbers."""
    assert list(sentences(" ".join(expected))) == expected


@pytest.mark.parametrize("expected", [each for each in SEPARATE if any(mark in each[0] for mark in "。؟۔।")])
def test_ends_without_white_space(expected: list[str]) -> None:
    """Chinese, Japanese, Arabic and Indic marks end a sentence without white space behind them too."""
    whole = [each for each in expected if each[-1] in "。？！．｡؟۔।॥"]
    assert list(sentences("".join(whole))) == whole


@pytest.mark.parametrize(("text", "expected"), LINES)
def test_lines(text: str, expected: list[str]) -> None:
    """List items, slide lines, headings and table rows are sentences; a wrapped line is a part of one."""
    assert list(sentences(text)) == expected


def test_sentence_time() -> None:
    """Any text is split in time proportional to its length."""
    began = time.process_time()
    for text in ("a. " * 30_000, ". " * 50_000, "a.b." * 30_000, "5. " * 3_000, "\n" * 50_000, "a\n" * 50_000):
        assert sum(map(len, sentences(text))) <= len(text)
    assert time.process_time() - began < 5
