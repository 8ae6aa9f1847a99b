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


def test_every_error_code_is_documented_with_its_status() -> None:
    """The table of problems in docs/http-api.md names each code that the service answers with, and its status."""
    rows = [line for line in API.splitlines() if line.startswith("| `")]
    for code, error in CLASS_OF_CODE.items():
        if code not in ABSTRACT:
            [row] = [row for row in rows if f"`{code}`" in row]
            assert str(error.status) in row.split("|")[2]


def test_every_event_is_documented() -> None:
    """The events that a stream may end with are in docs/http-api.md."""
    for name in TERMINAL_EVENTS.values():
        assert f"`{name}`" in API or f"`.{name.partition('.')[2]}`" in API


def test_every_guarantee_names_a_test_that_is_there() -> None:
    """Each line of docs/guarantees.md names tests, and each of them exists."""
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
def test_links_lead_somewhere(page: str) -> None:
    """What a page links to within the repository is there."""
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("target", ["run", "test", "soak", "fuzz", "lint", "bench"])
def test_the_readme_s_commands_are_targets(target: str) -> None:
    """Each `make` command that the README names is in the Makefile."""
    assert f"make {target}" in (ROOT / "README.md").read_text()
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_failure_of_a_document_is_documented() -> None:
    """The table in docs/documents.md names each code with which a document fails; each bound has its own sentence."""
    page = (ROOT / "docs" / "documents.md").read_text()
    failures = [each for each in vars(errors).values() if isinstance(each, DocumentFailure)]
    assert len({each.code for each in failures}) == 8
    assert len({each.detail for each in failures}) == len(failures)
    for failure in failures:
        assert f"| `{failure.code}` |" in page
