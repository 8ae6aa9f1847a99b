"""HTML: what a reader of the page would read, without what surrounds it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from app.rag.extraction.blocks import BlockWriter, Kind, TextBlocks, folded
from app.rag.extraction.errors import OUT_OF_MEMORY, TOO_DEEP, TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decoded

NEVER_READ = "script, style, template, noscript, svg, math annotation, iframe, object, canvas, button, select, textarea"
HIDDEN = '[hidden], [aria-hidden="true"], [style*="display:none"], [style*="display: none"]'
LANDMARKS = 'nav, footer, menu, [role="navigation"], [role="banner"], [role="contentinfo"], [role="search"]'
AROUND = re.compile(
    r"(?:^|\s)(?:(?:top|side|page|site)?-?nav(?:bar|header|footer|igation|-?menu)?|breadcrumbs?|(?:site-|page-)?footer|sidebar"
    r"|cookie-?(?:banner|consent|notice)|skip-?(?:link|to-content)|toc)(?=\s|$)",
    re.IGNORECASE,
)
"""Classes and ids of what surrounds a page's content."""

NESTING = re.compile(
    r"<(/?)(?!(?:a|p|li|d[dt]|t[dhr]|tbody|thead|tfoot|option|area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)"
    r"([a-z][^\s<>/]*+)[^<>]*+(?<!/)>",
    re.IGNORECASE,
)
"""Tags of elements that only their own end, or that of one around them, closes."""
BLOCKS = frozenset(
    """address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption
    figure form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main ol optgroup option p pre section summary table
    tbody td tfoot th thead tr ul""".split()  # noqa: SIM905  one a line they would fill a page
)
CONTEXTS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "li", "dt", "p", "dd"})


def read_html(content: bytes, limits: Limits) -> TextBlocks:
    """The draft of a page."""
    return draft_of(decoded(content, limits, declared=True), limits)


def draft_of(source: str, limits: Limits) -> TextBlocks:
    """The draft of a page's source; where there is nothing but surroundings, they are read."""
    for selectors in ((NEVER_READ, HIDDEN, LANDMARKS), (NEVER_READ,)):
        page = parsed(source, limits)
        for selector in selectors:
            for node in page.css(selector):
                node.decompose()
        if LANDMARKS in selectors:
            drop_surroundings(page)
        draft = Page(limits).read(page)
        if draft.blocks:
            break
    return draft


def parsed(source: str, limits: Limits) -> LexborHTMLParser:
    """The page of a source; there is nothing that is no HTML, so that only memory can be wanting.

    Raises:
        Unreadable: it has more elements, or more of them within each other, than the limits.
    """
    if source.count("<") - source.count("</") > limits.elements:
        raise ExtractionError(TOO_MANY_ELEMENTS)
    if is_deeper(source, limits.nesting):
        raise ExtractionError(TOO_DEEP)
    try:
        return LexborHTMLParser(source)
    except SelectolaxError as error:
        raise ExtractionError(OUT_OF_MEMORY) from error


def is_deeper(source: str, limit: int) -> bool:
    """Return whether more elements are open within each other than `limit`: parsing is quadratic in their number."""
    names: list[str] = []
    opened: Counter[str] = Counter()
    for tag in NESTING.finditer(source):
        name = tag[2].lower()
        if not tag[1]:
            names.append(name)
            opened[name] += 1
            if len(names) > limit:
                return True
        while tag[1] and opened[name]:
            ended = names.pop()
            opened[ended] -= 1
            if ended == name:
                break
    return False


def drop_surroundings(page: LexborHTMLParser) -> None:
    """Takes out banners, side bars and what is named as such."""
    for node in page.css("header, aside"):
        content = node.css_first("h1") if node.tag == "header" else None
        if content is None and not is_within(node, "article", "main", "section"):
            node.decompose()
    for node in page.css("[class], [id]"):
        named = f"{node.attributes.get('class') or ''} {node.attributes.get('id') or ''}"
        if node.tag not in {"html", "body", "main", "article"} and AROUND.search(named):
            node.decompose()


def is_within(node: LexborNode, *tags: str) -> bool:
    """Whether an element above has one of the tags."""
    above = node.parent
    while above is not None and above.tag not in tags:
        above = above.parent
    return above is not None


