"""A scanner of a streaming Markdown reply that passes code and formulas on, and leaves each bracket to a subclass."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Literal

from app.domain.reply_markup import BLOCK_CHARACTERS, BLOCK_START, HEAD_CHARACTERS, ReplyMarkup

HELD_CHARACTERS = 1_000
"""Maximum characters held back until a bracket, a fence or a formula is decided; then it is plain text."""

SPECIAL = re.compile("[\\[\u3010\uff3b`~\n$\\\\>]")
IN_SPAN = re.compile(r"[`\n]")
IN_TAG = re.compile(r"[>\n]")
RUN = re.compile(r"`+|~+")
ESCAPABLE = "()[]\\$`~"
BLANK_LINE = r"\n[ \t\r]*\n"
FORMULA_ENDS = {
    "$": re.compile(r"(?P<close>(?<![\s\\])\$(?!\d))|\n"),
    "$$": re.compile(rf"(?P<close>\$\$)|{BLANK_LINE}"),
    r"\(": re.compile(rf"(?P<close>\\\))|{BLANK_LINE}"),
    r"\[": re.compile(rf"(?P<close>\\\])|{BLANK_LINE}"),
}
FORMULA_SIGNS = re.compile(r"[\\^_={}]")
"""Characters behind a dollar sign that make it the beginning of a formula rather than of an amount."""

Step = tuple[str, int] | None
"""A piece to release and the position after it; None where more text is needed to decide."""


class ReplyScanner(ABC):
    """A scanner that releases a text piece by piece, the same pieces however the text is split into deltas.

    It decides by the text that it has released and by at most `HELD_CHARACTERS` behind, so that its work is linear in
    the length of the text.
    """

    def __init__(self) -> None:
        self.markup = ReplyMarkup()
        self.awaited: re.Pattern[str] | None = None
        """Characters without which held text cannot be decided."""
        self._held = ""
        self._offset = 0
        """Characters of the text before `_held`."""
        self._searched: dict[str, int] = {}
        """Characters up to which the text was searched for the end of each kind of formula."""

    @abstractmethod
    def bracket(self, text: str, position: int, *, final: bool) -> Step:
        """Return a bracket outside of code and formulas, as it is to be released."""

    def feed(self, delta: str) -> str:
        """Return the text that can be released now."""
        self._held += delta
        if self.awaited and len(self._held) < HELD_CHARACTERS and not self.awaited.search(delta):
            return ""
        return self._release(final=False)

    def flush(self) -> str:
        """Return the rest at the end of the text."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        text, position, start = self._held, 0, self._offset
        released: list[str] = []
        self.awaited = None
        while position < len(text):
            self._offset = start + position
            step = self._next(text, position, final=final)
            if step is None:
                break
            piece, position = step
            self.markup.append(piece)
            released.append(piece)
        self._offset = start + position
        self._held = text[position:]
        return "".join(released)

    def _next(self, text: str, position: int, *, final: bool) -> Step:
        """Return the next piece to release."""
        markup = self.markup
        if markup.fence:
            return self._code_line(text, position)
        if markup.span and markup.is_carried and not self._is_line_known(text, position, final=final):
            return None
        special = IN_TAG if markup.tag else IN_SPAN if markup.span else SPECIAL
        found = special.search(text, position)
        if found is None:
            return text[position:], len(text)
        if found.start() > position:
            return text[position : found.start()], found.start()
        character = found.group()
        if character in "\n>" or (not markup.span and markup.is_indented_code()):
            return character, position + 1
        return self._special(text, position, final=final)

    def _special(self, text: str, position: int, *, final: bool) -> Step:
        """Return a run of backticks or tildes, the delimiter of a formula, or a bracket."""
        if text[position] in "`~":
            return self._run(text, position, final=final)
        if text[position] in "\\$":
            return self._delimiter(text, position, final=final)
        formula = self._formula(text, position, final=final)
        return self.bracket(text, position, final=final) if formula is False else formula

    def _is_line_known(self, text: str, position: int, *, final: bool) -> bool:
        """Close a code span of the line before where this one begins a block; return whether that is known."""
        start = text[position : position + BLOCK_CHARACTERS]
        if len(start) < BLOCK_CHARACTERS and "\n" not in start and not final:
            return False
        self.markup.is_carried = False
        if BLOCK_START.match(start):
            self.markup.span = ""
        return True

    def _code_line(self, text: str, position: int) -> Step:
        """Return the text of a code block up to the end of the line, which may close the block."""
        newline = text.find("\n", position)
        if newline < 0:
            return text[position:], len(text)
        line = (self.markup.head + text[position:newline])[:HEAD_CHARACTERS]
        if len(line) < HEAD_CHARACTERS and is_closing_fence(line.strip(" \t\r>"), self.markup.fence):
            self.markup.close_fence()
        return text[position : newline + 1], newline + 1

    def _run(self, text: str, position: int, *, final: bool) -> Step:
        """Return a run of backticks or tildes, which may open or close code; with its line where it opens a block."""
        markup = self.markup
        limit = position + HELD_CHARACTERS
        found = RUN.match(text, position, limit)
        assert found is not None, "the caller has found a run here"  # noqa: S101  for the types
        run, end = found.group(), found.end()
        is_open = not final and len(text) < limit
        if end == len(text) and is_open:
            self.awaited = re.compile(f"[^{run[0]}]")
            return None
        if len(run) >= 3 and markup.at_line_start and markup.span != run:
            decisive = re.compile("[`\n]" if run[0] == "`" else "\n")
            info = decisive.search(text, end, limit)
            if info is None and is_open:
                self.awaited = decisive
                return None
            if (info is None and len(text) < limit) or (info is not None and info.group() == "\n"):
                end = info.end() if info else len(text)
                markup.open_fence(run)
                return text[position:end], end
        if run[0] == "`" and markup.span in ("", run):
            markup.span, markup.is_carried = "" if markup.span else run, False
        return run, end

    def _delimiter(self, text: str, position: int, *, final: bool) -> Step:
        """Return a backslash or dollar sign, with the character behind it where both are one, and note formulas."""
        if position + 1 == len(text) and not final:
            return None
        markup = self.markup
        pair = text[position : position + 2]
        following = pair[1:]
        if pair[0] == "\\":
            if pair in (r"\(", r"\["):
                markup.formula = pair
            elif pair in (r"\)", r"\]"):
                markup.formula = ""
            return (pair, position + 2) if following and following in ESCAPABLE else ("\\", position + 1)
        if following == "$":
            markup.formula = "" if markup.formula == "$$" else "$$"
            return pair, position + 2
        before = markup.tail[-1:]
        if markup.formula == "$" and not before.isspace() and not following.isdigit():
            markup.formula = ""
        elif markup.formula in ("", "$") and following.strip() and not before.isalnum():
            markup.formula, markup.is_amount = "$", following.isdigit()
        return "$", position + 1

    def _formula(self, text: str, position: int, *, final: bool) -> Step | Literal[False]:
        """Return the rest of the formula around a bracket; False where no formula is closed behind it."""
        markup = self.markup
        if not markup.formula or (markup.is_amount and not FORMULA_SIGNS.search(markup.tail.rpartition("$")[2])):
            return False
        kind, pattern = markup.formula, FORMULA_ENDS[markup.formula]
        limit = position + HELD_CHARACTERS
        is_open = not final and len(text) < limit
        start = max(position, self._searched.get(kind, 0) - self._offset + position)
        found = pattern.search(text, start, limit)
        if is_open and (found is None or (kind == "$" and found.end() == len(text) and found["close"])):
            self._searched[kind] = self._offset - position + max(position, len(text.rstrip(" \t\r\n")) - 2)
            self.awaited = None if found else re.compile(r"[$\n]" if "$" in kind else r"[\])\n]")
            return None
        markup.formula = ""
        if found is None or not found["close"]:
            return False
        return text[position : found.end()], found.end()


def is_closing_fence(line: str, fence: str) -> bool:
    """Return whether a line closes the code block that `fence` has opened."""
    return len(line) >= len(fence) and not line.strip(fence[0])
