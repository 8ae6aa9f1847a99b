"""SQL is written as expressions on the mapped classes; each statement in text is listed with its reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECISION = ROOT / "docs" / "decisions" / "0013-one-language-for-sql.md"


def is_text(node: ast.AST) -> bool:
    """Return whether a node calls SQLAlchemy's `text`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text"


def text_statements() -> Iterator[str]:
    """Generate the calls of `text` in the application outside of migrations, each by its file and constant."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        if "migrations" in path.parts:
            continue
        for node in ast.parse(path.read_text()).body:
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else getattr(node, "name", "?")
            for _ in filter(is_text, ast.walk(node)):
                yield f"{path.relative_to(ROOT)} {name}"


def test_text_sql_has_a_reason() -> None:
    """Decision 13 lists each statement in text, with a reason."""
    rows = re.findall(r"^\| `(app/\S+)` `(\w+)` \| \S", DECISION.read_text(), re.MULTILINE)
    assert sorted(text_statements()) == sorted(" ".join(row) for row in rows)
