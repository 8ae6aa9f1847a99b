"""HTML: the content of a page, without navigation, scripts and hidden text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line, table_row
from app.rag.extraction.errors import OUT_OF_MEMORY, TOO_DEEP, TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.html_cleaning import (
    remove_hidden,
    remove_surroundings,
    remove_unread,
    write_addresses,
    write_fields,
)
from app.rag.extraction.html_tables import COMPARED_ROWS, grid, header_of, rows_of
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decode_text

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

EXTENSIONS = ("html", "htm", "xhtml")
PROLOGUE = r"(?>(?><\?xml[^>]*>)|(?><!--.*?-->)|\s+)*+"
"""Declaration, comments and blanks that may precede a document's first tag."""
HTML_START = re.compile(PROLOGUE + r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)

NESTING_TAG = re.compile(
    r"<(/?)(?!(?:a|p|li|d[dt]|t[dhr]|tbody|thead|tfoot|option|area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)"
    r"([a-z][^\s<>/]*+)[^<>]*+(?<!/)>",
    re.IGNORECASE,
)
"""Tags of elements that are only closed by their own end tag, or that of an enclosing element."""
BLOCKS = frozenset(
    """address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption
    figure form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main ol optgroup option p pre section summary table
    tbody td tfoot th thead tr ul""".split()  # noqa: SIM905  one per line they would fill a page
)
INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
"""Soft hyphens and other places where a line may break."""
ROMAN = [
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL")),
    *((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
]
CONTEXTS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "li", "dt", "p", "dd"})


def read_html(content: bytes, limits: Limits, _report: ReportProgress, options: ReadOptions) -> TextBlocks:
    source = decode_text(content, limits, charset=options.charset, declared=True)
    return read_page(source, limits, keep_links=options.keep_links)


def read_page(source: str, limits: Limits, *, keep_links: bool = False) -> TextBlocks:
    """Read a page's content; if it has none, its navigation and the like are read instead."""
    for content_only in (True, False):
        page = parse(source, limits)
        remove_unread(page, noscript=content_only)
        if content_only:
            remove_hidden(page)
            remove_surroundings(page)
        write_fields(page)
        if keep_links:
            write_addresses(page)
        document = PageReader(limits).read(page)
        if document.blocks:
            break
    return document


def parse(source: str, limits: Limits) -> LexborHTMLParser:
    """Parse a page.

    Raises:
        ExtractionError: it has more elements, or deeper ones, than the limits, or there is not enough memory.
    """
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    if source.count("<") - source.count("</") > limits.elements:
        raise ExtractionError(TOO_MANY_ELEMENTS)
    if is_deeper(source, limits.nesting):
        raise ExtractionError(TOO_DEEP)
    try:
        return LexborHTMLParser(source)
    except SelectolaxError as error:  # any source is HTML, so only a lack of memory can be the cause
        raise ExtractionError(OUT_OF_MEMORY) from error


def is_deeper(source: str, limit: int) -> bool:
    """Return whether elements are nested deeper than `limit`: parsing takes time quadratic in the depth."""
    open_tags: list[str] = []
    open_counts: Counter[str] = Counter()
    for tag in NESTING_TAG.finditer(source):
        name = tag[2].lower()
        if not tag[1]:
            open_tags.append(name)
            open_counts[name] += 1
            if len(open_tags) > limit:
                return True
        while tag[1] and open_counts[name]:
            closed = open_tags.pop()
            open_counts[closed] -= 1
            if closed == name:
                break
    return False


@dataclass(slots=True)
class OpenList:
    """A list whose items are read."""

    style: str | None = None
    """The `type` of its numbers; None for a list without numbers."""
    next: int = 1
    step: int = 1

    @classmethod
    def of(cls, node: LexborNode) -> OpenList:
        """Return a list with the numbers that HTML gives it."""
        if node.tag == "ul":
            return cls()
        attributes = node.attributes
        start = integer(attributes.get("start"))
        if "reversed" not in attributes:
            return cls(attributes.get("type") or "1", 1 if start is None else start)
        items = sum(each.tag == "li" for each in node.iter())
        return cls(attributes.get("type") or "1", items if start is None else start, -1)

    def marker(self, item: LexborNode) -> str:
        """Return the mark of the next item."""
        if self.style is None:
            return "- "
        value = integer(item.attributes.get("value"))
        number = self.next if value is None else value
        self.next = number + self.step
        return f"{list_number(number, item.attributes.get('type') or self.style)}. "


def integer(text: str | None) -> int | None:
    """Return the integer that an attribute is; None if it is another text or far from the numbers of lists."""
    found = re.match(r"\s*([-+]?\d{1,9})", text or "")
    return int(found[1]) if found else None


