"""Citation marks in a reply: read in every known form, and written as `[n]` while the reply streams."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from app.domain.citation_contexts import LOOKAHEAD, is_index, is_operand, is_vector
from app.domain.citation_groups import GROUP_CHARACTERS, OPENINGS, Group, IncompleteGroup, group_pattern, match_group
from app.domain.documents import Citation
from app.domain.reply_scanner import HELD_CHARACTERS, ReplyScanner, Step

MAY_BE_MARK = re.compile(rf"[{re.escape(OPENINGS)}][^\]\n]{{0,{GROUP_CHARACTERS}}}\d")
DEFINITION = re.compile(r"^ {0,3}\[(\^?\d{1,3})\]:(.*)$", re.MULTILINE)
ADDRESS = re.compile(r"[ \t]*(?:<[^<>]*>|[^\s<]\S*)(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?[ \t]*\r?")
"""The rest of the line of a link's definition behind its label (CommonMark 0.31, 4.7)."""
UNFINISHED = re.compile(r"(?<!\\)[\[【\uff3b][\d\s,;]*$")
LINK_TEXT = re.compile(r"\[[^\[\]\n]*[^\[\]\s\d][^\[\]\n]*\]$")


class CitationFilter(ReplyScanner):
    """A filter that writes the citation marks of a streaming text as `[n]`, independent of how it is split into deltas.

    Numbers that are not known are removed, with their brackets where none is left; not the white space around. Code,
    formulas, indices, vectors, links and definitions stay. Filtering the result again changes nothing.
    """

    def __init__(self, known: Collection[int], whole: str | None = None) -> None:
        """Create a filter for marks with these numbers.

        Args:
            known: The numbers of the passages.
            whole: The text to be fed, where all of it is there, so that definitions are found wherever they stand.
        """
        super().__init__()
        self.cited: set[int] = set()
        """The known numbers that the text has cited so far."""
        self._known = frozenset(known)
        self._defined: set[str] = set()
        """The labels of notes and links that the text defines, such as `^1`."""
        self._is_decided = whole is not None
        """True where a number without a definition so far is a mark at once."""
        self._add_definitions(whole or "", 0, len(whole or ""))

    def bracket(self, text: str, position: int, *, final: bool) -> Step:
        """Return a bracket, written as `[n]` if it is a mark."""
        try:
            group = match_group(text, position)
        except IncompleteGroup:
            end = position + GROUP_CHARACTERS
            if len(text) >= end:
                return text[position:end], end
            return (text[position], position + 1) if final else None
        if group is None:
            return text[position], position + 1
        end = position + len(group.text)
        after = text[end : end + LOOKAHEAD]
        if not final and len(after) < LOOKAHEAD and "\n" not in after and self._needs_more(group, after):
            return None
        definition_end = self._definition_end(group, text, end, final=final)
        if definition_end:
            return text[position:definition_end], definition_end
        written = None if definition_end is None else self._written(group, text, end, final=final)
        return None if written is None else (written, end)

    def _needs_more(self, group: Group, after: str) -> bool:
        """Return whether a bracket cannot be decided by the characters behind it, fewer than `LOOKAHEAD`."""
        return not after or (after[0] in " .+*=" and (group.is_list or bool(self.markup.tail[-1:].strip())))

    def _written(self, group: Group, text: str, end: int, *, final: bool) -> str | None:
        """Return a bracket as it is to be released; None where more text is needed to decide."""
        before, after = self.markup.tail, text[end : end + LOOKAHEAD].partition("\n")[0]
        is_link = group.text[0] == "[" and after[:1] == "("
        is_indexed = is_index(before, after) or (group.numbers == (0,) and "a" <= before[-1:] <= "z")
        if not group.numbers or is_link or after[:1] == "{" or is_operand(before) or (is_indexed and group.is_plain):
            return group.text
        is_nested_deeply = after[:1] in ("]", "】") and UNFINISHED.search(before)
        if is_nested_deeply or (group.is_list and is_vector(before, after)):
            return group.text
        label = definable_label(group, before)
        is_defined = self._is_defined(label, text, end, final=final) if label else False
        if is_defined is not False:
            return group.text if is_defined else None
        known = [number for number in group.numbers if number in self._known]
        self.cited.update(known)
        if not known:
            joins = before.endswith("\\") or (before.endswith("]") and after[:1] in ("(", ":", "{"))
            joins = joins or (before.endswith("$") and after[:1] == "$")
            return " " if joins else ""
        would_be_read_otherwise = is_indexed or (label is None and LINK_TEXT.search(before))
        marks = "".join(f"[{number}]" for number in known)
        return f"{' ' if would_be_read_otherwise else ''}{marks}{' ' if after[:1] == '(' else ''}"

    def _definition_end(self, group: Group, text: str, end: int, *, final: bool) -> int | None:
        """Return the end of a note's label or a link's definition; 0 for neither; None where more text is needed."""
        if text[end : end + 1] != ":" or self.markup.head.strip(" "):
            return 0
        limit = end - len(group.text) + HELD_CHARACTERS
        if not group.is_footnote:
            newline = text.find("\n", end, limit)
            if newline < 0 and (not final or len(text) > limit):
                self.awaited = re.compile("\n")
                return None if len(text) < limit else 0
            line_end = newline if newline >= 0 else len(text)
            if not is_address(text[end + 1 : line_end]):
                return 0
            end = line_end
        self._defined.add(group.text[1:-1])
        return end

    def _is_defined(self, label: str, text: str, end: int, *, final: bool) -> bool | None:
        """Return whether the text defines a label, within `HELD_CHARACTERS` where more is to come; None where open.

        After one label that was not defined so soon, others are marks at once: the reader waits once at most.
        """
        if label in self._defined or self._is_decided:
            return label in self._defined
        limit = end - len(f"[{label}]") + HELD_CHARACTERS
        is_open = not final and len(text) < limit
        self._add_definitions(text, end, len(text) if final and len(text) <= limit else text.rfind("\n", end, limit))
        if label in self._defined:
            return True
        if is_open:
            self.awaited = re.compile("\n")
            return None
        self._is_decided = not final or len(text) > limit
        return False

    def _add_definitions(self, text: str, start: int, end: int) -> None:
        """Add the labels that whole lines of a text define."""
        for found in DEFINITION.finditer(text, start, max(start, end)):
            if found[1][0] == "^" or is_address(found[2]):
                self._defined.add(found[1])


