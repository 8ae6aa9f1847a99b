"""The language of questions and documents, and stop words by language."""

from __future__ import annotations

import time

import pytest

from app.domain.language import READ_CHARACTERS, STOP_WORDS, language_of, stop_words

QUESTIONS = [
    ("en", "What is the warranty of the X200?"),
    ("en", "who signed it"),
    ("de", "Wie lange gilt die Garantie des X200?"),
    ("de", "Wer hat den Vertrag unterschrieben?"),
    ("fr", "Quelle est la durée de la garantie ?"),
    ("fr", "Qui a signé le contrat ?"),
    ("es", "¿Cuánto dura la garantía del X200?"),
    ("es", "quien firmo el contrato"),
    ("it", "Quanto dura la garanzia del X200?"),
    ("it", "Chi ha firmato il contratto?"),
    ("pt", "Quanto tempo dura a garantia do X200?"),
    ("pt", "Quem assinou o contrato em março?"),
    ("nl", "Hoe lang is de garantie van de X200?"),
    ("nl", "Wie heeft het contract ondertekend?"),
    ("sv", "Hur länge gäller garantin för X200?"),
    ("da", "Hvad hedder direktøren, og hvornår blev han ansat?"),
    ("no", "Hva heter direktøren, og når ble han ansatt?"),
    ("fi", "Kuinka pitkä takuu laitteella on?"),
    ("pl", "Jak długo trwa gwarancja na X200?"),
    ("cs", "Jak dlouhá je záruka na přístroj?"),
    ("tr", "X200 için garanti süresi ne kadar?"),
    ("ro", "Cât timp este valabilă garanția pentru X200?"),
    ("hu", "Mennyi a garancia ideje az X200 esetében?"),
    ("ru", "Какой срок гарантии у X200?"),
    ("uk", "Який термін гарантії на X200?"),
    ("bg", "Какъв е срокът на гаранцията?"),
    ("el", "Πόσο διαρκεί η εγγύηση;"),
    ("ar", "ما هي مدة ضمان الجهاز X200؟"),
    ("fa", "مدت ضمانت دستگاه چقدر است؟"),
    ("he", "מה משך האחריות על המכשיר?"),
    ("hi", "X200 की वारंटी कितने साल की है?"),
    ("zh", "X200的保修期是多久？"),
    ("zh", "什么是 Kubernetes？"),
    ("ja", "X200の保証期間はどれくらいですか。"),
    ("ko", "X200의 보증 기간은 얼마나 됩니까?"),
    ("th", "การรับประกันนานเท่าไร"),
    ("en", "What is the meaning of 設定 in the menu?"),
    (None, ""),
    (None, "X200 4711 2031"),
    (None, "Globex"),
    (None, "∑∆ 🙂 ---"),
]


@pytest.mark.parametrize(("language", "text"), QUESTIONS)
def test_question_language(language: str | None, text: str) -> None:
    """A short question is in the language of its script, stop words and letters; None if these decide nothing."""
    assert language_of(text) == language


@pytest.mark.parametrize(("language", "text"), [each for each in QUESTIONS if each[0] is not None])
def test_repeated_text_language(language: str, text: str) -> None:
    """A long text has the same language as its sentences."""
    assert language_of(f"{text}\n" * 50) == language


def test_table_language() -> None:
    """A long table of names and numbers has no language, although some of its words are stop words."""
    rows = "".join(f"Item{number} | X{number} | {number} kg\n" for number in range(200))
    assert language_of(f"de la {rows}") is None


def test_language_time() -> None:
    """A text of any length and kind takes milliseconds, since only its beginning is read."""
    began = time.process_time()
    for text in ("a" * 10**6, "é " * 10**6, "的" * 10**6, "-" * 10**6):
        language_of(text)
    assert time.process_time() - began < 1
    assert language_of("." * READ_CHARACTERS + "What is the warranty?") is None


def test_stop_words() -> None:
    """Stop words are case-folded, with and without accents; the English ones are those that search is measured with."""
    assert stop_words("en") is STOP_WORDS
    assert {"der", "für", "fur", "dass"} <= stop_words("de")
    assert {"qué", "que"} <= stop_words("es")
    assert {"что", "как"} <= stop_words("ru")
    assert {"の", "です"} <= stop_words("ja")
    assert stop_words(None) == stop_words("xx") == frozenset()
