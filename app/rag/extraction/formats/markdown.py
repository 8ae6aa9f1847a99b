"""Markdown: rendered, and read as the page that it makes."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.html_blocks import block_names
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from app.rag.extraction.blocks import TextBlocks, title_of
from app.rag.extraction.errors import TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.formats import html
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decoded

FRONT_MATTER = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)(?:\n|\Z)", re.DOTALL)
FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
NESTING = 100
"""Of lists and quotes; what is within more is no text."""
TAG = re.compile(r"</?([a-z][a-z0-9]*)\b|<!--", re.IGNORECASE)
INLINE_TAGS = frozenset(
    """a abbr audio b bdi bdo big br button cite code data del dfn em font i img input ins kbd label mark
    picture pre q rp rt ruby s samp script small span
    strike strong style sub sup svg textarea time tt u var video wbr""".split()  # noqa: SIM905
)


def read_markdown(content: bytes, limits: Limits) -> TextBlocks:
    """The draft of a Markdown file: CommonMark with tables. Its front matter gives a title and is no text."""
    source = decoded(content, limits)
    front = FRONT_MATTER.match(source)
    draft = html.draft_of(rendered(source[front.end() :] if front else source, limits), limits)
    named = FRONT_TITLE.search(front[1]) if front else None
    if named:
        draft.title = title_of(named[1].strip().strip("\"'")) or draft.title
    return draft


def rendered(source: str, limits: Limits) -> str:
    """The page that the source makes; what looks like a tag but is none of HTML's, such as `<name>`, is text.

    Addresses and titles of links are left out: they are not read, and one definition serves any number of links.

    Raises:
        Unreadable: it has more elements than the limit.
    """
    parser = MarkdownIt("commonmark", {"maxNesting": NESTING}).enable(["table", "strikethrough"])
    parser.add_render_rule("html_inline", tag_or_text)
    parser.add_render_rule("html_block", tag_or_text)
    parser.add_render_rule("link_open", lambda *_: "<a>")
    parser.add_render_rule("image", lambda *_: "")
    budget = Budget(limits.elements)
    parser.core.ruler.before("block", "bound_blocks", budget.bound_blocks)
    parser.core.ruler.before("inline", "bound_inlines", budget.bound_inlines)
    return f"<body>{parser.render(source)}"


class Budget:
    """Counts the tokens of a source while the parser makes them."""

    def __init__(self, elements: int) -> None:
        self._left = elements

    def take(self) -> None:
        """Takes one of the tokens that are left.

        Raises:
            Unreadable: there is none.
        """
        if self._left == 0:
            raise ExtractionError(TOO_MANY_ELEMENTS)
        self._left -= 1

    def bound_blocks(self, state: StateCore) -> None:
        """Has the blocks counted that are parsed next."""
        state.tokens = Tokens(self)

    def bound_inlines(self, state: StateCore) -> None:
        """Has what is within blocks counted when it is parsed next."""
        for token in state.tokens:
            if token.type == "inline":
                token.children = Tokens(self)


class Tokens(list[Token]):
    """Tokens that are counted as the parser appends them."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget

    def append(self, token: Token) -> None:
        """Appends one that the budget has left."""
        self._budget.take()
        super().append(token)


def tag_or_text(
    _renderer: Any, tokens: Sequence[Token], place: int, _options: Any, _environment: MutableMapping[str, Any]
) -> str:
    """A piece of HTML within Markdown, escaped where it is none."""
    content = tokens[place].content
    tag = TAG.match(content.lstrip())
    known = tag is not None and (tag[1] is None or tag[1].lower() in INLINE_TAGS or tag[1].lower() in block_names)
    return content if known else escapeHtml(content)
