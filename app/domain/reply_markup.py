"""Verbatim text in a Markdown reply while it streams: code blocks, code spans, HTML code, and mathematics.

Blocks follow CommonMark 0.31: fences (4.5), indented code (4.4), list items (5.2) and code spans (6.1). A span that is
never closed is code up to the end of its paragraph.
"""

from __future__ import annotations

import re

HEAD_CHARACTERS = 200
"""Characters of a line that decide on its kind."""
TAIL_CHARACTERS = 200
"""Characters before a bracket that decide on its meaning."""
BLOCK_CHARACTERS = 12
"""Characters of a line that show whether it ends the paragraph before it."""

LINE_START = re.compile(r"[ \t>]*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)?[ \t]*")
LIST_ITEM = re.compile(r"([ ]*)((?:[-*+]|[0-9]{1,9}[.)])[ ]{1,4})")
HEADING = re.compile(r"[ ]{0,3}#{1,6}[ ]")
BLOCK_START = re.compile(r"[ ]{0,9}(?:[-*+][ \t]|[0-9]{1,9}[.)][ \t]|#{1,6}[ \t]|\||>|`{3}|~{3})|[ \t]*\r?\n")
TAG = re.compile(r"<(/?)(code|pre|kbd|samp|tt|script|style)(?:[ \t][^<>]*)?>$", re.IGNORECASE)


class ReplyMarkup:
    """The state at the end of a reply's text: in code or mathematics, and the text around in the current line."""

    def __init__(self) -> None:
        self.head = ""
        """The beginning of the current line."""
        self.tail = ""
        """The end of the current line."""
        self.fence = ""
        """The opening fence of the current code block; empty outside."""
        self.span = ""
        """The backticks that have opened the current code span; empty outside."""
        self.tag = ""
        """The HTML element whose content is code; empty outside."""
        self.formula = ""
        """The delimiter that may have opened a formula: `$`, `$$`, `\\(` or `\\[`; empty outside."""
        self.is_amount = False
        """True where a digit stands behind the `$`: money, unless the text has signs of a formula."""
        self.is_carried = False
        """True where a code span of an earlier line may go on in the current one."""
        self._tag_in_block = False
        self._after_blank = True
        """True where no paragraph is open, so that an indented line is code."""
        self._after_fence = False
        """True where the current line closes a code block."""
        self._after_indented = False
        self._items: list[int] = []
        """Columns at which the content of the enclosing list items begins."""

    @property
    def at_line_start(self) -> bool:
        """True where a block may begin."""
        return LINE_START.fullmatch(self.head) is not None

    @property
    def is_open(self) -> bool:
        """True where code or a formula has begun and not ended."""
        return bool(self.fence or self.span or self.tag or self.formula)

    def is_indented_code(self) -> bool:
        """Return whether the current line is a line of an indented code block."""
        if not (self._after_blank or self._after_indented):
            return False
        head = self.head.expandtabs(4)
        indent = len(head) - len(head.lstrip(" "))
        return indent - max((each for each in self._items if each <= indent), default=0) >= 4

    def close_fence(self) -> None:
        """End the code block at the line that is released next."""
        self.fence = ""
        self._after_fence = True

    def open_fence(self, fence: str) -> None:
        """Begin a code block with the line that is released next."""
        self.fence = fence
        self.span = self.formula = self.tag = ""

    def append(self, text: str) -> None:
        """Take over text that has been released."""
        first, *rest = text.split("\n") if "\n" in text else (text,)
        self._extend(first)
        for line in rest:
            self._end_line()
            self._extend(line)
        if text == ">" and not self.fence and not self.span:
            self._update_tag()

    def _extend(self, text: str) -> None:
        if len(self.head) < HEAD_CHARACTERS:
            self.head = (self.head + text)[:HEAD_CHARACTERS]
        self.tail = (self.tail + text[-TAIL_CHARACTERS:])[-TAIL_CHARACTERS:]

    def _end_line(self) -> None:
        """Update the blocks at the end of a line."""
        head = self.head.expandtabs(4)
        self.head = self.tail = ""
        if self.fence or self._after_fence:
            self._after_blank, self._after_fence, self._after_indented = True, False, False
            return
        if not head.strip(" >\r"):
            self._after_blank = True
            self.span = self.formula = ""
            self.tag = self.tag if self._tag_in_block else ""
            return
        self._after_indented = self._is_indented(head)
        if not self._after_indented:
            self._update_items(head)
        self._after_blank = HEADING.match(head) is not None
        if self.formula == "$":
            self.formula = ""
        self.is_carried = bool(self.span)

    def _is_indented(self, head: str) -> bool:
        self.head = head
        indented = self.is_indented_code()
        self.head = ""
        return indented

    def _update_items(self, head: str) -> None:
        """Open and close the list items of a line."""
        indent = len(head) - len(head.lstrip(" "))
        found = LIST_ITEM.match(head)
        if found or self._after_blank or head.startswith("#"):
            self._items = [each for each in self._items if each <= indent]
        if found:
            self._items.append(found.end())

    def _update_tag(self) -> None:
        """Open or close an HTML element of code whose tag ends here."""
        found = TAG.search(self.tail, max(0, self.tail.rfind("<")))
        if found is None:
            return
        closes, name = bool(found[1]), found[2].lower()
        if closes and name == self.tag:
            self.tag = ""
        elif not closes and not self.tag:
            self.tag = name
            self._tag_in_block = name == "pre" and not self.head.partition("<")[0].strip()
