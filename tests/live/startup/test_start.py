"""Concurrent starts on a new database, refused starts and the other commands."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from app import VERSION
from app.db import schema
from app.db.models import MessageRow, ProcessRow
from tests.support.files import file_names
from tests.support.postgres import PostgresCluster
from tests.support.process import PARLEY, SERVE, UVICORN, parley_command, parley_process
from tests.support.stored import count_rows, execute
from tests.support.wire import exchanged

REFUSED = 2
STARTUP_FAILED = 3
SECRETS = {"openai_api_key": "sk-secret", "groq_api_key": "gsk-secret"}


async def start_four(directory: Path, url: str) -> None:
    """Start four processes at once on an empty database and check its schema and leases."""
    async with contextlib.AsyncExitStack() as stack:
        settings: dict[str, Any] = {"database_url": url, "llm_provider": "scripted"}
        starts = [stack.enter_async_context(parley_process(directory, SERVE, **settings)) for _ in range(4)]
        for parley in await asyncio.gather(*starts):
            await parley.client.create_conversation(message="Hello")
            assert {line["level"] for line in parley.log} == {"info"}
        assert await execute(url, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]
        assert await count_rows(url, ProcessRow) == 4


async def test_four_starts_on_a_new_file(tmp_path: Path) -> None:
    """Four processes that start together without a file all become ready, and the schema is created once."""
    await start_four(tmp_path, f"sqlite:///{tmp_path}/new/parley.db")


async def test_four_starts_on_a_new_postgresql_database(tmp_path: Path, cluster: PostgresCluster) -> None:
    """Four processes that start together on an empty database all become ready, and the schema is created once."""
    cluster.create_database("four")
    await start_four(tmp_path, cluster.url("four"))


async def each_command(directory: Path, **settings: Any) -> list[subprocess.CompletedProcess[str]]:
    """Return the results of all commands that need a database."""
    commands = [parley_command(directory, command, **settings) for command in ("serve", "migrate", "check")]
    return await asyncio.gather(*commands)


def reason(refused: subprocess.CompletedProcess[str]) -> str:
    """Return the reasons for which a command was refused, one a line, having checked that it printed nothing else."""
    assert (refused.returncode, refused.stdout) == (REFUSED, ""), refused.stderr
    lines = refused.stderr.splitlines()
    assert all(line.startswith("parley: ") for line in lines)
    return "\n".join(line.removeprefix("parley: ") for line in lines)


async def test_newer_schema_is_refused(tmp_path: Path, database_url: str) -> None:
    """A revision of a newer release ends each command with a line that says why, and changes nothing."""
    await execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for refused in await each_command(tmp_path, database_url=database_url):
        assert reason(refused).startswith("The database has schema 9999, which is newer than this release")
    assert await execute(database_url, "SELECT version_num FROM alembic_version") == [("9999",)]


async def test_misspelt_setting_is_a_warning(tmp_path: Path) -> None:
    """A name in `.env` that resembles a setting is reported with that setting; other names are ignored."""
    (tmp_path / ".env").write_text(
        "LLM_PROVDER=openai\nopenai_apikey=sk-secret\nPOSTGRES_DB=x\nLLM_PROVIDER=scripted\n"
    )
    async with parley_process(tmp_path) as parley:
        warnings = [line["event"] for line in parley.log if line["level"] == "warning"]
    assert warnings == [
        "LLM_PROVDER in .env is not a setting; did you mean LLM_PROVIDER?",
        "OPENAI_APIKEY in .env is not a setting; did you mean OPENAI_API_KEY?",
    ]


async def test_invalid_settings_stop_the_start(tmp_path: Path) -> None:
    """Invalid values end the start with status 2 and a line for each setting, without a secret."""
    misspelt = {
        "port": "eighty",
        "database_url": "mysql://root:hunter2@localhost/parley",
        "llm_provider": "chatgpt",
        "openai_api_key": "sk-secret-\N{LATIN SMALL LETTER E WITH ACUTE}",
        "drain_seconds": "-1",
    }
    refused = await parley_command(tmp_path, "serve", **SECRETS | misspelt)
    said = reason(refused).splitlines()
    assert [line.partition(" ")[0].lower() for line in said] == list(misspelt)
    assert all(line.endswith(".") for line in said)
    assert "Value error" not in refused.stderr
    assert not any(secret in refused.stderr for secret in (*SECRETS.values(), "hunter2"))
    assert file_names(tmp_path) == []


@pytest.mark.parametrize("url", ["hunter2", "sqlite://", "sqlite:///:memory:"])
async def test_invalid_database_url_is_named(tmp_path: Path, url: str) -> None:
    """A DATABASE_URL that is no URL, or in memory, is refused as a setting."""
    refused = await parley_command(tmp_path, "migrate", database_url=url)
    assert reason(refused).startswith("DATABASE_URL ")
    assert "hunter2" not in refused.stderr


async def test_serve_applies_cors_and_refuses_bad_http(tmp_path: Path) -> None:
    """CORS_ORIGINS is applied, and malformed HTTP is answered with a problem document."""
    async with parley_process(tmp_path, llm_provider="scripted", cors_origins="https://app.example") as parley:
        answer = await parley.client.get("/livez", headers={"Origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        [refusal] = await exchanged(parley.url, b"nonsense\r\n\r\n")
    assert (refusal.status, refusal.json()["code"]) == (400, "bad-request")
    assert "server" not in refusal.headers


async def test_command_line_overrides_environment(tmp_path: Path) -> None:
    """With --port an invalid PORT does no harm."""
    async with parley_process(tmp_path, llm_provider="scripted", port="eighty") as parley:
        assert await parley.answers("/readyz")


@pytest.mark.parametrize("given", [{"port": "eighty"}, {"llm_provider": "groq", "groq_api_key": ""}])
async def test_uvicorn_shows_no_secrets(tmp_path: Path, given: dict[str, str]) -> None:
    """Started by uvicorn, invalid settings are named in the traceback without any key."""
    settings = SECRETS | {"database_url": "postgresql://parley:hunter2@127.0.0.1:1/parley"} | given
    refused = await parley_command(tmp_path, "app.main:app", "--port", "0", command=UVICORN, **settings)
    assert refused.returncode == 1
    assert next(iter(given)) in refused.stderr.lower()
    assert not any(secret in refused.stderr for secret in (*SECRETS.values(), "hunter2"))


async def test_migrate_twice(tmp_path: Path) -> None:
    """`parley migrate` creates the schema and prints its revision; a second run changes nothing."""
    for _ in range(2):
        migrated = await parley_command(tmp_path, "migrate", command=PARLEY)
        assert (migrated.returncode, migrated.stdout) == (0, f"schema {schema.HEAD}\n")
    assert (tmp_path / "data" / "parley.db").is_file()


async def test_version(tmp_path: Path) -> None:
    """`parley version` and `parley --version` print the release without reading settings."""
    for argument in ("version", "--version"):
        printed = await parley_command(tmp_path, argument, command=PARLEY, port="eighty")
        assert (printed.returncode, printed.stdout) == (0, f"{VERSION}\n")


async def test_check_names_a_damaged_conversation(tmp_path: Path, database_url: str) -> None:
    """`parley check` passes a sound database and names a conversation in which a message is missing."""
    async with parley_process(tmp_path, database_url=database_url, llm_provider="scripted") as parley:
        healthy, damaged = [await parley.client.create_conversation(message=f"Hello {n}") for n in range(2)]
    checked = await parley_command(tmp_path, "check", database_url=database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")
    lost = damaged["messages"][0]["message_id"]
    await execute(database_url, delete(MessageRow).where(MessageRow.message_id == lost))
    checked = await parley_command(tmp_path, "check", database_url=database_url)
    assert checked.returncode == 1
    named = f"conversation {damaged['conversation_id']} has gaps or duplicates in its sequence numbers"
    assert named in checked.stdout.splitlines()
    assert healthy["conversation_id"] not in checked.stdout


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_check_of_an_empty_database(tmp_path: Path, cluster: PostgresCluster, kind: str) -> None:
    """`parley check` of a database without a schema says to run `parley migrate`, and creates nothing."""
    cluster.create_database("empty")
    url = {"sqlite": f"sqlite:///{tmp_path}/empty.db", "postgresql": cluster.url("empty")}[kind]
    try:
        refused = await parley_command(tmp_path, "check", database_url=url)
    finally:
        cluster.drop_database("empty")
    assert "`parley migrate`" in reason(refused)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"local_model_path": "missing.gguf"}, "LOCAL_MODEL_PATH: there is no file missing.gguf"),
        ({"openai_api_key": "k", "all_proxy": "socks5://u:secret@127.0.0.1:9"}, "ALL_PROXY is a SOCKS proxy"),
    ],
)
async def test_start_without_a_provider_is_refused(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    """Without a usable provider `serve` is refused with the reason; other commands run."""
    refused = await parley_command(tmp_path, "serve", **settings)
    assert says in reason(refused)
    assert "secret" not in refused.stderr
    assert (await parley_command(tmp_path, "migrate", **settings)).returncode == 0


async def test_uvicorn_without_a_provider_is_refused(tmp_path: Path) -> None:
    """Started by uvicorn the process ends with the same sentence."""
    command = (*UVICORN, "app.main:app", "--port", "0")
    refused = await parley_command(tmp_path, command=command, local_model_path="missing.gguf")
    assert refused.returncode == STARTUP_FAILED
    assert "LOCAL_MODEL_PATH: there is no file missing.gguf" in refused.stderr


async def test_suspicious_base_url_is_logged(tmp_path: Path) -> None:
    """The process serves, and its log says what the base URL should probably be."""
    async with parley_process(tmp_path, openai_base_url="http://127.0.0.1:9", llm_model="m") as parley:
        said = [line["event"] for line in parley.log if line["level"] == "warning"]
    assert said == ["OPENAI_BASE_URL has no /v1: most servers have their API at http://127.0.0.1:9/v1"]
