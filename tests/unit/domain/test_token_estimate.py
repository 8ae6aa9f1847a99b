"""Estimates of tokens against true counts.

`o200k_base.json` holds texts with their number of tokens, as two implementations of the tokenizer count them: the
first article of the Universal Declaration of Human Rights, which the United Nations leave free to use, in 62
languages, and texts made for this purpose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.token_estimate import cut_to_tokens, estimated_tokens, twentieths, whole_tokens

COUNTED = orjson.loads(Path(__file__).with_name("o200k_base.json").read_bytes())
PROSE = {"English, prose", "English, mail", "German", "French", "Polish", "Turkish", "Vietnamese", "Finnish"}
RUNS = {"white space", "digits", "capitals"}
"""Texts that a tokenizer packs closely, which characters alone do not reveal."""

TEXT = st.text(st.characters() | st.sampled_from("aZ0. \n\u00e9\u4e00\u0431\U0001f600\ud83d"))


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted["kind"])
def test_estimate_lower_bound(counted: dict[str, Any]) -> None:
    """An estimate is at most a quarter below the true count in any script, mixture, code, data or numbers."""
    assert estimated_tokens(counted["text"]) >= 0.75 * counted["tokens"]


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted["kind"])
def test_estimate_upper_bound(counted: dict[str, Any]) -> None:
    """An estimate is at most 1.35 times the true count in English, 1.5 in Latin scripts, and twice otherwise."""
    kind, most = counted["kind"], 2.0
    if kind in PROSE:
        most = 1.35 if kind.startswith("English") else 1.5
    assert kind in RUNS or estimated_tokens(counted["text"]) <= most * counted["tokens"]


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("x", 1), ("x" * 4, 1), ("x" * 7, 2), ("x" * 32_000, 8_000), ("中" * 100, 100)]
)
def test_whole_tokens(text: str, tokens: int) -> None:
    """Estimates are rounded to the nearest whole number, and a text has at least one token."""
    assert estimated_tokens(text) == tokens


@given(st.lists(TEXT))
def test_parts_add_up(parts: list[str]) -> None:
    """The estimate of a streamed text equals that of the whole, however it is split."""
    assert whole_tokens(sum(map(twentieths, parts))) == estimated_tokens("".join(parts))


@given(TEXT)
def test_every_character_counts(text: str) -> None:
    """A character of no script and a lone surrogate count as a share of a token."""
    assert twentieths(text) >= 5 * len(text)


@given(TEXT | TEXT.map(lambda text: text * 2_000), st.integers(0, 4_000))
def test_cut_text_fills_the_limit(text: str, limit: int) -> None:
    """A cut text is the longest beginning within the limit."""
    cut = cut_to_tokens(text, limit)
    assert text.startswith(cut)
    assert twentieths(cut) <= 20 * limit
    assert cut == text or twentieths(text[: len(cut) + 1]) > 20 * limit
