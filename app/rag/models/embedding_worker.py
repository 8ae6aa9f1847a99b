"""A process that embeds passages: texts come in, vectors go out, until its input ends.

A message is its length, four bytes with the most significant one first, and so many bytes: a JSON array of texts one
way, their vectors one after the other the other way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import BinaryIO

from app.rag.models.minilm import MiniLm

START = "import sys; sys.path.append(sys.argv[1]); from app.rag.models.embedding_worker import main; main()"
"""What Python is given to run it, with the folder that has the package `app`."""
NICENESS = 10
MEMORY_BYTES = 2 * 2**30
"""Of addresses; what is used of them is some 350 MB."""
LENGTH_BYTES = 4


def main() -> None:
    """Embeds what standard input says, with the priority and memory of something that can wait."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all: the service ends this process
    if sys.platform != "win32":
        import resource

        os.nice(NICENESS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    model = MiniLm()
    while (texts := received(sys.stdin.buffer)) is not None:
        sys.stdout.buffer.write(message(b"".join(model.vectors(json.loads(texts)))))
        sys.stdout.buffer.flush()


def message(content: bytes) -> bytes:
    """Bytes as they are sent."""
    return len(content).to_bytes(LENGTH_BYTES) + content


def received(stream: BinaryIO) -> bytes | None:
    """The next message; None at the end."""
    length = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(length)) if length else None