def list_number(number: int, style: str) -> str:
    """Return a number in the style of a list: 1, a, A, i or I. Where a style ends, digits are used."""
    if style in {"a", "A"} and number > 0:
        letters = ""
        while number:
            number, place = divmod(number - 1, 26)
            letters = chr(ord(style) + place) + letters
        return letters
    if style in {"i", "I"} and 0 < number < 4000:
        roman = ""
        for value, numeral in ROMAN:
            roman += numeral * (number // value)
            number %= value
        return roman if style == "I" else roman.lower()
    return str(number)


class PageReader:
    """Reads a page in document order, without recursion: it may be nested deeper than Python's stack."""

    def __init__(self, limits: Limits) -> None:
        self._writer = BlockWriter(limits)
        self._inline: list[str] = []
        """Text since the last block began or ended."""
        self._contexts: list[str] = []
        """Open elements that determine the kind of a block."""
        self._lists: list[OpenList] = []
        self._marker = ""

    def read(self, page: LexborHTMLParser) -> TextBlocks:
        title = page.css_first("head > title")
        node: LexborNode | None = page.body
        while node is not None:
            child = node.first_child if self._enter(node) else None
            if child is None:
                child = self._leave_to_next(node)
            node = child
        self._flush()
        return self._writer.build(title.text() if title is not None else None)

    def _leave_to_next(self, node: LexborNode) -> LexborNode | None:
        """Leave a node and every ancestor that ends with it; return the next node, None at the end of the body."""
        current: LexborNode | None = node
        while current is not None and current.tag != "body":
            self._leave(current)
            if current.next is not None:
                return current.next
            current = current.parent
        return None

    def _enter(self, node: LexborNode) -> bool:
        """Start a node; return True to visit its children."""
        tag = node.tag or ""
        if node.is_text_node:
            self._inline.append(node.text_content or "")
        if tag not in BLOCKS:
            return node.is_element_node
        self._flush()
        if tag == "pre":
            self._writer.add(BlockKind.CODE, preformatted_text(node))
            return False
        if tag == "table" and (rows := rows_of(node)):
            self._write_table(node, rows)
            return False
        self._open(tag, node)
        return True

    def _open(self, tag: str, node: LexborNode) -> None:
        if tag in CONTEXTS:
            self._contexts.append(tag)
        if tag in {"ul", "ol"}:
            self._lists.append(OpenList.of(node))
        if tag == "li":
            indent = "  " * min(max(len(self._lists) - 1, 0), 8)
            self._marker = indent + (self._lists[-1].marker(node) if self._lists else "- ")

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag not in BLOCKS:
            return
        self._flush()
        if tag in CONTEXTS and self._contexts:
            self._contexts.pop()
        if tag in {"ul", "ol"} and self._lists:
            self._lists.pop()

    def _flush(self) -> None:
        """Write the gathered text as a block, whose kind follows from the open elements."""
        text = single_line(INVISIBLE.sub("", "".join(self._inline)))
        self._inline.clear()
        if not text:
            return
        context = self._contexts[-1] if self._contexts else "p"
        if context.startswith("h"):
            self._writer.add(BlockKind.HEADING, text, level=int(context[1]))
        elif "li" in self._contexts:
            self._writer.add(BlockKind.LIST, self._marker + text)
            self._marker = " " * len(self._marker)
        else:
            self._writer.add(BlockKind.PARAGRAPH, text, introduces=context == "dt")

    def _write_table(self, node: LexborNode, rows: Sequence[LexborNode]) -> None:
        caption = node.css_first("caption")
        if caption is not None:
            self._writer.add(BlockKind.PARAGRAPH, single_line(flat_text(caption)), introduces=True)
        first: list[Sequence[str]] = []
        lines: list[str] = []
        try:
            for cells in self._writer.within_limits(grid(rows, cell_text)):
                if len(first) < COMPARED_ROWS:
                    first.append(cells)
                lines.append(table_row(cells))
        finally:  # the rows before a limit are kept
            header = header_of(rows[:COMPARED_ROWS], first) if first else []
            self._writer.add(BlockKind.TABLE, "\n".join(filter(None, lines)), header=table_row(header))


def cell_text(cell: LexborNode) -> str:
    return single_line(INVISIBLE.sub("", flat_text(cell)))


def flat_text(node: LexborNode) -> str:
    """Return all text within a node, with the numbers of its lists, and blanks where a block begins or ends."""
    parts: list[str] = []
    lists: dict[int, OpenList] = {}
    for each in node.traverse(include_text=True):
        previous = each.prev
        if each.tag in BLOCKS or (previous is not None and previous.tag in BLOCKS):
            parts.append(" ")
        if each.tag == "li" and each.parent is not None and each.parent.tag == "ol":
            owner = each.parent
            numbers = lists[owner.mem_id] if owner.mem_id in lists else OpenList.of(owner)
            lists[owner.mem_id] = numbers
            parts.append(numbers.marker(each))
        if each.is_text_node:
            parts.append(each.text_content or "")
    return "".join(parts)


def preformatted_text(node: LexborNode) -> str:
    """Return the text of a `pre` with its line breaks."""
    parts = [
        each.text_content or "" if each.is_text_node else "\n" * (each.tag == "br") for each in node.traverse(True)
    ]
    return "".join(parts)


def is_html(text: str, extension: str) -> bool:
    """Return whether a text begins as HTML, or has tags and HTML's extension."""
    return HTML_START.match(text) is not None or (extension in EXTENSIONS and "<" in text)


FORMAT = Format("text/html", EXTENSIONS, read_html, libraries=("selectolax.lexbor",), matches_text=is_html)
