from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.api.error_codes import CLASS_OF_CODE
from app.api.turn_responses import TERMINAL_EVENTS
from app.domain.documents import DocumentFailure
from app.rag.extraction import errors

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "http-api.md").read_text()
ABSTRACT = {"error", "conflict", "unavailable"}


def test_error_codes_are_documented() -> None:
    """The table of problems in docs/http-api.md has every code of the service with its status."""
    rows = [line for line in API.splitlines() if line.startswith("| `")]
    for code, error in CLASS_OF_CODE.items():
        if code not in ABSTRACT:
            [row] = [row for row in rows if f"`{code}`" in row]
            assert str(error.status) in row.split("|")[2]


def test_events_are_documented() -> None:
    """The events with which a stream may end are in docs/http-api.md."""
    for name in TERMINAL_EVENTS.values():
        assert f"`{name}`" in API or f"`.{name.partition('.')[2]}`" in API


def test_guarantees_name_existing_tests() -> None:
    """Each row of docs/guarantees.md names tests, and each of them exists."""
    page = (ROOT / "docs" / "guarantees.md").read_text()
    promises = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", promise)
        assert named, promise
        for file, test in named:
            assert re.search(rf"def {test}\b" if test else "def test_", (ROOT / file).read_text()), (file, test)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/guarantees.md",
        "docs/architecture.md",
        "docs/performance.md",
        "docs/dependencies.md",
        "docs/providers.md",
    ],
)
def test_links_resolve(page: str) -> None:
    """Each relative link of a page leads to a file of the repository."""
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("target", ["run", "test", "soak", "fuzz", "lint", "bench"])
def test_readme_commands_are_make_targets(target: str) -> None:
    """Each `make` command of the README is a target of the Makefile."""
    assert f"make {target}" in (ROOT / "README.md").read_text()
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_document_failures_are_documented() -> None:
    """The table in docs/documents.md has each failure code of a document; each limit has its own sentence."""
    page = (ROOT / "docs" / "documents.md").read_text()
    failures = [each for each in vars(errors).values() if isinstance(each, DocumentFailure)]
    assert len({each.code for each in failures}) == 8
    assert len({each.detail for each in failures}) == len(failures)
    for failure in failures:
        assert f"| `{failure.code}` |" in page
