"""The first minute of a new user: a start in an empty directory, one request, an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.db.models import MessageRow
from tests.support.files import file_names
from tests.support.postgres import PostgresCluster
from tests.support.problems import expect_problem
from tests.support.process import Parley, parley_process
from tests.support.provider import FakeProvider
from tests.support.replies import Dialect
from tests.support.stored import count_rows


async def first_answer(parley: Parley) -> dict[str, Any]:
    """Send the README's request and return its answer, having checked the parts that all first answers share."""
    answer = await parley.client.create_conversation(
        user_id=1, message="Please tell me: what is the capital of France?"
    )
    assert (answer["user_id"], answer["title"]) == ("1", "Please tell me: what is the capital of France?")
    question, reply = answer["messages"]
    assert (question["sequence_number"], reply["sequence_number"]) == (1, 2)
    assert (reply["status"], reply["content"]) == ("completed", answer["assistant_reply"])
    assert reply["content"].strip()
    return answer


def names(provider: FakeProvider, *keys: str) -> dict[str, Any]:
    """Return settings that send requests to the fake provider, with keys that end in a newline as in a file."""
    settings = {
        "openai": {"openai_api_key": "sk-secret\n", "openai_base_url": provider.openai_base_url},
        "groq": {"groq_api_key": "gsk-secret\n", "groq_base_url": provider.groq_base_url},
    }
    return {name: value for key in keys for name, value in settings[key].items()}


async def test_embedded_model_answers_without_a_key(tmp_path: Path) -> None:
    """In an empty directory without any settings the first request is answered, titled and stored."""
    async with parley_process(tmp_path) as parley:
        answer = await first_answer(parley)
        assert answer["messages"][1]["provider"] == "local"
        assert await count_rows(f"sqlite:///{tmp_path}/data/parley.db", MessageRow) == 2
        assert file_names(tmp_path) == ["data"]
    assert {line["level"] for line in parley.log} == {"info"}


async def test_broken_model_does_not_delay_the_start(tmp_path: Path) -> None:
    """The process becomes ready with an unreadable embedded model; a turn reports that the model is unavailable."""
    file = tmp_path / "none.gguf"
    file.write_text("This is no model.")
    async with parley_process(tmp_path, local_model_path=file) as parley:
        response = await parley.client.post("/conversations", json={"user_id": 1, "message": "Hello"})
        expect_problem(response, 503, "provider-unavailable")
        assert await parley.answers("/readyz")


@pytest.mark.parametrize(
    ("keys", "dialect"),
    [(("openai",), Dialect.OPENAI), (("groq",), Dialect.GROQ), (("groq", "openai"), Dialect.OPENAI)],
    ids=["openai", "groq", "both"],
)
async def test_key_chooses_the_provider(
    tmp_path: Path, provider: FakeProvider, keys: tuple[str, ...], dialect: Dialect
) -> None:
    """With a provider's key the same request is answered by that provider; with both keys by OpenAI."""
    async with parley_process(tmp_path, **names(provider, *keys)) as parley:
        answer = await first_answer(parley)
    assert answer["assistant_reply"].startswith("Echo: Please tell me")
    assert answer["messages"][1]["provider"] == dialect.name.lower()
    assert [call.dialect for call in provider.calls] == [dialect]


async def first_answer_at(directory: Path, url: str) -> None:
    """Start with the database at a URL, and send the first request."""
    async with parley_process(directory, database_url=url, llm_provider="scripted") as parley:
        await first_answer(parley)


async def test_postgresql_url_schemes(tmp_path: Path, cluster: PostgresCluster) -> None:
    """Any scheme of a PostgreSQL URL fills an empty database, and no file is made."""
    databases = {scheme: f"first_{n}" for n, scheme in enumerate(("postgresql", "postgres", "postgresql+asyncpg"))}
    for name in databases.values():
        cluster.create_database(name)
    urls = [cluster.url(name).replace("postgresql", scheme, 1) for scheme, name in databases.items()]
    await asyncio.gather(*(first_answer_at(tmp_path, url) for url in urls))
    assert [cluster.psql("SELECT count(*) FROM messages", name) for name in databases.values()] == ["2"] * 3
    assert file_names(tmp_path) == []


async def test_sqlite_url_names_the_file(tmp_path: Path) -> None:
    """Any scheme of a SQLite URL puts the database at its path, whose directory is made."""
    urls = ["sqlite:///kept/here/one.db", f"sqlite+aiosqlite:///{tmp_path}/kept/there/other.db"]
    await asyncio.gather(*(first_answer_at(tmp_path, url) for url in urls))
    for path in ("kept/here/one.db", "kept/there/other.db"):
        assert await count_rows(f"sqlite:///{tmp_path}/{path}", MessageRow) == 2
    assert file_names(tmp_path) == ["kept"]


async def test_settings_from_env_file(tmp_path: Path) -> None:
    """Settings are read from `.env` in the working directory, and the environment overrides them."""
    (tmp_path / ".env").write_text("LLM_PROVIDER=scripted\nLLM_MODEL=fail\nDATA_DIR=elsewhere\n")
    async with parley_process(tmp_path, llm_model="echo") as parley:
        answer = await first_answer(parley)
        assert (answer["messages"][1]["provider"], answer["messages"][1]["model"]) == ("scripted", "echo")
        assert (tmp_path / "elsewhere" / "parley.db").is_file()
