"""SQLite on a disk that an upload would fill: a real small file system, and a bound on the size of files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.talk import make, told
from tests.support.process import POLL_SECONDS, parley_command, parley_process
from tests.support.uploads import upload, uploaded

DISK_BYTES = 16_000_000
DOCUMENT = b"The quick brown fox jumps over the lazy dog.\n" * 500_000
SMALL = b"Some text.\n" * 10_000
LOG_BYTES = 6_000_000
"""How large the write-ahead log may be once all is well again."""
CLEARED_SECONDS = 120


def bounded() -> None:
    """Bounds the files of a process, in that process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))


@pytest.fixture(params=["file system", "file size"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A directory without much room, and the options of a process that has to live with it."""
    path = tmp_path / "disk"
    path.mkdir()
    if request.param == "file size":
        yield path, {"preexec_fn": bounded}
        return
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted: a full one is not tested, a bound on the size of files is")
    try:
        yield path, {}
    finally:
        subprocess.run(["umount", str(path)], check=True)


def parts(path: Path) -> int:
    """How many parts of documents are stored."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM document_contents").fetchone()[0])


async def cleared(path: Path, left: int) -> None:
    """Waits until what was refused is removed, and no more parts are left than these."""
    log = path.with_name(f"{path.name}-wal")
    async with asyncio.timeout(CLEARED_SECONDS):
        while parts(path) > left or log.stat().st_size > LOG_BYTES:  # noqa: ASYNC110  another process's
            await asyncio.sleep(POLL_SECONDS)


async def test_an_upload_that_has_no_room_leaves_some(tmp_path: Path, disk: tuple[Path, dict[str, Any]]) -> None:
    """It is refused and removed, the log is given back, and all else is stored before, after and meanwhile."""
    directory, options = disk
    settings: dict[str, Any] = {"data_dir": directory, "llm_provider": "scripted", "embedding_provider": "none"}
    async with parley_process(tmp_path, account=options, max_document_bytes=100_000_000, **settings) as parley:
        conversation = await make(parley, message="Hello")
        for number in range(2):
            uploading = asyncio.create_task(upload(parley.client, DOCUMENT, "large.txt"))
            for each in range(3):
                await told(parley, conversation, f"Meanwhile {each}")
            refused = await uploading
            assert refused.status_code == 503, refused.text
            assert refused.json()["code"] == "database-unavailable"
            assert refused.json()["detail"] == "The database's disk is full; the operator has to free space."
            await told(parley, conversation, "Afterwards")
            await cleared(directory / "parley.db", number)
            await uploaded(parley.client, SMALL + str(number).encode(), f"small{number}.txt")
            await told(parley, conversation, "Still there?")
        parley.terminate()
        await parley.wait(60)
    checked = await parley_command(tmp_path, "check", **settings)
    assert checked.stdout == "0 broken invariants\n", checked.stderr
