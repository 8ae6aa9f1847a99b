"""OpenAI's harmony format, which servers without a parser for it leave in the text of gpt-oss models."""

from __future__ import annotations

import re

OPENINGS = ("<|start|>", "<|channel|>")
MESSAGE = "<|message|>"
MARKS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>")
"""Marks that end the message before them."""

MAX_HEADER = 200
"""Characters of the longest header of a message."""

CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
FIRST_MARK = re.compile("|".join(map(re.escape, MARKS)))


class HarmonyParser:
    """Splits the messages of a reply: those of the channel `final` are text, all others reasoning."""

    def __init__(self) -> None:
        self._header: str | None = ""
        self._final = True
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Return the new text and the new reasoning; a possible beginning of a mark is held back."""
        final_text, reasoning = "", ""
        rest = self._held + text
        self._held = ""
        while rest:
            if self._header is not None:
                rest = self._read_header(self._header + rest)
                continue
            mark = FIRST_MARK.search(rest)
            body = rest[: mark.start()] if mark else rest[: len(rest) - held_back(rest, MARKS)]
            if self._final:
                final_text += body
            else:
                reasoning += body
            if mark is None:
                self._held = rest[len(body) :]
                break
            self._header, rest = "", rest[mark.start() :]
        return final_text, reasoning

    def flush(self) -> tuple[str, str]:
        """Return the text and the reasoning held back, at the end of the reply; an unfinished header is dropped."""
        held, self._held = self._held, ""
        return (held, "") if self._final else ("", held)

    def _read_header(self, text: str) -> str:
        """Return the rest after the header; empty while the header is incomplete."""
        header, mark, rest = text.partition(MESSAGE)
        if mark:
            channel = CHANNEL.search(header)
            self._final = channel is None or channel[1] == "final"
            self._header = None
            return rest
        if len(text) > MAX_HEADER:
            self._header, self._final = None, True
            return FIRST_MARK.sub("", text)
        self._header = text
        return ""


def held_back(text: str, marks: tuple[str, ...]) -> int:
    """Count the characters at the end of a text that may be the beginning of a mark."""
    longest = max(map(len, marks)) - 1
    start = max(0, len(text) - longest)
    return next(
        (len(text) - at for at in range(start, len(text)) if any(mark.startswith(text[at:]) for mark in marks)), 0
    )
