"""HTML: the content of a page, without navigation, scripts and hidden text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.rag.extraction.blocks import BlockKind, BlockWriter, TextBlocks, single_line
from app.rag.extraction.errors import OUT_OF_MEMORY, TOO_DEEP, TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decode_text

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

EXTENSIONS = ("html", "htm", "xhtml")
PROLOGUE = r"(?>(?><\?xml[^>]*>)|(?><!--.*?-->)|\s+)*+"
"""Declaration, comments and blanks that may precede a document's first tag."""
HTML_START = re.compile(PROLOGUE + r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)

NEVER_READ = "script, style, template, noscript, svg, math annotation, iframe, object, canvas, button, select, textarea"
HIDDEN = '[hidden], [aria-hidden="true"], [style*="display:none"], [style*="display: none"]'
LANDMARKS = 'nav, footer, menu, [role="navigation"], [role="banner"], [role="contentinfo"], [role="search"]'
SURROUNDINGS = re.compile(
    r"(?:^|\s)(?:(?:top|side|page|site)?-?nav(?:bar|header|footer|igation|-?menu)?|breadcrumbs?|(?:site-|page-)?footer|sidebar"
    r"|cookie-?(?:banner|consent|notice)|skip-?(?:link|to-content)|toc)(?=\s|$)",
    re.IGNORECASE,
)
"""Classes and ids of navigation, side bars and footers."""

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
NO_ADDRESS = re.compile(r"#|javascript:|data:|blob:", re.IGNORECASE)
MAX_ADDRESS = 2000
"""Characters of an address that is kept; longer ones carry data."""
CONTEXTS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "li", "dt", "p", "dd"})


def read_html(content: bytes, limits: Limits, _report: ReportProgress, options: ReadOptions) -> TextBlocks:
    source = decode_text(content, limits, charset=options.charset, declared=True)
    return read_page(source, limits, keep_links=options.keep_links)


def read_page(source: str, limits: Limits, *, keep_links: bool = False) -> TextBlocks:
    """Read a page's content; if it has none, its navigation and the like are read instead."""
    for selectors in ((NEVER_READ, HIDDEN, LANDMARKS), (NEVER_READ,)):
        page = parse(source, limits)
        for selector in selectors:
            for node in page.css(selector):
                node.decompose()
        if LANDMARKS in selectors:
            remove_surroundings(page)
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


def remove_surroundings(page: LexborHTMLParser) -> None:
    """Remove page headers, asides, and elements whose class or id names them as navigation or the like."""
    for node in page.css("header, aside"):
        content = node.css_first("h1") if node.tag == "header" else None
        if content is None and not is_within(node, "article", "main", "section"):
            node.decompose()
    for node in page.css("[class], [id]"):
        names = f"{node.attributes.get('class') or ''} {node.attributes.get('id') or ''}"
        if node.tag not in {"html", "body", "main", "article"} and SURROUNDINGS.search(names):
            node.decompose()


def write_addresses(page: LexborHTMLParser) -> None:
    """Append to each link its address in parentheses, unless it is within the page or is the link's text."""
    for link in page.css("a[href]"):
        address = (link.attributes["href"] or "").strip()
        if address and len(address) <= MAX_ADDRESS and not NO_ADDRESS.match(address):
            text = link.text()
            if text.strip() and address.removeprefix("mailto:") not in text:
                link.insert_child(f" ({address})")


def is_within(node: LexborNode, *tags: str) -> bool:
    """Return whether an ancestor has one of the tags."""
    ancestor = node.parent
    while ancestor is not None and ancestor.tag not in tags:
        ancestor = ancestor.parent
    return ancestor is not None


class PageReader:
    """Reads a page in document order, without recursion: it may be nested deeper than Python's stack."""

    def __init__(self, limits: Limits) -> None:
        self._writer = BlockWriter(limits)
        self._inline: list[str] = []
        """Text since the last block began or ended."""
        self._contexts: list[str] = []
        """Open elements that determine the kind of a block."""
        self._list_numbers: list[int | None] = []
        """For each open list the number of its last item; None for one without numbers."""
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
        self._open(tag)
        return True

    def _open(self, tag: str) -> None:
        if tag in CONTEXTS:
            self._contexts.append(tag)
        if tag in {"ul", "ol"}:
            self._list_numbers.append(0 if tag == "ol" else None)
        if tag == "li":
            self._marker = self._next_marker()

    def _next_marker(self) -> str:
        if not self._list_numbers:
            return "- "
        indent = "  " * min(len(self._list_numbers) - 1, 8)
        number = self._list_numbers[-1]
        if number is None:
            return f"{indent}- "
        self._list_numbers[-1] = number + 1
        return f"{indent}{number + 1}. "

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag not in BLOCKS:
            return
        self._flush()
        if tag in CONTEXTS and self._contexts:
            self._contexts.pop()
        if tag in {"ul", "ol"} and self._list_numbers:
            self._list_numbers.pop()

    def _flush(self) -> None:
        """Write the gathered text as a block, whose kind follows from the open elements."""
        text = single_line("".join(self._inline))
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
        heads = all(cell.tag == "th" for cell in cells_of(rows[0]))
        self._writer.add_table(([flat_text(cell) for cell in cells_of(each)] for each in rows), headed=heads)


def rows_of(table: LexborNode) -> list[LexborNode]:
    """Return the rows of a data table; none of a layout table, which has one column or contains tables."""
    if any(each.mem_id != table.mem_id for each in table.css("table")):
        return []
    rows = [each for each in table.css("tr") if next(cells_of(each), None) is not None]
    return rows if any(len(list(cells_of(each))) > 1 for each in rows) else []


def cells_of(row: LexborNode) -> Iterator[LexborNode]:
    return (cell for cell in row.iter() if cell.tag in {"td", "th"})


def flat_text(node: LexborNode) -> str:
    """Return all text within a node, with blanks where a block begins or ends."""
    parts: list[str] = []
    for each in node.traverse(include_text=True):
        previous = each.prev
        if each.tag in BLOCKS or (previous is not None and previous.tag in BLOCKS):
            parts.append(" ")
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
