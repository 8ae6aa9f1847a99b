"""Starts: several at once on one fresh database, and those that must not happen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app import VERSION
from app.db import schema
from tests.live.talk import make, names_in, rows
from tests.support.postgres import PostgresCluster
from tests.support.process import UVICORN, parley_command, parley_process
from tests.support.wire import exchanged

REFUSED = 2
STARTUP_FAILED = 3
SECRETS = {"openai_api_key": "sk-secret", "groq_api_key": "gsk-secret"}


async def start_four(directory: Path, url: str) -> None:
    """Starts four processes at once on an empty database and looks at what they have made of it."""
    async with contextlib.AsyncExitStack() as stack:
        settings: dict[str, Any] = {"database_url": url, "llm_provider": "scripted"}
        starts = [stack.enter_async_context(parley_process(directory, **settings)) for _ in range(4)]
        for parley in await asyncio.gather(*starts):
            await make(parley, message="Hello")
            assert {line["level"] for line in parley.log} == {"info"}
        assert await rows(url, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]
        assert await rows(url, "SELECT count(*) FROM processes") == [(4,)]


async def test_four_starts_at_once_on_a_fresh_file(tmp_path: Path) -> None:
    """Four processes that start together on no file at all are all ready, and the schema is there once."""
    await start_four(tmp_path, f"sqlite:///{tmp_path}/new/parley.db")


async def test_four_starts_at_once_on_a_fresh_postgresql_database(tmp_path: Path, cluster: PostgresCluster) -> None:
    """Four processes that start together on an empty PostgreSQL database are all ready, the schema is there once."""
    cluster.create_database("four")
    await start_four(tmp_path, cluster.url("four"))


async def each_command(directory: Path, **settings: Any) -> list[subprocess.CompletedProcess[str]]:
    """What each command that needs a database came to."""
    commands = [parley_command(directory, command, **settings) for command in ("serve", "migrate", "check")]
    return await asyncio.gather(*commands)


def reason(refused: subprocess.CompletedProcess[str]) -> str:
    """Why a command cannot run, the one thing that it leaves behind: a line each, where there are several reasons."""
    assert (refused.returncode, refused.stdout) == (REFUSED, ""), refused.stderr
    lines = refused.stderr.splitlines()
    assert all(line.startswith("parley: ") for line in lines)
    return "\n".join(line.removeprefix("parley: ") for line in lines)


async def test_a_schema_of_another_release_is_refused(tmp_path: Path, database_url: str) -> None:
    """A revision that this release does not know ends each command with a line that says why; nothing is changed."""
    await rows(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for refused in await each_command(tmp_path, database_url=database_url):
        assert reason(refused).startswith("The database has schema 9999, which is newer than this release")
    assert await rows(database_url, "SELECT version_num FROM alembic_version") == [("9999",)]


async def test_a_misspelt_setting_in_a_file_is_named(tmp_path: Path) -> None:
    """A name in `.env` that is almost a setting's is reported with the nearest setting; other names are left alone."""
    (tmp_path / ".env").write_text(
        "LLM_PROVDER=openai\nopenai_apikey=sk-secret\nPOSTGRES_DB=x\nLLM_PROVIDER=scripted\n"
    )
    async with parley_process(tmp_path) as parley:
        warnings = [line["event"] for line in parley.log if line["level"] == "warning"]
    assert warnings == [
        "LLM_PROVDER in .env is not a setting; did you mean LLM_PROVIDER?",
        "OPENAI_APIKEY in .env is not a setting; did you mean OPENAI_API_KEY?",
    ]


async def test_a_setting_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """Misspelt values end it with status 2 and a line each that names the setting, without a secret."""
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
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("url", ["hunter2", "sqlite://", "sqlite:///:memory:"])
async def test_a_database_that_is_none_is_named(tmp_path: Path, url: str) -> None:
    """What is no URL, or one of a database that is gone with its connection, is refused as a setting."""
    refused = await parley_command(tmp_path, "migrate", database_url=url)
    assert reason(refused).startswith("DATABASE_URL ")
    assert "hunter2" not in refused.stderr