def is_address(text: str) -> bool:
    """Return whether a line is all that a link can be defined by, with or without the marks in it."""
    return any(ADDRESS.fullmatch(each) for each in (text, group_pattern().sub("", text)))


def definable_label(group: Group, before: str) -> str | None:
    """Return the label of a note or a link, if a reply may define it; None for other brackets."""
    label = f"{'^' if group.is_footnote else ''}{group.numbers[0]}"
    return label if group.text == f"[{label}]" and (group.is_footnote or LINK_TEXT.search(before)) else None


def may_have_marks(text: str) -> bool:
    """Return whether a text has a number behind an opening bracket."""
    return any(opening in text for opening in OPENINGS) and MAY_BE_MARK.search(text) is not None


def citations_in(text: str, candidates: Sequence[Citation]) -> list[Citation]:
    """Return the candidates that a text cites, in the order of `candidates`."""
    if not may_have_marks(text):
        return []
    citation_filter = CitationFilter([each.marker for each in candidates], text)
    citation_filter.feed(text)
    citation_filter.flush()
    return [each for each in candidates if each.marker in citation_filter.cited]


def without_marks(text: str) -> str:
    """Remove all citation marks from an earlier reply, whose numbers a model would take for its own passages."""
    if not may_have_marks(text):
        return text
    citation_filter = CitationFilter((), text)
    return citation_filter.feed(text) + citation_filter.flush()
