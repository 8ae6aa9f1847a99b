"""SQLite on a disk that an upload would fill: a small real file system, and a limit on the size of files."""

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

from tests.support.problems import expect_problem
from tests.support.process import POLL_SECONDS, parley_command, parley_process

DISK_BYTES = 16_000_000
DOCUMENT = b"The quick brown fox jumps over the lazy dog.\n" * 500_000
SMALL = b"Some text.\n" * 10_000
LOG_BYTES = 6_000_000
"""Largest size of the write-ahead log after the upload was deleted."""
CLEARED_SECONDS = 120


def limit_file_size() -> None:
    """Limit the size of files of the current process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))


@pytest.fixture(params=["file system", "file size"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give a directory with little space and the options of a process that uses it."""
    path = tmp_path / "disk"
    path.mkdir()
    if request.param == "file size":
        yield path, {"preexec_fn": limit_file_size}
        return
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted: a full one is not tested, a limit on the size of files is")
    try:
        yield path, {}
    finally:
        subprocess.run(["umount", str(path)], check=True)


def count_parts(path: Path) -> int:
    """Count the stored parts of documents."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM document_contents").fetchone()[0])


async def wait_until_deleted(path: Path, left: int) -> None:
    """Wait until the refused upload is deleted, no more than `left` parts remain and the log has shrunk."""
    log = path.with_name(f"{path.name}-wal")
    async with asyncio.timeout(CLEARED_SECONDS):
        while count_parts(path) > left or log.stat().st_size > LOG_BYTES:  # noqa: ASYNC110  only polling works
            await asyncio.sleep(POLL_SECONDS)


async def test_oversized_upload_leaves_space(tmp_path: Path, disk: tuple[Path, dict[str, Any]]) -> None:
    """An upload without disk space is refused and deleted; turns are stored before, during and after it."""
    directory, options = disk
    settings: dict[str, Any] = {"data_dir": directory, "llm_provider": "scripted", "embedding_provider": "none"}
    async with parley_process(tmp_path, account=options, max_document_bytes=100_000_000, **settings) as parley:
        conversation = await parley.client.create_conversation(message="Hello")
        for number in range(2):
            uploading = asyncio.create_task(parley.client.post_document(DOCUMENT, "large.txt"))
            for each in range(3):
                await parley.client.send(conversation, f"Meanwhile {each}")
            problem = expect_problem(await uploading, 503, "database-unavailable")
            assert problem["detail"] == "The database's disk is full; the operator has to free space."
            await parley.client.send(conversation, "Afterwards")
            await wait_until_deleted(directory / "parley.db", number)
            await parley.client.upload(SMALL + str(number).encode(), f"small{number}.txt")
            await parley.client.send(conversation, "Still there?")
        parley.terminate()
        await parley.wait(60)
    checked = await parley_command(tmp_path, "check", **settings)
    assert checked.stdout == "0 broken invariants\n", checked.stderr
