"""The answers that providers were seen to send, asked for as a caller does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.talk import got, make, messages_of, problem_of, say
from tests.support.answer_cases import EXPECTED_OF_GIVEN, GIVEN, Made
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUSES = {"provider-error": 502, "provider-auth": 502, "context-too-long": 422, "unknown-model": 422}


async def test_each_answer_ends_as_it_should(openai_service: Service, provider: FakeProvider) -> None:
    """All at once, by the wall's clock: status, text, reasoning, finish reason and usage are those of the table."""
    provider.default = lambda call: GIVEN[call.body["model"]]
    answers = await asyncio.gather(*(answered(openai_service, name) for name in GIVEN))
    for (name, expected), (response, reply) in zip(EXPECTED_OF_GIVEN.items(), answers, strict=True):
        if not isinstance(expected, Made):
            problem_of(response, STATUSES[expected.code], expected.code)
            assert (name, reply["status"], reply["content"]) == (name, "failed", expected.text)
            continue
        assert (name, response.status_code) == (name, 201)
        stored = [reply[member] for member in ("status", "content", "finish_reason", "reasoning")]
        assert (name, stored) == (name, ["completed", expected.text, expected.reason, expected.reasoning or None])
        assert (name, reply["usage"]["estimated"]) == (name, expected.tokens is None)


async def answered(service: Service, name: str) -> tuple[Any, dict[str, Any]]:
    """What a caller gets for a turn with the model of that name, and the reply as it is stored."""
    made = await make(service)
    response = await say(service, made, "hello", model=name)
    reply = (await got(service, messages_of(made), include="reasoning"))[-1]
    return response, reply