async def test_the_command_serves_pages_and_refuses_what_is_no_http(tmp_path: Path) -> None:
    """What the environment says of origins holds, and what is no HTTP is a problem, as all refusals are."""
    async with parley_process(tmp_path, llm_provider="scripted", cors_origins="https://app.example") as parley:
        answer = await parley.client.get("/livez", headers={"Origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        [refusal] = await exchanged(parley.url, b"nonsense\r\n\r\n")
    assert (refusal.status, refusal.json()["code"]) == (400, "bad-request")
    assert "server" not in refusal.headers


async def test_the_command_line_overrides_the_environment(tmp_path: Path) -> None:
    """With --port even a PORT that cannot be read does no harm."""
    async with parley_process(tmp_path, llm_provider="scripted", port="eighty") as parley:
        assert await parley.answers("/readyz")


@pytest.mark.parametrize("given", [{"port": "eighty"}, {"llm_provider": "groq", "groq_api_key": ""}])
async def test_uvicorn_alone_does_not_show_secrets_either(tmp_path: Path, given: dict[str, str]) -> None:
    """Settings that cannot be read are named in what Python prints, and no key is beside them."""
    settings = SECRETS | {"database_url": "postgresql://parley:hunter2@127.0.0.1:1/parley"} | given
    refused = await parley_command(tmp_path, "app.main:app", "--port", "0", command=UVICORN, **settings)
    assert refused.returncode == 1
    assert next(iter(given)) in refused.stderr.lower()
    assert not any(secret in refused.stderr for secret in (*SECRETS.values(), "hunter2"))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_port_that_is_taken_ends_the_start(tmp_path: Path, workers: int) -> None:
    """Where another program listens on the port the process says so and ends with a status that is no success."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = await parley_command(tmp_path, "serve", port=port, web_concurrency=workers, llm_provider="scripted")
    assert ended.returncode == STARTUP_FAILED
    assert "address already in use" in ended.stderr.lower()


async def test_migrations_may_run_twice(tmp_path: Path) -> None:
    """`parley migrate` makes the database and says what it has; once more it changes nothing."""
    for _ in range(2):
        migrated = await parley_command(tmp_path, "migrate")
        assert (migrated.returncode, migrated.stdout) == (0, f"schema {schema.HEAD}\n")
    assert (tmp_path / "data" / "parley.db").is_file()


async def test_the_version_is_printed(tmp_path: Path) -> None:
    """`parley version` and `parley --version` print the release, and read no settings."""
    for argument in ("version", "--version"):
        printed = await parley_command(tmp_path, argument, port="eighty")
        assert (printed.returncode, printed.stdout) == (0, f"{VERSION}\n")


async def test_a_check_finds_what_was_damaged(tmp_path: Path, database_url: str) -> None:
    """`parley check` passes a healthy database; where a message was taken out it names the conversation."""
    async with parley_process(tmp_path, database_url=database_url, llm_provider="scripted") as parley:
        healthy, damaged = [await make(parley, message=f"Hello {n}") for n in range(2)]
    checked = await parley_command(tmp_path, "check", database_url=database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")
    await rows(database_url, f"DELETE FROM messages WHERE message_id = '{damaged['messages'][0]['message_id']}'")
    checked = await parley_command(tmp_path, "check", database_url=database_url)
    assert checked.returncode == 1
    named = f"conversation {damaged['conversation_id']} has gaps or duplicates in its sequence numbers"
    assert named in checked.stdout.splitlines()
    assert healthy["conversation_id"] not in checked.stdout


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_check_of_an_empty_database_says_what_to_do(
    tmp_path: Path, cluster: PostgresCluster, kind: str
) -> None:
    """`parley check` needs a schema, and says how it is had; it makes none."""
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
async def test_a_start_that_could_not_answer_is_refused(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    """Without anybody who can answer, or a way to them, nothing is started; other commands run."""
    refused = await parley_command(tmp_path, "serve", **settings)
    assert says in reason(refused)
    assert "secret" not in refused.stderr
    assert (await parley_command(tmp_path, "migrate", **settings)).returncode == 0


async def test_uvicorn_refuses_it_as_well(tmp_path: Path) -> None:
    """Without the command the start ends with the same sentence."""
    command = (*UVICORN, "app.main:app", "--port", "0")
    refused = await parley_command(tmp_path, command=command, local_model_path="missing.gguf")
    assert refused.returncode == STARTUP_FAILED
    assert "LOCAL_MODEL_PATH: there is no file missing.gguf" in refused.stderr


async def test_a_base_url_that_is_probably_wrong_is_said(tmp_path: Path) -> None:
    """The start goes on, and its log names what may be meant."""
    async with parley_process(tmp_path, openai_base_url="http://127.0.0.1:9", llm_model="m") as parley:
        said = [line["event"] for line in parley.log if line["level"] == "warning"]
    assert said == ["OPENAI_BASE_URL has no /v1: most servers have their API at http://127.0.0.1:9/v1"]
