from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much reading one document may take, and give."""

    cpu_seconds: int = 30
    wall_seconds: float = 120
    """Four times as long, since it gives way to everything else on the machine."""
    memory_bytes: int = 1_500_000_000
    """Of address space, some 200 MB of which the process has from its start."""
    pages: int = 10_000
    unpacked_bytes: int = 200_000_000
    characters: int = 10_000_000
    chunks: int = 50_000
