"""Replies that no model writes."""

from __future__ import annotations

import pytest

from app.domain.language import language_of
from app.domain.refusals import NOT_SEARCHED, NOTHING_FOUND, not_searched, nothing_found

REQUIRED = ["en", "de", "es", "fr", "zh", "ja", "ar", "ru", "hi", "pt", "ko", "it", "nl"]


@pytest.mark.parametrize("language", REQUIRED)
def test_refusal_language(language: str) -> None:
    """Both refusals are in the language of the question."""
    assert language_of(nothing_found(language)) == language
    assert language_of(not_searched(language)) == language


@pytest.mark.parametrize("text", [*NOTHING_FOUND.items(), *NOT_SEARCHED.items()])
def test_refusal_text(text: tuple[str, str]) -> None:
    """Each text is in the language that it stands for."""
    assert language_of(text[1]) == text[0]


@pytest.mark.parametrize("language", [None, "xx"])
def test_refusal_of_unknown_language(language: str | None) -> None:
    """A question in an unknown language gets the English text."""
    assert nothing_found(language) == "The documents do not say anything about that."
    assert not_searched(language).startswith("The documents could not be searched just now")
