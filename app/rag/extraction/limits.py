from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on reading one document. `docs/documents.md` has the measurements of real documents behind them."""

    cpu_seconds: int = 25
    """Low enough that on an idle machine every document is read, or has failed, within 30 seconds."""
    wall_seconds: float = 120
    """Longer, since the process has the lowest priority."""
    memory_bytes: int = 800_000_000
    """Of address space, some 120 MB of which the process has from its start."""
    pages: int = 10_000
    unpacked_bytes: int = 200_000_000
    members: int = 10_000
    """Files within an archive."""
    elements: int = 1_000_000
    """HTML tags, Markdown tokens or paragraphs of plain text."""
    xml_elements: int = 3_000_000
    """Elements and attributes in all parts of an Office document, most of which are formatting."""
    nesting: int = 2_000
    """Depth of open HTML elements. For XML the parser itself allows 256."""
    columns: int = 100_000
    """Cells of one row."""
    cells: int = 3_000_000
    """Cells of all tables, empty ones included."""
    characters: int = 10_000_000
    chunks: int = 50_000
