"""What a newcomer meets: a start in an empty directory, one request, an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.live.talk import make, names_in, rows
from tests.support.postgres import PostgresCluster
from tests.support.process import Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.replies import Dialect


async def first_answer(parley: Parley) -> dict[str, Any]:
    """What the README's request is answered with, after looking at what holds for every first answer."""
    answer = await make(parley, user_id=1, message="Please tell me: what is the capital of France?")
    assert (answer["user_id"], answer["title"]) == ("1", "Please tell me: what is the capital of France?")
    question, reply = answer["messages"]
    assert (question["sequence_number"], reply["sequence_number"]) == (1, 2)
    assert (reply["status"], reply["content"]) == ("completed", answer["assistant_reply"])
    assert reply["content"].strip()
    return answer


def names(provider: FakeProvider, *keys: str) -> dict[str, Any]:
    """Settings that send requests to the fake provider, with keys as read from a file that ends with a line."""
    settings = {
        "openai": {"openai_api_key": "sk-secret\n", "openai_base_url": provider.openai_base_url},
        "groq": {"groq_api_key": "gsk-secret\n", "groq_base_url": provider.groq_base_url},
    }
    return {name: value for key in keys for name, value in settings[key].items()}


async def test_without_a_key_the_embedded_model_answers(tmp_path: Path) -> None:
    """In an empty directory, with no settings at all, one request is answered, titled and stored."""
    async with parley_process(tmp_path) as parley:
        answer = await first_answer(parley)
        assert answer["messages"][1]["provider"] == "local"
        assert len(await rows(f"sqlite:///{tmp_path}/data/parley.db", "SELECT 1 FROM messages")) == 2
        assert names_in(tmp_path) == ["data"]
    assert {line["level"] for line in parley.log} == {"info"}


async def test_a_model_that_cannot_be_loaded_does_not_hold_up_the_start(tmp_path: Path) -> None:
    """Readiness does not depend on the embedded model; a turn says that the model is not to be had."""
    file = tmp_path / "none.gguf"
    file.write_text("This is no model.")
    async with parley_process(tmp_path, local_model_path=file) as parley:
        response = await parley.client.post("/conversations", json={"user_id": 1, "message": "Hello"})
        assert (response.status_code, response.json()["code"]) == (503, "provider-unavailable")
        assert await parley.answers("/readyz")


@pytest.mark.parametrize(
    ("keys", "dialect"),
    [(("openai",), Dialect.OPENAI), (("groq",), Dialect.GROQ), (("groq", "openai"), Dialect.OPENAI)],
    ids=["openai", "groq", "both"],
)
async def test_a_key_chooses_the_provider(
    tmp_path: Path, provider: FakeProvider, keys: tuple[str, ...], dialect: Dialect
) -> None:
    """With a provider's key in the environment it answers the same request; with both keys it is OpenAI."""
    async with parley_process(tmp_path, **names(provider, *keys)) as parley:
        answer = await first_answer(parley)
    assert answer["assistant_reply"].startswith("Echo: Please tell me")
    assert answer["messages"][1]["provider"] == dialect.name.lower()
    assert [call.dialect for call in provider.calls] == [dialect]


async def first_answer_at(directory: Path, url: str) -> None:
    """Goes through the first minute with the database at a URL."""
    async with parley_process(directory, database_url=url, llm_provider="scripted") as parley:
        await first_answer(parley)


async def test_a_postgresql_url_is_where_it_all_stands(tmp_path: Path, cluster: PostgresCluster) -> None:
    """Whatever scheme a PostgreSQL URL is written with, an empty database is filled, and no file is made."""
    databases = {scheme: f"first_{n}" for n, scheme in enumerate(("postgresql", "postgres", "postgresql+asyncpg"))}
    for name in databases.values():
        cluster.create_database(name)
    urls = [cluster.url(name).replace("postgresql", scheme, 1) for scheme, name in databases.items()]
    await asyncio.gather(*(first_answer_at(tmp_path, url) for url in urls))
    assert [cluster.psql("SELECT count(*) FROM messages", name) for name in databases.values()] == ["2"] * 3
    assert names_in(tmp_path) == []


async def test_a_sqlite_url_names_the_file(tmp_path: Path) -> None:
    """Whatever scheme a SQLite URL is written with, the file stands where it says, in a directory made for it."""
    urls = ["sqlite:///kept/here/one.db", f"sqlite+aiosqlite:///{tmp_path}/kept/there/other.db"]
    await asyncio.gather(*(first_answer_at(tmp_path, url) for url in urls))
    for path in ("kept/here/one.db", "kept/there/other.db"):
        assert len(await rows(f"sqlite:///{tmp_path}/{path}", "SELECT 1 FROM messages")) == 2
    assert names_in(tmp_path) == ["kept"]


async def test_settings_are_read_from_a_file_in_the_working_directory(tmp_path: Path) -> None:
    """`.env` in the working directory gives settings, and the environment overrides it."""
    (tmp_path / ".env").write_text("LLM_PROVIDER=scripted\nLLM_MODEL=fail\nDATA_DIR=elsewhere\n")
    async with parley_process(tmp_path, llm_model="echo") as parley:
        answer = await first_answer(parley)
        assert (answer["messages"][1]["provider"], answer["messages"][1]["model"]) == ("scripted", "echo")
        assert (tmp_path / "elsewhere" / "parley.db").is_file()
