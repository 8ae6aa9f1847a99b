"""Scopes of source code: classes, functions and the like, found by the form of their first lines and by where they end.

No parser: a language is a pattern of definitions and a way to end, by indentation, by braces or by `end`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from app.rag.extraction.blocks import Scope

LABEL_CHARACTERS = 80
MAX_DEPTH = 8
HEAD_LINES = 60
"""Of a definition before its body, such as those of its parameters."""
PYTHON = re.compile(r"[ \t]*(?:async[ \t]+)?(?:(?:def|class)[ \t]+)[\w.]+")
RUBY = re.compile(r"[ \t]*(?:(?:private|public|protected)[ \t]+)?(?:def|class|module)[ \t]+[\w.:?!<=\[\]]+")
LUA = re.compile(r"[ \t]*(?:local[ \t]+)?function[ \t]+[\w.:]+[ \t]*\(|[ \t]*(?:defmodule|defp?)[ \t]+[\w.?!]+")
TYPES = "class|interface|struct|enum|trait|impl|namespace|module|record|union|object|protocol|extension|mod|package"
PARAMETERS = r"\([^()\n]*\)"
TYPE = rf"(?:[a-z@][\w@<>()\[\]]*[ \t]+){{0,5}}(?:{TYPES})(?:[ \t]+|(?=<))[\w$.:<>, ]+"
GO_TYPE = r"type[ \t]+\w+(?:\[[^\]\n]*\])?[ \t]+(?:struct|interface)\b"
FUNCTION = (
    r"(?:[a-z]+(?:\([^)\n]*\))?[ \t]+){0,4}(?:func|fn|fun|function|def|sub)\b[ \t*]*"
    rf"(?:{PARAMETERS}[ \t]*)?[\w$.<>]+[ \t]*[(<\[{{]"
)
ASSIGNED = (
    r"(?:export[ \t]+)?(?:default[ \t]+)?(?:const|let|var)[ \t]+[\w$]+[ \t]*(?::[^=\n]+)?=[ \t]*(?:async[ \t]*)?"
    rf"(?:function\b|{PARAMETERS}[ \t]*(?::[^=\n]+)?=>|\w+[ \t]*=>)"
)
METHOD = (
    r"(?!(?:return|else|new|throw|if|for|while|switch|catch|do|case|delete|await|yield|typedef|using|goto|assert|elif)\b)"
    r"(?:@?[\w$:<>,.\[\]?~]+[ \t*&]+){0,6}~?[\w$:]+[ \t]*\([^;{}\n]*(?:\)[^;(){}\n]*)?(?=\{|$)"
)
BRACES = re.compile(rf"[ \t]*(?:{TYPE}|{GO_TYPE}|{FUNCTION}|{ASSIGNED}|{METHOD})")
NOT_METHOD = re.compile(
    r"[ \t]*(?:\}[ \t]*)?"
    r"(?:if|for|while|switch|catch|else|return|do|try|foreach|using|lock|with|match|when|unless|until)\b"
)
BY_EXTENSION = {
    **dict.fromkeys(("py", "pyi", "pyx"), PYTHON),
    **dict.fromkeys(("rb", "rake"), RUBY),
    **dict.fromkeys(("lua", "ex", "exs", "jl"), LUA),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "dart"), BRACES),
    **dict.fromkeys(("java", "kt", "kts", "scala", "groovy", "cs", "swift", "m", "mm"), BRACES),
    **dict.fromkeys(("c", "h", "cc", "cpp", "cxx", "hpp", "hh", "go", "rs", "zig", "v"), BRACES),
    **dict.fromkeys(("php", "pl", "pm", "sh", "bash", "sol", "proto"), BRACES),
}
CONTINUED = re.compile(r"[ \t]*(?:\{|where\b|throws\b|extends\b|implements\b|:|->|=>)")
"""A line between a definition's first line and its body."""
RECEIVER = re.compile(r"^(func) \(\w* ?\*?([\w.]+)[^)]*\) ")
STRINGS = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n&<>])*'|`(?:\\.|[^`\\\n])*`|//[^\n]*|/\*.*?\*/")


