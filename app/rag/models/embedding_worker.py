"""Child process that embeds passages: `python -m app.rag.models.embedding_worker MODEL`.

It answers each frame of its standard input, a JSON array of texts, with a frame of their vectors in that order, and
ends with its input.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from app.rag.child_process import HEAD, frame
from app.rag.models.local_models import LOCAL_MODELS

TEXTS, VECTORS = b"t", b"v"
"""Kinds of frames."""
NICENESS = 10
MEMORY_BYTES = 2 * 2**30
"""Of address space; the memory in use is some 350 to 500 MB."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes: the service ends this one
    if sys.platform != "win32":
        import resource

        os.nice(NICENESS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    model = LOCAL_MODELS[sys.argv[1]].load()
    while head := sys.stdin.buffer.read(HEAD.size):
        _, length = HEAD.unpack(head)  # the service is trusted: its texts may be of any length
        texts = json.loads(sys.stdin.buffer.read(length))
        sys.stdout.buffer.write(frame(VECTORS, b"".join(model.embed(texts))))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
