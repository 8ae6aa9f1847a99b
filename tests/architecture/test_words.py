"""The words of `app/`: docstrings, comments, texts and names in plain technical English."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"

BANNED = re.compile(
    r"\b(told|tells?|telling|asked|asks|asking|look(s|ed|ing)? (for|up|at)|beside|amid|anew|for ever|whoever|whom"
    r"|nobody|somebody|nudged?)\b",
    re.IGNORECASE,
)
"""Words for which the field has a better one: `ask` is call, request or query; `look` is poll, fetch or read; `tell` is
report, return or send; `beside` is in parallel with or next to; `anew` is again; `for ever` is until cancelled."""
BANNED_IN_NAMES = re.compile(
    r"(?:^|_)(told|asked|asks|asking|looked|looks|look|beside|asides?|anew|nudged?|whoever|somebody|nobody)(?:_|$)",
    re.IGNORECASE,
)
RELATIVE = re.compile(r"(What|Whatever|Who|Whoever|Whose|Whom|Whether|How|Where|When|Which|Why|That|Those|Has|Had)\b")
"""Words that open a docstring in the place of a noun or a verb."""
THIRD_PERSON = re.compile(
    r"(Accepts|Adds|Admits|Answers|Appends|Asks|Begins|Bounds|Brings|Builds|Cancels|Checks|Claims|Closes|Counts|Cuts"
    r"|Deals|Deletes|Does|Drains|Drops|Edits|Embeds|Ends|Enters|Erases|Estimates|Finds|Follows|Frees|Gets|Gives|Goes"
    r"|Hands|Hides|Imports|Keeps|Leaves|Lets|Loads|Locks|Logs|Looks|Makes|Marks|Notes|Opens|Prints|Puts|Raises|Reads"
    r"|Refuses|Removes|Renews|Repeats|Returns|Runs|Saves|Says|Sends|Serves|Sets|Shows|Starts|Stops|Stores|Summarises"
    r"|Switches|Takes|Tells|Translates|Turns|Uncompresses|Unpacks|Waits|Wakes|Warns|Wraps|Writes)\b"
)
"""Verbs of a function's docstring that are to be imperative."""
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

DATA = {("language.py", "tell"), ("outline_phrases.py", "tell"), ("summaries.py", "anew")}
"""Files and words that stand in data there: in lists of words and phrases and in a prompt that was measured."""

ROOMS = sorted({path.relative_to(APP).parts[0] for path in APP.rglob("*.py")})


def files_of(room: str) -> list[Path]:
    paths = [APP / room] if room.endswith(".py") else (APP / room).rglob("*.py")
    return sorted(path for path in paths if "versions" not in path.parts)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """All comments and texts of a file, with their lines: docstrings and messages among them."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def names_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def docstrings_of(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Docstrings with their lines, and whether each is a function's; those below an attribute are included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DOCUMENTED):
            text = ast.get_docstring(node)
            if text is not None:
                is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node)
                yield node.body[0].lineno, text, is_function
            for before, after in zip(node.body, node.body[1:], strict=False):
                match before, after:
                    case (ast.Assign() | ast.AnnAssign(), ast.Expr(ast.Constant(str() as text))):
                        yield after.lineno, text, False


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(each) for each in node.decorator_list)


@pytest.mark.parametrize("room", ROOMS)
def test_no_banned_words(room: str) -> None:
    """No docstring, comment, text or name has a word of the list, for which there is a standard term."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match.group()!r} in {text.strip()[:60]!r}"
        for path in files_of(room)
        for kind, pattern in ((texts_of, BANNED), (names_of, BANNED_IN_NAMES))
        for line, text in kind(path)
        if (match := pattern.search(text)) and (path.name, match.group().lower()) not in DATA
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("room", ROOMS)
def test_docstring_openings(room: str) -> None:
    """No docstring begins with a relative clause; a function's does not begin with a verb in the third person."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0][:70]!r}"
        for path in files_of(room)
        for line, text, is_function in docstrings_of(path)
        if RELATIVE.match(text) or (is_function and THIRD_PERSON.match(text))
    ]
    assert not found, "\n".join(["", *found])
