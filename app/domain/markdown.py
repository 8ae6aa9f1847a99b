"""Plain text from markdown lines, and shortening between words or graphemes."""

from __future__ import annotations

import re
from itertools import takewhile

import regex

_ELLIPSIS = "\u2026"
# Characters of a line that are read: a title needs sixty, the rest is room for marks and addresses.
MAX_LINE_CHARACTERS = 1_000
# Lines that are searched for text.
_MAX_LINES = 1_000

# Invisible, and of no use in a title: control characters that are not white space, soft hyphen, zero-width
# space, word joiner, byte order mark; bidi embeddings, overrides and isolates, which a cut would leave open;
# surrogates, which cannot be stored; and the noncharacters that shield verbatim text below.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufdd0-\ufdef\ud800-\udfff]+"
)
# Invisible alone, but they shape or direct their neighbours (UAX 44, Default_Ignorable_Code_Point).
_INVISIBLE = (
    "\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
)
VISIBLE = re.compile(rf"[^\s{_INVISIBLE}]")
# Text is more than punctuation, so every rule, table separator, bare list mark or lone brace has none.
TEXT = re.compile(rf"[^\s!-/:-@\[-`{{-~\u2010-\u2027\u2500-\u257f{_INVISIBLE}]")

FENCE = re.compile(r"(`{3,}+|~{3,}+)[^`~]*\Z")
# A `>` before these is a comparison or a face.
_BLOCK_MARKS = re.compile(
    r"(?:#{1,6} "
    r"|>(?![=\d.:;_<]) ?"
    r"|[-*+\u2022] (?:\[[ xX]\] )?"
    r"|\d{1,3}[.)] )++"
)

_INLINE = re.compile(r"[*_`~\\\[]")
_VERBATIM = re.compile(r"\\([*_~`#])|(?<!`)(`++)([^`]++)\2(?!`)")
_MARKS = "*_~`[]()!\\#"
_SHIELDED = "".join(chr(0xFDD0 + n) for n in range(len(_MARKS)))
_SHIELD = str.maketrans(_MARKS, _SHIELDED)
_UNSHIELD = str.maketrans(_SHIELDED, _MARKS)
# An address may hold one level of parentheses; one that runs on past the line's bound is left out too.
_LINK = re.compile(
    r"!?(?<![0-9A-Za-z_\]])\[((?:[^\[\]]|\[[^\[\]]*+\])*+)\]"
    r"\((?:(?:[^()]|\([^()]*+\))*+\)|\S{300,}\Z)"
)
# `*` with one of these is a character of its own, not a mark: an accent, a keycap.
_JOINED = "\u0300-\u036f\u20d0-\u20ff\ufe0e\ufe0f"
# Narrower than CommonMark where code is more likely than emphasis: a*b*c, src/*.c, .*, obj.__dict__.
# Neighbours are ASCII for `*`, for Chinese and Japanese are emphasised without spaces around.
_EMPHASIS = re.compile(
    rf"(?<![0-9A-Za-z)\]/.*])(\*{{1,3}}+)(?![\s{_JOINED}])([^*]++)(?<!\s)\1(?![0-9A-Za-z*{_JOINED}]|\.\w)"
    rf"|(?<![\w.])(_{{1,3}}+)(?![\s{_JOINED}])((?:[^_]|(?<=[^\W_])_(?=[^\W_]))++)(?<!\s)\3"
    rf"(?![\w({_JOINED}]|\.\w)"
    r"|(?<!~)~~(?![\s~])([^~]++)(?<!\s)~~(?!~)"
)
# Marks nest: an image inside a link, emphasis inside strong emphasis.
_INLINE_PASSES = (*((_LINK, r"\1"),) * 2, *((_EMPHASIS, r"\2\4\5"),) * 3)

# Not left dangling before the ellipsis; dashes and commas of other scripts among them.
_DANGLING = " ,;:-.([{\u2013\u2014\u2026\u060c\u061b\u3001\uff0c\uff1a\uff1b"

_GRAPHEME = regex.compile(r"\X")


def first_text(message: str) -> str | None:
    """Return the first line with text, without marks except inside a code fence; None where no line has text."""
    fence = ""
    for raw in message.lstrip().splitlines()[:_MAX_LINES]:
        line = folded(raw.lstrip()[:MAX_LINE_CHARACTERS])
        if fence:
            if TEXT.search(line):
                return line
            fence = "" if line.startswith(fence) and not line.strip(fence[0]) else fence
            continue
        line = without_block_marks(line)
        if opened := FENCE.match(line):
            fence = opened[1]
        elif TEXT.search(line) and TEXT.search(line := without_inline_marks(line)):
            return line
    return None


def plain_line(raw: str) -> str:
    """Return a line without its markdown marks; a code fence has no meaning here."""
    return without_inline_marks(without_block_marks(folded(raw.lstrip()[:MAX_LINE_CHARACTERS])))


def folded(text: str) -> str:
    """Return a text on one line: white space becomes single spaces, invisible characters are dropped."""
    return " ".join(_DROPPED.sub("", text).split())


def without_block_marks(line: str) -> str:
    """Remove the marks of headings, quotes and lists at the start of a line."""
    marks = _BLOCK_MARKS.match(line)
    if marks is None:
        return line
    line = line[marks.end() :]
    closed = line.rstrip("#")
    return closed.rstrip() if "#" in marks[0] and closed.endswith(" ") else line


def without_inline_marks(line: str) -> str:
    """Remove the marks of emphasis, code and links from a line."""
    if not _INLINE.search(line):
        return line
    line = _VERBATIM.sub(_shielded, line)
    for pattern, plain in _INLINE_PASSES:
        line = pattern.sub(plain, line)
    return " ".join(line.translate(_UNSHIELD).split())


def _shielded(verbatim: re.Match[str]) -> str:
    """Return code or an escaped character with noncharacters for its marks, which later patterns do not match."""
    return (verbatim[1] or verbatim[3]).translate(_SHIELD)


def shortened(text: str, limit: int) -> str:
    """Shorten a line to `limit` characters; a cut one ends in `…`, after a word or between graphemes (UAX 29)."""
    if len(text) <= limit:
        return text
    room = limit - len(_ELLIPSIS)
    end = text.rfind(" ", room // 2, room + 1)
    kept = text[: end if end > 0 else _grapheme_end(text, room)]
    return (kept.rstrip(_DANGLING) or kept) + _ELLIPSIS


def _grapheme_end(text: str, limit: int) -> int:
    """Return the last boundary between graphemes up to `limit`; `limit` itself where the first grapheme is longer."""
    ends = (grapheme.end() for grapheme in _GRAPHEME.finditer(text))
    return max(takewhile(limit.__ge__, ends), default=limit)
