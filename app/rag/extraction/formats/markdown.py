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
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

FRONT_MATTER = re.compile(
    r"(?:---\n(?=(?:#[^\n]*\n)*[\w\"'][^:\n]*:(?:\s|\Z))(?P<yaml>.*?)\n(?:---|\.\.\.)"
    r"|\+\+\+\n(?=(?:#[^\n]*\n)*[\w\"'][^=\n]*=)(?P<toml>.*?)\n\+\+\+)[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
"""YAML or TOML, which begins with a key; what else stands between two rules is text."""
FRONT_MATTER_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(.+)$", re.MULTILINE)
NESTING = 100
"""Depth of lists and quotes; deeper ones are left out."""
DEFINITION = "definition"
"""Type of the tokens of definitions of links, which the parser itself does not keep."""
NOTE = re.compile(r"\[\^[^\]\s]+\]:")
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
    document = read_page(render(source[front.end() :] if front else source, limits), limits, keep_links=True)
    title = FRONT_MATTER_TITLE.search(front["yaml"] or front["toml"]) if front else None
    if title:
        document.title = clean_title(title[1].strip().strip("\"'")) or document.title
    return document


def render(source: str, limits: Limits) -> str:
    """Render Markdown to HTML. Tags that are not HTML's, such as `<name>`, are text.

    The address of a definition is rendered once, with the first link to it, or where it stands if there is none: any
    number of links may use it. A footnote is a paragraph. Pictures are their descriptions.

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

    used: set[str] = set()

    def link(
        _renderer: Any, tokens: Sequence[Token], place: int, _options: Any, _environment: MutableMapping[str, Any]
    ) -> str:
        token = tokens[place]
        label = token.meta.get("label")
        if label in used:
            return "<a>"
        if label:
            used.add(label)
        return "".join(["<a", *(f' {name}="{escapeHtml(str(value))}"' for name, value in token.attrs.items()), ">"])

    options = {"maxNesting": NESTING, "store_labels": True}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.block.ruler.at("reference", definition)
    parser.add_render_rule("html_inline", tag_or_text)
    parser.add_render_rule("html_block", tag_or_text)
    parser.add_render_rule("link_open", link)
    parser.add_render_rule("image", lambda _, tokens, place, *__: f'<img alt="{escapeHtml(tokens[place].content)}">')
    parser.add_render_rule("softbreak", lambda _, tokens, place, *__: "<br>" if is_note(tokens, place + 1) else "\n")
    budget = TokenBudget(limits.elements)
    parser.core.ruler.before("block", "count_blocks", budget.count_blocks)
    parser.core.ruler.before("inline", "count_inlines", budget.count_inlines)
    environment: dict[str, Any] = {}
    tokens = parser.parse(source, environment)
    linked = labels_of(tokens)
    parser.add_render_rule(
        DEFINITION,
        lambda _, tokens, place, *__: (
            "" if tokens[place].meta["label"] in linked else f"<p>{escapeHtml(tokens[place].content)}</p>"
        ),
    )
    return f"<body>{parser.renderer.render(tokens, parser.options, environment)}"


def definition(state: StateBlock, first_line: int, end_line: int, silent: bool) -> bool:
    """Parse a link's definition as CommonMark does, and append a token for it; a footnote is no definition."""
    from markdown_it.rules_block import reference

    start = state.bMarks[first_line] + state.tShift[first_line]
    known = len(state.env.get("references", ()))
    if state.src.startswith("[^", start) or not reference(state, first_line, end_line, silent):
        return False
    if not silent:
        references = state.env["references"]
        token = state.push(DEFINITION, "", 0)
        token.content = state.getLines(first_line, state.line, state.blkIndent, False).strip()
        token.meta = {"label": next(reversed(references)) if len(references) > known else None}
    return True


def labels_of(tokens: Sequence[Token]) -> set[str]:
    """Return the labels of the definitions that links use."""
    inline = (child for each in tokens for child in each.children or ())
    return {label for each in inline if each.type == "link_open" and (label := each.meta.get("label"))}


def is_note(tokens: Sequence[Token], place: int) -> bool:
    """Return whether the text at a place begins with the number of a footnote, as its definition does."""
    return place < len(tokens) and NOTE.match("".join(each.content for each in tokens[place : place + 3])) is not None


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
