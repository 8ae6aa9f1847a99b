from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "app").rglob("*.py") if "migrations" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def lengths_of(paths: list[Path]) -> dict[str, int]:
    return {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}


def functions() -> Iterator[tuple[str, int]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


def test_no_file_is_over_400_lines() -> None:
    """Where codebases rot is the largest file: none is over 400 lines, tests included; half are under 120."""
    assert {name: size for name, size in lengths_of([*FILES, *TESTS]).items() if size > 400} == {}
    assert statistics.median(lengths_of(FILES).values()) <= 120


def test_functions_are_short() -> None:
    """Functions have a median of at most 10 lines, nine of ten are within 30, none is over 60."""
    sizes = dict(functions())
    assert {name: size for name, size in sizes.items() if size > 60} == {}
    assert statistics.median(sizes.values()) <= 10
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= 30
