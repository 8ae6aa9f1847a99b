"""Typed seams: a function that runs another keeps its types, and queries are handed no callbacks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
RUNS_FUNCTIONS = {"database.py", "startup.py"}
"""Files directly in app/db/ whose functions take functions: they run transactions, or retry steps."""


def nodes_of(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The nodes of a file, each with its place as `path:line`."""
    for node in ast.walk(ast.parse(path.read_text())):
        yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def is_callable(node: ast.AST) -> bool:
    """Return whether an expression is the name `Callable`, also with its module's name in front."""
    return (node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)) == "Callable"


def aliases_of(path: Path) -> Iterator[str]:
    """The names that a file gives to types with `Callable[…]` in them."""
    for _, node in nodes_of(path):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if any(isinstance(each, ast.Subscript) and is_callable(each.value) for each in ast.walk(node.value)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (each.id for each in targets if isinstance(each, ast.Name))


def parameters_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    more = [each for each in (node.args.vararg, node.args.kwarg) if each is not None]
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *more]


def takes_function(parameter: ast.arg, names: set[str]) -> bool:
    """Return whether a parameter is annotated with `Callable` or one of these names of such types."""
    if parameter.annotation is None:
        return False
    return any(
        is_callable(each) or (isinstance(each, ast.Name) and each.id in names)
        for each in ast.walk(parameter.annotation)
    )


def test_callables_are_typed() -> None:
    """Neither `Callable[..., T]` nor a bare `Callable` is written in app/: ParamSpec keeps the types of arguments."""
    untyped = []
    for path in sorted(APP.rglob("*.py")):
        nodes = list(nodes_of(path))
        subscripted = {id(node.value): node.slice for _, node in nodes if isinstance(node, ast.Subscript)}
        for place, node in nodes:
            if is_callable(node):
                parts = subscripted.get(id(node))
                first = parts.elts[0] if isinstance(parts, ast.Tuple) else None
                if first is None or (isinstance(first, ast.Constant) and first.value is ...):
                    untyped.append(place)
    assert not untyped, untyped


def test_forwarded_arguments_are_typed() -> None:
    """No function of app/ takes another one together with `*args: object` or `*args: Any` for it."""
    untyped = []
    for path in sorted(APP.rglob("*.py")):
        names = set(aliases_of(path))
        for place, node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.vararg is not None:
                annotation = node.args.vararg.annotation
                is_open = isinstance(annotation, ast.Name) and annotation.id in {"object", "Any"}
                if is_open and any(takes_function(each, names) for each in parameters_of(node)):
                    untyped.append(f"{place}:{node.name}")
    assert not untyped, untyped


def test_queries_take_no_callbacks() -> None:
    """No function of a query file in app/db/ takes a function: services compose transactions out of queries."""
    paths = [path for path in (APP / "db").glob("*.py") if path.name not in RUNS_FUNCTIONS]
    found = []
    for path in sorted([*paths, *(APP / "db" / "checks").glob("*.py")]):
        names = set(aliases_of(path))
        for place, node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{place}:{node.name}({each.arg})" for each in parameters_of(node) if takes_function(each, names)
                ]
    assert not found, found
