from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much reading one document may take, and give."""

    cpu_seconds: int = 25
    """So few that on a machine that is not busy every document is read, or has failed, within 30 seconds."""
    wall_seconds: float = 120
    """Longer, since reading gives way to everything else on the machine."""
    memory_bytes: int = 1_500_000_000
    """Of address space, some 200 MB of which the process has from its start."""
    pages: int = 10_000
    unpacked_bytes: int = 200_000_000
    characters: int = 10_000_000
    chunks: int = 50_000
