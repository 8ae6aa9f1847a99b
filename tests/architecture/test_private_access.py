"""Tests use the public interface of the application: no access to private attributes, no patches by a string path."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests", "evals", "benchmarks", "fuzz")
PUBLIC = {"_replace", "_asdict", "_make", "_fields"}
"""Methods of named tuples."""
FOREIGN = {"writer._transport"}
"""asyncio's: its `start_tls` loses the transport when the peer has left."""


def is_private(name: str) -> bool:
    """Return whether a name begins with a single underscore."""
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_accesses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Generate the accesses to private attributes of other objects, with their lines.

    Exempt are attributes that the file defines itself, of an instance or as a method.
    """
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            if ast.unparse(node.value) not in {"self", "cls", "super()"}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("attr", "mock.patch")):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if any(is_private(text) or text.startswith("app.") for text in texts):
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_private_access(folder: str) -> None:
    """No file reaches for a private attribute of another object, by its name or through `getattr` and `setattr`."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {access}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, access in private_accesses(ast.parse(path.read_text()))
        if access not in FOREIGN
    ]
    assert not found, found


@pytest.mark.parametrize(
    "source",
    ["service._database", "self.service._database", "monkeypatch.setattr(service, '_now', f)", "mock.patch('app.x.y')"],
)
def test_private_access_found(source: str) -> None:
    """Each form of access is recognised."""
    assert list(private_accesses(ast.parse(source)))
