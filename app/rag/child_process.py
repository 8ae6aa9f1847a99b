"""Child processes that run a module of this package, and the frames in which they answer.

A frame is a kind (one byte), a length and as many bytes. A child that has read hostile bytes is not trusted: nothing
from it is unpickled, and every length is checked.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader

HEAD = struct.Struct(">cI")
"""A frame's kind and length."""
FRAME_BYTES = 1 << 20
"""Maximum length of a frame from a child."""
ROOT = Path(__file__).parents[2]
"""The folder that contains the package `app`."""


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in a fresh interpreter, which needs `import_path` as PYTHONPATH."""
    return [sys.executable, "-P", "-m", module, *arguments]


def import_path() -> str:
    """Return a PYTHONPATH with which a child finds the modules that this process finds."""
    return os.pathsep.join([*filter(None, sys.path), str(ROOT)])


def frame(kind: bytes, payload: bytes) -> bytes:
    return HEAD.pack(kind, len(payload)) + payload


def frame_head(head: bytes) -> tuple[bytes, int]:
    """Unpack a frame's kind and length; raises `ValueError` if it is too long."""
    kind, length = HEAD.unpack(head)
    if length > FRAME_BYTES:
        raise ValueError(length)
    return kind, length


async def read_frame(reader: StreamReader) -> tuple[bytes, bytes]:
    """Read a frame's kind and payload.

    Raises:
        IncompleteReadError: the child has ended.
        ValueError: the frame is too long.
    """
    kind, length = frame_head(await reader.readexactly(HEAD.size))
    return kind, await reader.readexactly(length)