class Line(NamedTuple):
    """A line that is not blank."""

    start: int
    end: int
    text: str

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip())


def is_code(name: str) -> bool:
    """Return whether a file's name is that of source code whose scopes are known."""
    return name.rpartition(".")[2].lower() in BY_EXTENSION and "." in name


def find_scopes(text: str, name: str) -> list[Scope]:
    """Return the scopes of source code, in order; `name` is that of the file."""
    pattern = BY_EXTENSION[name.rpartition(".")[2].lower()]
    lines = list(lines_of(text))
    by_braces = pattern is BRACES
    scopes: list[Scope] = []
    open_ends: list[int] = []
    for place, line in enumerate(lines):
        while open_ends and open_ends[-1] <= line.start:
            open_ends.pop()
        if len(open_ends) >= MAX_DEPTH or len(line.text) > 400 or not is_definition(line.text, pattern):
            continue
        end = (
            end_by_braces(lines, place) if by_braces else end_by_indentation(lines, place, closed=pattern is not PYTHON)
        )
        if end is None:
            continue
        first = first_line(lines, place)
        scopes.append(
            Scope(max(first, scopes[-1].start + 1 if scopes else 0), end, label_of(line.text), len(open_ends))
        )
        open_ends.append(end)
    return scopes


def lines_of(text: str) -> Iterator[Line]:
    start = 0
    for content in text.split("\n"):
        if content.strip():
            yield Line(start, start + len(content), content)
        start += len(content) + 1


def is_definition(line: str, pattern: re.Pattern[str]) -> bool:
    if pattern.match(line) is None:
        return False
    if pattern is not BRACES:
        return True
    head = STRINGS.sub("", line).partition("{")
    is_callback = bool(head[1]) and head[0].count("(") != head[0].count(")")
    return not is_callback and NOT_METHOD.match(line) is None and not line.rstrip().endswith(";")


def end_by_indentation(lines: list[Line], place: int, *, closed: bool) -> int:
    """Return the end of a body that is indented more than its first line; `closed` by a last line like `end`."""
    indent, last = lines[place].indent, place
    for index in range(place + 1, len(lines)):
        line = lines[index]
        if line.indent <= indent and not line.text.lstrip().startswith((")", "]", "#")):
            if closed and line.indent == indent and line.text.strip().startswith("end"):
                last = index
            break
        if line.indent > indent or line.text.lstrip().startswith(")"):
            last = index
    return lines[last].end


def end_by_braces(lines: list[Line], place: int) -> int | None:
    """Return the end of a body in braces; None for a definition without one, such as a call or a declaration."""
    braces = brackets = 0
    opened = False
    for index in range(place, len(lines)):
        line = STRINGS.sub("", lines[index].text)
        if index > place and not opened and not (brackets > 0 or CONTINUED.match(line)):
            return None
        head, brace, _ = line.partition("{")
        if not opened and (";" in head or index - place >= HEAD_LINES):
            return None
        opened = opened or bool(brace)
        brackets += line.count("(") - line.count(")")
        braces += line.count("{") - line.count("}")
        if opened and braces <= 0:
            return lines[index].end
    return lines[-1].end if opened else None


def first_line(lines: list[Line], place: int) -> int:
    """Return the start of a definition's decorators and comments, which stand right above it."""
    first = place
    while first and lines[first - 1].end + 1 == lines[first].start:
        above = lines[first - 1].text.lstrip()
        if lines[first - 1].indent != lines[place].indent or not above.startswith(
            ("@", "#", "//", "/*", "*", "[", "--")
        ):
            break
        first -= 1
    return lines[first].start


def label_of(line: str) -> str:
    """Return a definition's name with its keywords: its line without parameters, value and body."""
    label = " ".join(line.split())
    label = RECEIVER.sub(r"\1 \2.", label).partition("(")[0].partition(" = ")[0].partition("{")[0]
    return label[:LABEL_CHARACTERS].rstrip(": ").removesuffix(" do")
