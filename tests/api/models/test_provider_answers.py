"""Recorded answers of real providers, as the API returns them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.answer_cases import EXPECTED_OF_GIVEN, GIVEN, Made
from tests.support.parley_client import ParleyClient
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUSES = {"provider-error": 502, "provider-auth": 502, "context-too-long": 422, "unknown-model": 422}


async def test_recorded_answers(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Status, text, reasoning, finish reason and usage of each recorded answer are the expected ones."""
    provider.default = lambda call: GIVEN[call.body["model"]]
    answers = await asyncio.gather(*(send_to_model(openai_client, name) for name in GIVEN))
    for (name, expected), (response, reply) in zip(EXPECTED_OF_GIVEN.items(), answers, strict=True):
        if not isinstance(expected, Made):
            expect_problem(response, STATUSES[expected.code], expected.code)
            assert (name, reply["status"], reply["content"]) == (name, "failed", expected.text)
            continue
        assert (name, response.status_code) == (name, 201)
        stored = [reply[member] for member in ("status", "content", "finish_reason", "reasoning")]
        assert (name, stored) == (name, ["completed", expected.text, expected.reason, expected.reasoning or None])
        assert (name, reply["usage"]["estimated"]) == (name, expected.tokens is None)


async def send_to_model(client: ParleyClient, name: str) -> tuple[Any, dict[str, Any]]:
    """Send a message to the model of that name; return the answer, and the stored reply."""
    conversation = await client.create_conversation()
    response = await client.post_message(conversation, "hello", model=name)
    reply = (await client.get_messages(conversation, include="reasoning"))[-1]
    return response, reply
