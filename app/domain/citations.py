"""Citation marks in a reply: `[n]` outside code, with the number of a passage from the prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from app.domain.documents import Citation

HELD_CHARACTERS = 1_000
"""Maximum characters held back for a bracket, a code span or a fence; a longer one is plain text."""

LINE_CHARACTERS = 200
"""Characters of a line that decide whether it opens or closes a code block."""

SPECIAL = re.compile(r"[\[`~\n]")
RUN = re.compile(r"`+|~+")
BACKTICKS = re.compile(r"`+")
LINE_START = re.compile(r"[ \t>]*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)?[ \t]*")
INSIDE = frozenset("0123456789, ")
MARK = re.compile(r"\[[0-9]+\]")


class CitationFilter:
    """A filter that removes unknown citation marks from a streaming text, independent of how it is split into deltas.

    Only the mark is removed, not the white space around it. A list such as `[1, 2]` stays, since it may be anything;
    it cites its numbers where all of them are known. Code stays: blocks between fences of three or more backticks or
    tildes (CommonMark 0.31, 4.5), and spans between equal runs of backticks in one line (6.1). The beginning of a
    possible mark or span is held back until it is decided.
    """

    def __init__(self, known: Collection[int]) -> None:
        """Create a filter for marks with these numbers."""
        self.cited: set[int] = set()
        """The known numbers that the text has cited so far."""
        self._known = {str(number) for number in known}
        self._held = ""
        self._line = ""
        """The released beginning of the current line."""
        self._fence = ""
        """The opening fence of the current code block; empty outside."""

    def feed(self, delta: str) -> str:
        """Return the text that can be released now."""
        return self._release(self._held + delta, final=False)

    def flush(self) -> str:
        """Return the rest at the end of the text."""
        return self._release(self._held, final=True)

    def _release(self, text: str, *, final: bool) -> str:
        released: list[str] = []
        position = 0
        while position < len(text):
            step = self._next(text, position, final=final)
            if step is None:
                break
            piece, position = step
            self._update_line(piece)
            released.append(piece)
        self._held = text[position:]
        return "".join(released)

    def _update_line(self, piece: str) -> None:
        _, newline, rest = piece.rpartition("\n")
        self._line = (rest if newline else self._line + rest)[:LINE_CHARACTERS]

    def _next(self, text: str, position: int, *, final: bool) -> tuple[str, int] | None:
        """Return the next piece to release and the position after it; None where more text is needed to decide."""
        if self._fence:
            return self._code_line(text, position)
        found = SPECIAL.search(text, position)
        if found is None:
            return text[position:], len(text)
        if found.start() > position:
            return text[position : found.start()], found.start()
        if found.group() == "\n":
            return "\n", position + 1
        if found.group() == "[":
            return self._bracket(text, position, final=final)
        return self._run(text, position, final=final)

    def _code_line(self, text: str, position: int) -> tuple[str, int]:
        """Return the text of a code block up to the end of the line, which may close the block."""
        newline = text.find("\n", position)
        if newline < 0:
            return text[position:], len(text)
        line = (self._line + text[position:newline])[:LINE_CHARACTERS]
        if len(line) < LINE_CHARACTERS and is_closing_fence(line.strip(" \t\r>"), self._fence):
            self._fence = ""
        return text[position : newline + 1], newline + 1

    def _run(self, text: str, position: int, *, final: bool) -> tuple[str, int] | None:
        """Return a run of backticks or tildes, with the code span that it encloses or the block's first line."""
        line, newline, _ = text[position : position + HELD_CHARACTERS].partition("\n")
        whole = final or bool(newline) or len(text) >= position + HELD_CHARACTERS
        found = RUN.match(line)
        assert found is not None, "the caller has found a run here"  # noqa: S101  for the types
        run = found.group()
        if run[0] == "`" and (end := code_span_end(line, run, whole=whole)):
            return line[:end], position + end
        fence = LINE_START.fullmatch(self._line) is not None and (len(run) >= 3 or run == line)
        if not whole and (fence or run[0] == "`"):
            return None
        if not fence or len(run) < 3 or len(line) == HELD_CHARACTERS or (run[0] == "`" and "`" in line[len(run) :]):
            return run, position + len(run)
        self._fence = run
        end = len(line) + len(newline)
        return text[position : position + end], position + end

    def _bracket(self, text: str, position: int, *, final: bool) -> tuple[str, int] | None:
        """Return a bracket once it is known to be a mark or not; a mark inside another bracket is removed first."""
        parts: list[str] = []
        limit = position + HELD_CHARACTERS
        for at in range(position, min(len(text), limit)):
            character = text[at]
            if character == "[":
                parts.append(character)
            elif character in INSIDE:
                parts[-1] += character
            elif character != "]":
                return "".join(parts), at
            elif self._keeps(inside := parts.pop()[1:]):
                return "".join((*parts, f"[{inside}]")), at + 1
            elif not parts:
                return "", at + 1
        return ("".join(parts), min(len(text), limit)) if final or len(text) >= limit else None

    def _keeps(self, inside: str) -> bool:
        """Return whether a bracket stays in the text, and record the numbers that it cites."""
        numbers = [number.strip() for number in inside.split(",")]
        known = all(number in self._known for number in numbers)
        if known:
            self.cited.update(map(int, numbers))
        return known or not inside.isdigit()


def is_closing_fence(line: str, fence: str) -> bool:
    """Return whether a line closes the code block that `fence` has opened."""
    return len(line) >= len(fence) and not line.strip(fence[0])


def code_span_end(line: str, run: str, *, whole: bool) -> int | None:
    """Return the end of the code span that a run of backticks at the start of `line` opens; None without one yet."""
    for found in BACKTICKS.finditer(line, len(run)):
        if found.group() == run:
            return found.end() if whole or found.end() < len(line) else None  # more backticks may make it another run
    return None


def citations_in(text: str, candidates: Sequence[Citation]) -> list[Citation]:
    """Return the candidates that a text cites, in the order of `candidates`."""
    if "[" not in text:
        return []
    citation_filter = CitationFilter([each.marker for each in candidates])
    citation_filter.feed(text)
    citation_filter.flush()
    return [each for each in candidates if each.marker in citation_filter.cited]


def without_marks(text: str) -> str:
    """Remove all citation marks from an earlier reply, whose numbers a model would take for its own passages."""
    if "[" not in text:
        return text
    if "`" not in text and "~~~" not in text:
        return MARK.sub("", text)
    citation_filter = CitationFilter(())
    return citation_filter.feed(text) + citation_filter.flush()
