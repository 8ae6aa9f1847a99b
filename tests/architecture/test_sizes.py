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


def test_file_sizes() -> None:
    """No file is over 400 lines, tests included; the median of the files with code in them is 60 to 150."""
    assert {name: size for name, size in lengths_of([*FILES, *TESTS]).items() if size > 400} == {}
    assert 60 <= statistics.median(size for size in lengths_of(FILES).values() if size) <= 150


def test_function_sizes() -> None:
    """No function is over 60 lines; the ninth decile is 12 to 35, since a use case is read in one piece."""
    sizes = dict(functions())
    assert {name: size for name, size in sizes.items() if size > 60} == {}
    assert 12 <= statistics.quantiles(sizes.values(), n=10)[-1] <= 35