class Page:
    """Goes through a page in order, without recursion: it may be nested deeper than a stack."""

    def __init__(self, limits: Limits) -> None:
        self._writer = BlockWriter(limits)
        self._inline: list[str] = []
        self._open: list[str] = []
        """Elements around the place that say what text is; and lists, to know an item's depth and number."""
        self._numbers: list[int | None] = []
        self._marker = ""

    def read(self, page: LexborHTMLParser) -> TextBlocks:
        """The draft of the page."""
        title = page.css_first("head > title")
        node: LexborNode | None = page.body
        while node is not None:
            child = node.first_child if self._enter(node) else None
            if child is None:
                child = self._leave_to_next(node)
            node = child
        self._flush()
        return self._writer.draft(title.text() if title is not None else None)

    def _leave_to_next(self, node: LexborNode) -> LexborNode | None:
        here: LexborNode | None = node
        while here is not None and here.tag != "body":
            self._leave(here)
            if here.next is not None:
                return here.next
            here = here.parent
        return None

    def _enter(self, node: LexborNode) -> bool:
        """Takes a node up; gives whether its children are to be read."""
        tag = node.tag or ""
        if node.is_text_node:
            self._inline.append(node.text_content or "")
        if tag not in BLOCKS:
            return node.is_element_node
        self._flush()
        if tag == "pre":
            self._writer.add(Kind.CODE, preformatted(node))
            return False
        if tag == "table" and (rows := rows_of(node)):
            self._table(node, rows)
            return False
        self._begin(tag)
        return True

    def _begin(self, tag: str) -> None:
        if tag in CONTEXTS:
            self._open.append(tag)
        if tag in {"ul", "ol"}:
            self._numbers.append(0 if tag == "ol" else None)
        if tag == "li":
            self._marker = self._next_marker()

    def _next_marker(self) -> str:
        if not self._numbers:
            return "- "
        indent = "  " * min(len(self._numbers) - 1, 8)
        number = self._numbers[-1]
        if number is None:
            return f"{indent}- "
        self._numbers[-1] = number + 1
        return f"{indent}{number + 1}. "

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag not in BLOCKS:
            return
        self._flush()
        if tag in CONTEXTS and self._open:
            self._open.pop()
        if tag in {"ul", "ol"} and self._numbers:
            self._numbers.pop()

    def _flush(self) -> None:
        """Writes the text that was gathered, as what it is by the elements around it."""
        text = folded("".join(self._inline))
        self._inline.clear()
        if not text:
            return
        context = self._open[-1] if self._open else "p"
        if context.startswith("h"):
            self._writer.add(Kind.HEADING, text, level=int(context[1]))
        elif "li" in self._open:
            self._writer.add(Kind.LIST, self._marker + text)
            self._marker = " " * len(self._marker)
        else:
            self._writer.add(Kind.PARAGRAPH, text, leads=context == "dt")

    def _table(self, node: LexborNode, rows: Sequence[LexborNode]) -> None:
        caption = node.css_first("caption")
        if caption is not None:
            self._writer.add(Kind.PARAGRAPH, folded(flat(caption)), leads=True)
        heads = all(cell.tag == "th" for cell in cells_of(rows[0]))
        self._writer.add_table(([flat(cell) for cell in cells_of(each)] for each in rows), headed=heads)


def rows_of(table: LexborNode) -> list[LexborNode]:
    """The rows of a table of data; none of one that only arranges a page, which has one column or tables within it."""
    if any(each.mem_id != table.mem_id for each in table.css("table")):
        return []
    rows = [each for each in table.css("tr") if next(cells_of(each), None) is not None]
    return rows if any(len(list(cells_of(each))) > 1 for each in rows) else []


def cells_of(line: LexborNode) -> Iterator[LexborNode]:
    """The cells of a row."""
    return (cell for cell in line.iter() if cell.tag in {"td", "th"})


def flat(node: LexborNode) -> str:
    """All text within, with blanks where a block begins or ends."""
    parts: list[str] = []
    for each in node.traverse(include_text=True):
        before = each.prev
        if each.tag in BLOCKS or (before is not None and before.tag in BLOCKS):
            parts.append(" ")
        if each.is_text_node:
            parts.append(each.text_content or "")
    return "".join(parts)


def preformatted(node: LexborNode) -> str:
    """The text of a `pre`, line by line."""
    parts = [
        each.text_content or "" if each.is_text_node else "\n" * (each.tag == "br") for each in node.traverse(True)
    ]
    return "".join(parts)
