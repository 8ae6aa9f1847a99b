from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what reading one document may take, and give.

    `docs/documents.md` has the figures of honest documents from which these follow.
    """

    cpu_seconds: int = 25
    """So few that on a machine that is not busy every document is read, or has failed, within 30 seconds."""
    wall_seconds: float = 120
    """Longer, since reading gives way to everything else on the machine."""
    memory_bytes: int = 800_000_000
    """Of address space, some 120 MB of which the process has from its start."""
    pages: int = 10_000
    unpacked_bytes: int = 200_000_000
    members: int = 10_000
    """Files within an archive."""
    elements: int = 1_000_000
    """Tags of a page, tokens of Markdown, paragraphs of a text."""
    xml_elements: int = 3_000_000
    """Elements and attributes in all parts of an Office document, most of which say how it looks."""
    nesting: int = 2_000
    """Elements of a page that are open within each other. Of XML the parser itself takes 256."""
    columns: int = 100_000
    """Cells of one row."""
    cells: int = 3_000_000
    """Cells of all tables, empty ones included."""
    characters: int = 10_000_000
    chunks: int = 50_000
