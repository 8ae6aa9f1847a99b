from __future__ import annotations

import pytest

from app.domain.file_names import display_name


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/cron.d/x", "x"),
        ("C:\\Users\\ada\\notes.txt", "notes.txt"),
        ("a\x00b\r\nSet-Cookie: c.txt", "ab Set-Cookie: c.txt"),
        ("\u202egpj.exe", "gpj.exe"),
        ("\ud800lone.md", "lone.md"),
        ("CON", "CON"),
        ("e\u0301tude.md", "étude.md"),
        ("  spaced   out .txt ", "spaced out .txt"),
        ("", "document"),
        ("..", "document"),
        ("folder/", "document"),
        ("\x00", "document"),
        (".gitignore", ".gitignore"),
    ],
)
def test_display_name(given: str, shown: str) -> None:
    """A displayed name has no folders, no control characters and no bidirectional overrides."""
    assert display_name(given) == shown


@pytest.mark.parametrize("given", ["n" * 4096 + ".pdf", "n" * 4096, "n." + "e" * 4096, "😀" * 300 + ".md"])
def test_long_name_is_cut(given: str) -> None:
    """A name has at most 200 characters and keeps a short extension."""
    shown = display_name(given)
    assert len(shown) == 200
    assert shown.endswith((".pdf", "n", "e", ".md"))
