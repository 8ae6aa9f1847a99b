"""Reasoning that servers leave in a reply's text, split from it by the marks around it, such as `<think>`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from app.llm.base import Target
from app.llm.harmony import OPENINGS as HARMONY_OPENINGS
from app.llm.harmony import HarmonyParser, held_back

MARKS = {
    "<think>": "</think>",  # DeepSeek R1, Qwen 3, QwQ and most, on servers without a parser for it
    "<thinking>": "</thinking>",  # models prompted to think; Claude through gateways
    "<thought>": "</thought>",  # Gemini's compatible endpoint, with its thoughts included
    "<reasoning>": "</reasoning>",  # fine-tuned models
    "[THINK]": "[/THINK]",  # Mistral's Magistral, on vLLM and llama.cpp
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<|channel>": "<channel|>",  # the same, without the channel's name
    "◁think▷": "◁/think▷",  # Kimi
    "<seed:think>": "</seed:think>",  # ByteDance Seed-OSS
    "<|START_THINKING|>": "<|END_THINKING|>",  # Cohere Command A
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker
}
"""Opening marks with their closing ones, read at the beginning of a reply only: later they may be its subject."""

OPENINGS = (*MARKS, *HARMONY_OPENINGS)

BARE, BARE_CLOSING = "analysis", "assistantfinal"
"""Remains of harmony where a server removes only its marks: `analysisThe user … assistantfinalHi`."""

UNOPENED = {"</think>": "<think>", "</thinking>": "<thinking>", "[/THINK]": "[THINK]", "<channel|>": "<|channel>"}
"""Closing marks that may come alone, because some models' templates put the opening one into the prompt."""

CLOSING = re.compile(r"(?<![`'\"“«])(?:" + "|".join(map(re.escape, UNOPENED)) + ")")
"""A closing mark that is not quoted."""

LONGEST = max(map(len, UNOPENED))
MAX_TARGETS = 1_000


class Split(NamedTuple):
    """Text and reasoning of a piece of a reply."""

    text: str = ""
    reasoning: str = ""


class ReasoningSplitter:
    """Splits reasoning from text, however the reply is cut into pieces.

    Args:
        retract: Takes the text so far back as reasoning and returns it; None if a reader has received any of it.
        hold: Whether the beginning is held back, until a mark comes or `release` is called.
    """

    def __init__(self, retract: Callable[[], str | None], *, hold: bool = False) -> None:
        self.closed_unopened = False
        """True if a closing mark came without an opening one."""
        self._retract = retract
        self._feed: Callable[[str], Split] = self._at_start
        self._held = ""
        self._hold = hold
        self._before = ""
        self._opened: set[str] = set()
        self._closing = ""
        self._harmony = HarmonyParser()

    @property
    def is_holding(self) -> bool:
        """True if a beginning is held back that `release` would return."""
        return self._hold and self._feed == self._watching and self._held != ""

    def feed(self, text: str) -> Split:
        """Return the text and reasoning known by now; a possible part of a mark is held back until the next piece."""
        held, self._held = self._held, ""
        return self._feed(held + text)

    def release(self) -> Split:
        """Stop holding the beginning back, and return it."""
        self._hold = False
        return self.feed("")

    def flush(self) -> Split:
        """Return the text or reasoning held back, at the end of the reply."""
        held, self._held = self._held, ""
        if self._feed == self._in_harmony:
            return Split(*self._harmony.flush())
        return Split(reasoning=held) if self._feed == self._inside else Split(held)

    def _at_start(self, text: str) -> Split:
        begins = text.lstrip()
        if any(mark.startswith(begins) and mark != begins for mark in OPENINGS) or begins == BARE:
            self._held = text
            return Split()
        if begins.startswith(HARMONY_OPENINGS):
            self._feed = self._in_harmony
            return self._in_harmony(begins)
        opening = next((mark for mark in MARKS if begins.startswith(mark)), None)
        if opening is not None:
            self._feed, self._closing = self._inside, MARKS[opening]
        elif begins.startswith(BARE) and begins[len(BARE)].isupper():
            self._feed, self._closing, opening = self._inside, BARE_CLOSING, BARE
        else:
            self._feed = self._watching
            return self._watching(text)
        return self._inside(begins.removeprefix(opening))

    def _inside(self, text: str) -> Split:
        reasoning, mark, rest = text.partition(self._closing)
        if mark:
            self._feed = self._after
            return Split(self._after(rest).text, reasoning)
        kept = held_back(text, (self._closing,))
        self._held = text[len(text) - kept :]
        return Split(reasoning=text[: len(text) - kept])

    def _in_harmony(self, text: str) -> Split:
        return Split(*self._harmony.feed(text))

    def _watching(self, text: str) -> Split:
        """Pass text through, up to a closing mark without an opening one."""
        seen = self._before + text
        self._opened |= {opening for opening in UNOPENED.values() if opening in seen}
        for found in CLOSING.finditer(seen, len(self._before)):
            if UNOPENED[found[0]] not in self._opened:
                return self._closed(seen[len(self._before) : found.start()], seen[found.end() :])
        if self._hold:
            self._held = text
            return Split()
        kept = held_back(text, tuple(UNOPENED))
        self._held = text[len(text) - kept :]
        released = text[: len(text) - kept]
        self._before = (self._before + released)[-LONGEST:]
        return Split(released)

    def _closed(self, before: str, rest: str) -> Split:
        """Turn the text before a mark into reasoning if no reader has received any of it; else remove only the mark."""
        self.closed_unopened = True
        retracted = self._retract()
        if retracted is None:
            self._feed = Split
            return Split(before + rest)
        self._feed = self._after
        return Split(self._after(rest).text, retracted + before)

    def _after(self, text: str) -> Split:
        begins = text.lstrip()
        if begins:
            self._feed = Split
        return Split(begins)


class UnopenedReasoning:
    """The models that have closed their reasoning without having opened it."""

    def __init__(self) -> None:
        self._targets: dict[Target, None] = {}

    def __contains__(self, target: Target) -> bool:
        return target in self._targets

    def add(self, target: Target) -> None:
        """Add a model; beyond `MAX_TARGETS` the oldest is forgotten, since callers may name any model."""
        if len(self._targets) >= MAX_TARGETS:
            del self._targets[next(iter(self._targets))]
        self._targets[target] = None
