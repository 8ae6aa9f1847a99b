"""Commands on a SQLite file that is damaged in ways that disks, copies and editors damage files."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.db.schema import HEAD
from tests.support.databases import SqliteTemplate
from tests.support.process import parley_command, parley_process

NONSENSE = random.Random(11).randbytes
NO_DATABASE = "parley: The database cannot be used: file is not a database (SQLITE_NOTADB)\n"
MALFORMED = "parley: The database cannot be used: database disk image is malformed (SQLITE_CORRUPT)\n"


@pytest.fixture
def whole(tmp_path: Path, sqlite_template: SqliteTemplate) -> bytes:
    """Return the bytes of a database of some megabytes."""
    with sqlite_template.copy() as url, closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        ids = [(f"01900000-0000-7000-8000-{number:012}", f"user{number}", "x" * 500) for number in range(3_000)]
        connection.executemany("INSERT INTO users (id, user_id, name, created_at) VALUES (?, ?, ?, 1)", ids)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(url.removeprefix("sqlite:///")).read_bytes()


def damage_table(file: Path, name: str) -> None:
    """Overwrite the first page of a table and of each of its indexes."""
    with closing(sqlite3.connect(file)) as connection:
        pages = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ?", (name,)).fetchall()
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    damaged = bytearray(file.read_bytes())
    for (page,) in pages:
        damaged[(page - 1) * size : page * size] = NONSENSE(size)
    file.write_bytes(damaged)


@pytest.mark.parametrize("name", ["serve", "migrate", "check"])
async def test_unreadable_file_is_one_line(tmp_path: Path, whole: bytes, name: str) -> None:
    """A file that is damaged at its beginning or for the most part ends each command with one line, unchanged."""
    cases = {
        whole[:100] + NONSENSE(3_996) + whole[4_096:]: MALFORMED,
        NONSENSE(100) + whole[100:]: NO_DATABASE,
        whole[: len(whole) // 2]: MALFORMED,
        whole[:50]: MALFORMED,
        whole[:4_096] + NONSENSE(len(whole) - 4_096): MALFORMED,
        b"nonsense\n" * 1_000: NO_DATABASE,
        bytes(len(whole)): NO_DATABASE,
    }
    for content, said in list(cases.items())[: None if name == "check" else 2]:
        (tmp_path / "parley.db").write_bytes(content)
        options = ["--port=0"] if name == "serve" else []
        done = await parley_command(tmp_path, name, *options, data_dir=tmp_path, llm_provider="scripted")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
        assert (tmp_path / "parley.db").read_bytes() == content


async def test_unwritable_table_is_one_line(tmp_path: Path, whole: bytes) -> None:
    """If the schema is readable but the table of processes is damaged, `serve` ends with the same line."""
    file = tmp_path / "parley.db"
    file.write_bytes(whole)
    damage_table(file, "processes")
    done = await parley_command(tmp_path, "serve", "--port=0", data_dir=tmp_path, llm_provider="scripted")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", MALFORMED)


async def test_check_finds_damaged_pages(tmp_path: Path, whole: bytes) -> None:
    """`parley check` reads all pages and reports overwritten and truncated ones."""
    file = tmp_path / "parley.db"
    file.write_bytes(whole)
    damage_table(file, "messages")
    done = await parley_command(tmp_path, "check", data_dir=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", MALFORMED)
    file.write_bytes(whole[:-1_000])
    done = await parley_command(tmp_path, "check", data_dir=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    *findings, count = done.stdout.splitlines()
    assert findings
    assert all(each.startswith("the file is damaged: ") for each in findings)
    assert count == f"{len(findings)} broken invariants"


async def test_corrupt_log_is_ignored(tmp_path: Path, whole: bytes) -> None:
    """A write-ahead log with wrong checksums is ignored, as by SQLite itself."""
    for log in (NONSENSE(100_000), b"\x37\x7f\x06\x82" + NONSENSE(50_000), b""):
        (tmp_path / "parley.db").write_bytes(whole)
        (tmp_path / "parley.db-wal").write_bytes(log)
        (tmp_path / "parley.db-shm").write_bytes(NONSENSE(32_768))
        done = await parley_command(tmp_path, "check", data_dir=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "0 broken invariants\n", "")
    async with parley_process(tmp_path, data_dir=tmp_path, llm_provider="scripted") as parley:
        assert (await parley.client.get("/users/user7")).status_code == 200


async def test_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    """An empty file, as SQLite leaves one before its first write, is migrated."""
    (tmp_path / "parley.db").write_bytes(b"")
    done = await parley_command(tmp_path, "migrate", data_dir=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"schema {HEAD}\n")
