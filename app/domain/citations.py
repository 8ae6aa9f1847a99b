"""Citation marks in a reply: `[n]`, outside code, with the number of a passage that was given."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from app.domain.documents import Citation

HELD_CHARACTERS = 1_000
"""How far a bracket, a span of code or a fence may reach that is held back: what is longer is text."""

LINE_CHARACTERS = 200
"""How much of a line is looked at to find where a block of code begins and ends."""

SPECIAL = re.compile(r"[\[`~\n]")
RUN = re.compile(r"`+|~+")
BACKTICKS = re.compile(r"`+")
LINE_START = re.compile(r"[ \t>]*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)?[ \t]*")
INSIDE = frozenset("0123456789, ")
MARK = re.compile(r"\[[0-9]+\]")


class CitationFilter:
    """Takes marks with numbers that were never given out of a text as it streams, the same however it was cut.

    Only the mark goes, the white space around it stays. A list such as `[1, 2]` is left as it is, since it may be
    anything; it cites its numbers where all of them were given. Code is left alone: what stands between fences of
    three or more backticks or tildes (CommonMark 0.31, 4.5), and between equal runs of backticks in one line (6.1).
    What may become a mark or such a span is held back until that is decided.
    """

    def __init__(self, given: Collection[int]) -> None:
        self.cited: set[int] = set()
        """The numbers that the text has cited so far."""
        self._given = {str(number) for number in given}
        self._held = ""
        self._line = ""
        """The beginning of the current line, as it was passed on."""
        self._fence = ""
        """The run that opened the block of code which the text is in."""

    def feed(self, delta: str) -> str:
        """What can be passed on now."""
        return self._passed(self._held + delta, final=False)

    def flush(self) -> str:
        """The rest, at the end of the text."""
        return self._passed(self._held, final=True)

    def _passed(self, text: str, *, final: bool) -> str:
        passed: list[str] = []
        place = 0
        while place < len(text):
            taken = self._next(text, place, final=final)
            if taken is None:
                break
            piece, place = taken
            self._note(piece)
            passed.append(piece)
        self._held = text[place:]
        return "".join(passed)

    def _note(self, piece: str) -> None:
        _, newline, rest = piece.rpartition("\n")
        self._line = (rest if newline else self._line + rest)[:LINE_CHARACTERS]

    def _next(self, text: str, place: int, *, final: bool) -> tuple[str, int] | None:
        """What to pass on of the text from a place on, and the place behind it; None where more has to come first."""
        if self._fence:
            return self._code(text, place)
        found = SPECIAL.search(text, place)
        if found is None:
            return text[place:], len(text)
        if found.start() > place:
            return text[place : found.start()], found.start()
        if found.group() == "\n":
            return "\n", place + 1
        if found.group() == "[":
            return self._bracket(text, place, final=final)
        return self._run(text, place, final=final)

    def _code(self, text: str, place: int) -> tuple[str, int]:
        """A block's text up to the end of the line, which may be its last."""
        newline = text.find("\n", place)
        if newline < 0:
            return text[place:], len(text)
        line = (self._line + text[place:newline])[:LINE_CHARACTERS]
        if len(line) < LINE_CHARACTERS and closes(line.strip(" \t\r>"), self._fence):
            self._fence = ""
        return text[place : newline + 1], newline + 1

    def _run(self, text: str, place: int, *, final: bool) -> tuple[str, int] | None:
        """Backticks or tildes, with the code that they enclose or the line that they open a block with."""
        reach = text[place : place + HELD_CHARACTERS].partition("\n")
        line, whole = reach[0], final or bool(reach[1]) or len(text) >= place + HELD_CHARACTERS
        run = RUN.match(line)
        assert run is not None, "it stands there"  # noqa: S101  for the types
        mark = run.group()
        if mark[0] == "`" and (end := span_end(line, mark, whole=whole)):
            return line[:end], place + end
        fence = LINE_START.fullmatch(self._line) is not None and (len(mark) >= 3 or mark == line)
        if not whole and (fence or mark[0] == "`"):
            return None
        if not fence or len(mark) < 3 or len(line) == HELD_CHARACTERS or (mark[0] == "`" and "`" in line[len(mark) :]):
            return mark, place + len(mark)
        self._fence = mark
        end = len(line) + len(reach[1])
        return text[place : place + end], place + end

    def _bracket(self, text: str, place: int, *, final: bool) -> tuple[str, int] | None:
        """A bracket up to where it is known to be a mark or not; another may stand in it, and be taken out first."""
        parts: list[str] = []
        reach = place + HELD_CHARACTERS
        for at in range(place, min(len(text), reach)):
            character = text[at]
            if character == "[":
                parts.append(character)
            elif character in INSIDE:
                parts[-1] += character
            elif character != "]":
                return "".join(parts), at
            elif self._stays(inside := parts.pop()[1:]):
                return "".join((*parts, f"[{inside}]")), at + 1
            elif not parts:
                return "", at + 1
        return ("".join(parts), min(len(text), reach)) if final or len(text) >= reach else None

    def _stays(self, inside: str) -> bool:
        """Whether a bracket is none that was not given; takes note of what it cites."""
        numbers = [number.strip() for number in inside.split(",")]
        known = all(number in self._given for number in numbers)
        if known:
            self.cited.update(map(int, numbers))
        return known or not inside.isdigit()


def closes(line: str, fence: str) -> bool:
    """Whether a line is a fence that ends the block that another has opened."""
    return len(line) >= len(fence) and not line.strip(fence[0])


def span_end(line: str, run: str, *, whole: bool) -> int | None:
    """Where code ends that a run of backticks opens at the beginning of a line's rest; None where it does not yet."""
    for found in BACKTICKS.finditer(line, len(run)):
        if found.group() == run:
            return found.end() if whole or found.end() < len(line) else None  # more backticks may make it another
    return None


def citations_in(text: str, candidates: Sequence[Citation]) -> list[Citation]:
    """What a text cites of what was given for it, by marker."""
    if "[" not in text:
        return []
    filtered = CitationFilter([each.marker for each in candidates])
    filtered.feed(text)
    filtered.flush()
    return [each for each in candidates if each.marker in filtered.cited]


def without_marks(text: str) -> str:
    """An earlier reply as later models are told it: its numbers would be taken for those of their own passages."""
    if "[" not in text:
        return text
    if "`" not in text and "~~~" not in text:
        return MARK.sub("", text)
    unmarked = CitationFilter(())
    return unmarked.feed(text) + unmarked.flush()
