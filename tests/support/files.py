"""Files that a process leaves."""

from __future__ import annotations

from pathlib import Path


def file_names(directory: Path) -> list[str]:
    """Return the sorted names in a directory."""
    return sorted(path.name for path in directory.iterdir())
