"""The commands, paths and names in CONTRIBUTING.md exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
GIVEN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:\.ci|app|docs|evals|tests)(?:/[\w.]+)*/?|[\w.]+\.(?:md|toml)|\.env\.example")
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_paths_exist() -> None:
    """Each path of the page is in the repository, those in commands and links included."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    arguments = re.findall(r"\btests/[\w./]+", COMMANDS)
    named = {*links, *arguments, *(each for each in GIVEN.findall(PAGE) if PATH.fullmatch(each))}
    assert len(named) > 40
    assert [each for each in sorted(named) if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?m)(?:^(?:\w+=\w+ )?|`)make ([a-z]+)", PAGE))))
def test_make_targets_exist(target: str) -> None:
    """Each `make` command of the page is a target of the Makefile."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_programs_are_installed() -> None:
    """Each program that a command of the page takes from .venv/bin is there."""
    programs = set(re.findall(r"\.venv/bin/(\w+)", COMMANDS))
    assert programs >= {"python", "ruff"}
    assert [each for each in sorted(programs) if not (ROOT / ".venv" / "bin" / each).exists()] == []


def test_names_exist() -> None:
    """Each class, function and constant that a section on additions names is in the code."""
    code = "\n".join(each.read_text() for room in ("app", "tests/support") for each in (ROOT / room).rglob("*.py"))
    additions = PAGE[PAGE.index("## Add a field") : PAGE.index("## Tests")]
    named = {each for each in GIVEN.findall(additions) if re.fullmatch(r"[A-Z]\w+|[a-z]+_[a-z_]+", each)}
    named -= {"LLM_PROVIDERS"}
    assert len(named) > 20
    assert [each for each in sorted(named) if not re.search(rf"\b{each}\b", code)] == []


def test_newest_migration_is_named() -> None:
    """The example of a migration follows the newest one, or is it."""
    versions = sorted((ROOT / "app" / "db" / "migrations" / "versions").glob("*.py"))
    [before] = re.findall(r'^down_revision = "(\w+)"', PAGE, re.MULTILINE)
    assert before in {each.name.partition("_")[0] for each in versions[-2:]}
