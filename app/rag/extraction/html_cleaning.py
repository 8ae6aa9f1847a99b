"""Preparation of an HTML page: what is not read goes, what is not text becomes text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.rag.extraction.blocks import single_line

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

NEVER_READ = "script, style, template, svg, math annotation, iframe, object, canvas, rt, rp, rtc, datalist"
HIDDEN = '[hidden]:not([hidden="until-found"])'
HIDDEN_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
OFFERED_BUTTONS = ", ".join(
    f"{each} button" for each in ("h1", "h2", "h3", "h4", "h5", "h6", "dt", "summary", "legend", "th", "td", "label")
)
"""Buttons that are content: those that open a section under their name, and cells."""
NAVIGATION = 'nav, menu, [role="navigation"], [role="search"]'
LANDMARKS = 'header, footer, aside, [role="banner"], [role="contentinfo"], [role="complementary"]'
NAMED_NAVIGATION = re.compile(
    r"(?:^|\s)(?:(?:top|side|page|site)?-?nav(?:bar|header|footer|igation|-?menu)?|breadcrumbs?"
    r"|skip-?(?:link|to-content)|toc)(?=\s|$)",
    re.IGNORECASE,
)
NAMED_SURROUNDING = re.compile(
    r"(?:^|\s)(?:(?:site-|page-)?footer|sidebar|cookie-?(?:banner|consent|notice))(?=\s|$)", re.IGNORECASE
)
"""Classes and ids that are used for navigation, side bars and footers, but for other things as well."""
CONTENT = "h1, main, article"
SENTENCE = re.compile(
    r"(?<=[^.!?\u3002]{24})[^\W\dA-Z][\"\u201d)]?[.!?](?=\s|$)|(?<=[^\u3002]{8})[\u3002\u0964\u061f\u06d4]"
)
"""The end of a sentence that is not a label; only the characters right before it are read, so a search is linear."""
COPYRIGHT = re.compile(r"\s*(?:\u00a9|\(c\)|copyright\b)", re.IGNORECASE)
PARAGRAPH_CHARACTERS = 40
LABEL_CHARACTERS = 60
COPYRIGHT_CHARACTERS = 200
HIDDEN_COPY_CHARACTERS = 200
"""Longer text that is only hidden from screen readers is read: it is visible."""

UNREAD_INPUTS = frozenset({"hidden", "submit", "button", "reset", "password", "image", "file", "search", "range"})
FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|webp|bmp|tiff?|svg|avif)\W*$", re.IGNORECASE)
NO_ADDRESS = re.compile(r"#|javascript:|data:|blob:", re.IGNORECASE)
MAX_ADDRESS = 2000
"""Characters of an address that is kept; longer ones carry data."""


def remove_unread(page: LexborHTMLParser, *, noscript: bool) -> None:
    """Remove scripts, styles, buttons and the like; with `noscript` also what stands in for scripts."""
    remove(page, NEVER_READ + (", noscript" if noscript else ""))
    offered = {each.mem_id for each in page.css(OFFERED_BUTTONS)}
    remove(page, "button:not([aria-expanded])", lambda node: node.mem_id not in offered)


def remove_hidden(page: LexborHTMLParser) -> None:
    """Remove what a browser does not show, and short text that screen readers leave out."""
    remove(page, HIDDEN)
    remove(page, "[style]", lambda node: HIDDEN_STYLE.search(node.attributes.get("style") or "") is not None)
    remove(page, '[aria-hidden="true"]', lambda node: len(node.text()) <= HIDDEN_COPY_CHARACTERS)


def remove_surroundings(page: LexborHTMLParser) -> None:
    """Remove navigation, and headers, footers and side bars without text of their own, whatever they are named."""
    remove(page, NAVIGATION, lambda node: is_surrounding(node) or is_wordless(node))
    remove(page, LANDMARKS, is_surrounding)
    remove(page, "[class], [id]", lambda node: is_named(node, NAMED_SURROUNDING) and is_surrounding(node))
    remove(
        page,
        "[class], [id]",
        lambda node: (
            is_named(node, NAMED_NAVIGATION)
            and (is_surrounding(node) or (node.css_first("a") is not None and is_wordless(node)))
        ),
    )


def remove(page: LexborHTMLParser, selector: str, unwanted: Callable[[LexborNode], bool] | None = None) -> None:
    """Remove the elements that a selector matches, if they are unwanted; none is visited after it has gone."""
    gone: set[int] = set()
    for node in page.css(selector):
        if node.mem_id in gone or node.tag in {"html", "body", "main", "article"}:
            continue
        if unwanted is None or unwanted(node):
            gone.update(each.mem_id for each in node.traverse(include_text=False))
            node.decompose()


def is_named(node: LexborNode, names: re.Pattern[str]) -> bool:
    return names.search(f"{node.attributes.get('class') or ''} {node.attributes.get('id') or ''}") is not None


def is_wordless(node: LexborNode) -> bool:
    """Return whether an element has no sentences, and is not around the page's content."""
    if node.css_first(CONTENT) is not None or SENTENCE.search(single_line(node.text(separator=" "))):
        return False
    return not any(len(each.text()) >= PARAGRAPH_CHARACTERS for each in node.css("p"))


