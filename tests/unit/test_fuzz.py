from __future__ import annotations

import ast
import contextlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api.app import build_app

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "schemathesis.toml").read_text())
TURNS = {
    "POST /conversations",
    "POST /conversations/{conversation_id}/messages",
    "POST /conversations/{conversation_id}/messages/{message_id}/regenerate",
}


@pytest.mark.parametrize(("ci", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_missing_program_fails_only_in_ci(tmp_path: Path, ci: dict[str, str], status: int) -> None:
    """Without schemathesis `make fuzz` reports that it was skipped, and fails if CI is set."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | ci
    command = [sys.executable, "-m", "fuzz", str(tmp_path / "schemathesis")]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert "SKIPPED" in ended.stderr


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Generate the longer texts of a module as patterns, with anything in place of an f-string's values."""
    for node in ast.walk(tree):
        pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [each.value for each in pieces if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if len("".join(texts)) > 20:
            yield ".*".join(map(re.escape, texts))


def test_expected_details_are_the_service_s() -> None:
    """Each text by which fuzzing knows a refusal is one that the service gives."""
    tree = ast.parse((ROOT / "fuzz" / "hooks.py").read_text())
    [details] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BEYOND_SCHEMA_DETAILS"
    ]
    given = [text for path in (ROOT / "app").rglob("*.py") for text in texts_of(ast.parse(path.read_text()))]
    assert [detail for detail in details if not any(re.fullmatch(text, detail) for text in given)] == []


def test_all_operations_and_checks_are_on() -> None:
    """No operation, check or phase is switched off, and status 500 is expected nowhere."""
    assert "enabled" not in {name for each in CONFIG["operations"] for name in each}
    for each in CONFIG["operations"]:
        for check in each.get("checks", {}).values():
            assert check.keys() == {"expected-statuses"}
            assert not {"5xx", 500, "500"} & set(check["expected-statuses"])
    assert "checks" not in CONFIG
    assert all("enabled" not in phase for phase in CONFIG["phases"].values())


def test_only_turns_may_report_a_provider() -> None:
    """502, 503 and 504 are allowed only for operations that call a provider."""
    allowed = {each["include-name"] for each in CONFIG["operations"] if "not_a_server_error" in each.get("checks", {})}
    assert allowed == TURNS


def test_named_operations_exist() -> None:
    """Each operation named in schemathesis.toml is an operation of the service."""
    document = build_app(contextlib.nullcontext).openapi()
    there = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    named = [each["include-name"] for each in CONFIG["operations"] if "include-name" in each]
    assert {name for each in named for name in ([each] if isinstance(each, str) else each)} <= there
