"""Secrets of operators in logs, answers and rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.parley_client import conversation_path
from tests.support.postgres import PostgresCluster
from tests.support.problems import expect_problem
from tests.support.process import parley_process
from tests.support.provider import FakeProvider
from tests.support.replies import Response
from tests.support.stored import execute

OPENAI_KEY = "sk-Zq8vT3kLw0secret"
GROQ_KEY = "gsk-Yp7uR2jKv9secret"
PASSWORD = "Xo6tQ1iJu8secret"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
SECRETS = (OPENAI_KEY, GROQ_KEY, PASSWORD)


def refusal(key: str) -> Response:
    """Return a 401 with the key in its body and in a header, as some gateways send it."""
    error = {"message": f"Incorrect API key provided: {key}.", "type": "invalid_request_error", "code": key}
    return Response(401, json.dumps({"error": error}).encode(), {"x-key": key})


@pytest.mark.parametrize(("name", "key"), [("openai", OPENAI_KEY), ("groq", GROQ_KEY)])
async def test_refused_key_is_shown_nowhere(
    tmp_path: Path, cluster: PostgresCluster, provider: FakeProvider, name: str, key: str
) -> None:
    """If a provider repeats the key in its refusal, no log line, even at debug level, answer or row holds it."""
    provider.default = refusal(key)
    database = f"secrets_{name}"
    cluster.create_database(database)
    settings: dict[str, Any] = {
        "openai_api_key": OPENAI_KEY,
        "openai_base_url": provider.openai_base_url,
        "groq_api_key": GROQ_KEY,
        "groq_base_url": provider.groq_base_url,
        "database_url": cluster.url(database).replace("postgres@", f"postgres:{PASSWORD}@"),
    }
    async with parley_process(tmp_path, log_level="debug", llm_provider=name, **settings) as parley:
        conversation = await parley.client.create_conversation()
        refused = await parley.client.post_message(conversation, "Hello")
        streamed = await parley.client.post_message(conversation, "Hello", stream=True)
        path = conversation_path(conversation)
        listed = await parley.client.get(path)
        reply = f"{path}/messages/{refused.json()['message_id']}"
        others = (f"{reply}/attempts", f"{reply}/context", "/models", "/usage?user_id=ada")
        fetched = [await parley.client.get(each) for each in others]
        tables = await execute(settings["database_url"], TABLES)
        stored = [
            await execute(settings["database_url"], f"SELECT CAST(t AS TEXT) FROM {name} t") for (name,) in tables
        ]
        expect_problem(refused, 502, "provider-auth")
        assert "event: message.failed" in streamed.text
        parley.terminate()
        await parley.wait(5)
    assert any("a turn failed" in line for line in parley.lines)
    assert f"Bearer {key}" in provider.calls[0].headers["authorization"]
    assert len(stored) > 5
    answers = [refused, streamed, listed, *fetched]
    shown = "\n".join([*parley.lines, *(answer.text for answer in answers), repr(stored)])
    assert [secret for secret in SECRETS if secret in shown] == []