def is_surrounding(node: LexborNode) -> bool:
    """Return whether an element is mostly links, or a label or a copyright alone."""
    if node.css_first(CONTENT) is not None:
        return False
    text = single_line(node.text(separator=" "))
    linked = sum(len(single_line(each.text(separator=" "))) for each in node.css("a, button"))
    if linked * 2 >= len(text):
        return True
    if COPYRIGHT.match(text):
        return len(text) <= COPYRIGHT_CHARACTERS
    is_label = len(text) <= LABEL_CHARACTERS and not any(each.isdigit() or each in ".!?:@" for each in text)
    return is_label and node.css_first("p, li, dd, table, pre, h2, h3, h4, h5, h6") is None


def write_fields(page: LexborHTMLParser) -> None:
    """Replace form fields by their values, pictures by their descriptions, and mark exponents."""
    for field in page.css("select"):
        chosen = [each.text() for each in field.css("option[selected]")]
        field.replace_with(f" {', '.join(chosen)} ")
    for field in page.css("input"):
        field.replace_with(f" {value_of(field)} ")
    for picture in page.css("img"):
        picture.replace_with(f" {description_of(picture)} ")
    for raised in page.css("sup"):
        before = raised.prev.text_content or "" if raised.prev is not None and raised.prev.is_text_node else ""
        if re.fullmatch(r"[-+\u2212]?\d+", raised.text().strip()):
            if before[-1:].isdigit():
                raised.insert_before("^")
            elif before[-3:].isalpha() and len(before) > 2:  # a note's number, not a unit's exponent
                raised.insert_before(" ")


def value_of(field: LexborNode) -> str:
    """Return the visible value of an input; ☒ or ☐ for a box, nothing for buttons and secrets."""
    kind = (field.attributes.get("type") or "text").lower()
    if kind in {"checkbox", "radio"}:
        return "\u2612" if "checked" in field.attributes else "\u2610"
    return "" if kind in UNREAD_INPUTS else field.attributes.get("value") or ""


def description_of(picture: LexborNode) -> str:
    """Return a picture's alternative text, if it is not the name of a file or a single word."""
    text = single_line(picture.attributes.get("alt") or "")
    return "" if FILE_NAME.search(text) or (text.isascii() and " " not in text) else text


def write_addresses(page: LexborHTMLParser) -> None:
    """Append to each link its address and title in parentheses, unless it is within the page or is the link's text."""
    for link in page.css("a[href]"):
        address = (link.attributes["href"] or "").strip()
        if address and len(address) <= MAX_ADDRESS and not NO_ADDRESS.match(address):
            text, title = link.text(), single_line(link.attributes.get("title") or "")
            if text.strip() and address.removeprefix("mailto:") not in text:
                link.insert_child(f" ({address} \u201c{title}\u201d)" if title else f" ({address})")
