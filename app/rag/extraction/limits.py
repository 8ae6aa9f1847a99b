from __future__ import annotations

import time
from dataclasses import dataclass, replace

READING_SHARE = 0.6
"""Of the processor time: reading stops then, and the rest is left for dividing the text into chunks."""


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
    stop_at: float | None = None
    """Processor time of this process, in seconds, at which reading stops and what was read is kept; None for never."""

    def started(self) -> Limits:
        """Return the limits for a document whose reading begins now, in this process."""
        return replace(self, stop_at=time.process_time() + READING_SHARE * self.cpu_seconds)

    @property
    def seconds_left(self) -> float:
        """Processor time until reading stops; 0 or less if it is over."""
        return float("inf") if self.stop_at is None else self.stop_at - time.process_time()
