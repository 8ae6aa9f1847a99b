"""Markdown: rendered to HTML, which is then read."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from app.rag.extraction.blocks import TextBlocks, clean_title
from app.rag.extraction.errors import TOO_MANY_ELEMENTS, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.formats.html import read_page
from app.rag.extraction.limits import Limits
from app.rag.extraction.text_decoding import decode_text

if TYPE_CHECKING:
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

FRONT_MATTER = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)(?:\n|\Z)", re.DOTALL)
FRONT_MATTER_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
NESTING = 100
"""Depth of lists and quotes; deeper ones are left out."""
TAG = re.compile(r"</?([a-z][a-z0-9]*)\b|<!--", re.IGNORECASE)
INLINE_TAGS = frozenset(
    """a abbr audio b bdi bdo big br button cite code data del dfn em font i img input ins kbd label mark
    picture pre q rp rt ruby s samp script small span
    strike strong style sub sup svg textarea time tt u var video wbr""".split()  # noqa: SIM905
)


def read_markdown(content: bytes, limits: Limits, _report: ReportProgress, options: ReadOptions) -> TextBlocks:
    """Read CommonMark with tables. Front matter gives the title and is no text."""
    source = decode_text(content, limits, charset=options.charset)
    front = FRONT_MATTER.match(source)
    document = read_page(render(source[front.end() :] if front else source, limits), limits)
    title = FRONT_MATTER_TITLE.search(front[1]) if front else None
    if title:
        document.title = clean_title(title[1].strip().strip("\"'")) or document.title
    return document


def render(source: str, limits: Limits) -> str:
    """Render Markdown to HTML. Tags that are not HTML's, such as `<name>`, are text.

    Addresses and titles of links are left out: they are not read, and one definition serves any number of links.

    Raises:
        ExtractionError: it has more elements than the limit.
    """
    from markdown_it import MarkdownIt
    from markdown_it.common.html_blocks import block_names
    from markdown_it.common.utils import escapeHtml

    tags = INLINE_TAGS.union(block_names)

    def tag_or_text(
        _renderer: Any, tokens: Sequence[Token], place: int, _options: Any, _environment: MutableMapping[str, Any]
    ) -> str:
        content = tokens[place].content
        tag = TAG.match(content.lstrip())
        return content if tag and (tag[1] is None or tag[1].lower() in tags) else escapeHtml(content)

    parser = MarkdownIt("commonmark", {"maxNesting": NESTING}).enable(["table", "strikethrough"])
    parser.add_render_rule("html_inline", tag_or_text)
    parser.add_render_rule("html_block", tag_or_text)
    parser.add_render_rule("link_open", lambda *_: "<a>")
    parser.add_render_rule("image", lambda *_: "")
    budget = TokenBudget(limits.elements)
    parser.core.ruler.before("block", "count_blocks", budget.count_blocks)
    parser.core.ruler.before("inline", "count_inlines", budget.count_inlines)
    return f"<body>{parser.render(source)}"


class TokenBudget:
    """Bounds the number of tokens while the parser appends them."""

    def __init__(self, tokens: int) -> None:
        self._left = tokens

    def spend(self) -> None:
        """Count one token.

        Raises:
            ExtractionError: there are more than the limit.
        """
        if self._left == 0:
            raise ExtractionError(TOO_MANY_ELEMENTS)
        self._left -= 1

    def count_blocks(self, state: StateCore) -> None:
        """Count the blocks that the parser's next rule appends."""
        state.tokens = CountedTokens(self)

    def count_inlines(self, state: StateCore) -> None:
        """Count the tokens within blocks that the parser's next rule appends."""
        for token in state.tokens:
            if token.type == "inline":
                token.children = CountedTokens(self)


class CountedTokens(list["Token"]):
    """A list whose growth is charged to a `TokenBudget`."""

    def __init__(self, budget: TokenBudget) -> None:
        super().__init__()
        self._budget = budget

    def append(self, token: Token) -> None:
        self._budget.spend()
        super().append(token)


FORMAT = Format("text/markdown", ("md", "markdown"), read_markdown, libraries=("markdown_it",))
