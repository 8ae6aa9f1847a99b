from __future__ import annotations

from typing import NamedTuple

OPENING, CLOSING = "<think>", "</think>"


class Told(NamedTuple):
    """What a piece of a reply holds."""

    text: str = ""
    reasoning: str = ""


class Thinking:
    """Tells the thinking that some servers leave at the start of a reply, `<think>…</think>`, from its text.

    Only there, since later on the words may be the reply's own subject.
    """

    def __init__(self) -> None:
        self._feed = self._at_start
        self._held = ""
        self.decided = False
        """Whether all that is yet to come is text."""

    def feed(self, text: str) -> Told:
        """What is known by now; a part of a mark is held back until the rest of it can have come."""
        return self._feed(self._held + text)

    def flush(self) -> Told:
        """What was held back, at the end of the reply."""
        held, self._held = self._held, ""
        return Told(reasoning=held) if self._feed == self._inside else Told(held)

    def _at_start(self, text: str) -> Told:
        begins = text.lstrip()
        if len(begins) < len(OPENING) and OPENING.startswith(begins):
            self._held = text
            return Told()
        if not begins.startswith(OPENING):
            return self._as_text(text)
        self._feed = self._inside
        return self._inside(begins.removeprefix(OPENING))

    def _inside(self, text: str) -> Told:
        thought, mark, rest = text.partition(CLOSING)
        if mark:
            self._feed = self._after
            return Told(self._after(rest).text, thought)
        kept = next((n for n in range(len(CLOSING) - 1, 0, -1) if text.endswith(CLOSING[:n])), 0)
        self._held = text[len(text) - kept :]
        return Told(reasoning=text[: len(text) - kept])

    def _after(self, text: str) -> Told:
        self._held = ""
        begins = text.lstrip()
        return self._as_text(begins) if begins else Told()

    def _as_text(self, text: str) -> Told:
        self._held, self.decided = "", True
        return Told(text)
