"""Context windows of well-known models, by prefixes of their names; published by their makers, November 2026."""

from __future__ import annotations

DEFAULT_WINDOW = 128_000
"""Tokens that a model of unknown name is assumed to accept."""

TOKENS = {
    "gpt-5": 400_000,
    "gpt-4.1": 1_047_576,
    "gpt-4o": 128_000,
    "gpt-4-turbo": 128_000,
    "gpt-4": 8_192,
    "gpt-3.5-turbo": 16_385,
    "o1": 200_000,
    "o3": 200_000,
    "o4": 200_000,
    "gpt-oss": 131_072,
    "llama-3.1": 131_072,
    "llama-3.3": 131_072,
    "llama-4": 131_072,
    "qwen3": 131_072,
    "kimi-k2": 262_144,
    "gemma2": 8_192,
}
LONGEST_FIRST = sorted(TOKENS, key=len, reverse=True)


def known_window(model: str) -> int:
    """Return the tokens of prompt and reply together; `DEFAULT_WINDOW` for an unknown model."""
    name = model.rpartition("/")[2].lower()
    return next((TOKENS[prefix] for prefix in LONGEST_FIRST if name.startswith(prefix)), DEFAULT_WINDOW)
