"""Optional parameters that a model refuses are renamed or left out, and remembered for that model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import TurnFailed
from app.http.openai_client import is_openai
from app.llm.base import ChatRequest
from app.llm.providers.openai import OpenAIModel
from app.llm.providers.optional_parameters import is_openai_or_azure
from tests.support.clock import run
from tests.support.provider import Call, FakeProvider
from tests.support.replies import Answer, Reply, Response
from tests.support.routing import KEY

OPTIONAL = ("max_tokens", "max_completion_tokens", "temperature", "stream_options")


def refusal(message: str, param: str | None = None, status: int = 400) -> Response:
    """Build the refusal of a parameter as OpenAI writes it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_parameter"}
    return Response(status, json.dumps({"error": error}).encode())


def forbidden(name: str) -> Response:
    """Build the refusal of a parameter as FastAPI writes it."""
    extra = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 7}
    return Response(422, json.dumps({"detail": [extra]}).encode())


USE_THE_NEW_NAME = refusal(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "max_tokens",
)
ONE_TEMPERATURE = refusal(
    "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
    "temperature",
)
NO_OPTIONS = refusal("Unrecognized request argument supplied: stream_options")
NO_USAGE = refusal("This value is not supported.", "stream_options.include_usage")


def refusing(refusals: dict[str, Response]) -> Any:
    """Return an answer that refuses the first of these parameters in the request."""

    def answer(call: Call) -> Answer:
        return next((refused for name, refused in refusals.items() if name in call.body), Reply(["Hi"]))

    return answer


async def sent_parameters(
    provider: FakeProvider, model: OpenAIModel, name: str = "gpt", **more: Any
) -> list[dict[str, Any]]:
    """Generate a reply, and return the optional parameters of each request."""
    provider.calls.clear()
    request = ChatRequest(
        name, [{"role": "user", "content": "Hello"}], **({"max_tokens": 9, "temperature": 0.2} | more)
    )
    text, *_ = [chunk.text async for chunk in model.stream(request)]
    assert text == "Hi"
    return [{each: call.body[each] for each in OPTIONAL if each in call.body} for call in provider.calls]


def run_scenario(scenario: Any) -> None:
    """Run a scenario with a provider and an adapter for it."""

    async def main() -> None:
        async with FakeProvider() as provider:
            model = OpenAIModel(KEY, provider.openai_base_url, "gpt")
            await scenario(provider, model)
            await model.aclose()

    run(main())


USAGE = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("refusals", "accepted"),
    [
        ({"max_tokens": USE_THE_NEW_NAME}, {"max_completion_tokens": 9, "temperature": 0.2, **USAGE}),
        ({"max_tokens": forbidden("max_tokens")}, {"max_completion_tokens": 9, "temperature": 0.2, **USAGE}),
        ({"temperature": ONE_TEMPERATURE}, {"max_tokens": 9, **USAGE}),
        ({"stream_options": NO_OPTIONS}, {"max_tokens": 9, "temperature": 0.2}),
        ({"stream_options": NO_USAGE}, {"max_tokens": 9, "temperature": 0.2}),
        ({"stream_options": forbidden("stream_options")}, {"max_tokens": 9, "temperature": 0.2}),
        (
            {"max_tokens": USE_THE_NEW_NAME, "temperature": ONE_TEMPERATURE, "stream_options": NO_OPTIONS},
            {"max_completion_tokens": 9},
        ),
    ],
)
def test_refused_parameter_is_replaced(refusals: dict[str, Response], accepted: dict[str, Any]) -> None:
    """Each refused parameter costs one more request, is renamed or left out, and is remembered for that model."""

    async def scenario(provider: FakeProvider, model: OpenAIModel) -> None:
        provider.default = refusing(refusals)
        first = await sent_parameters(provider, model)
        assert (first[0], first[-1]) == ({"max_tokens": 9, "temperature": 0.2, **USAGE}, accepted)
        assert len(first) == 1 + len(refusals)
        assert await sent_parameters(provider, model) == [accepted]
        assert len(await sent_parameters(provider, model, "another")) == 1 + len(refusals)

    run_scenario(scenario)


def test_old_name_is_tried_after_new() -> None:
    """A server that knows only the old name of a parameter gets it, after the new one."""

    async def scenario(provider: FakeProvider, model: OpenAIModel) -> None:
        provider.default = refusing({"max_tokens": USE_THE_NEW_NAME})
        await sent_parameters(provider, model)
        provider.default = refusing({"max_completion_tokens": forbidden("max_completion_tokens")})
        assert [min(each) for each in await sent_parameters(provider, model)] == ["max_completion_tokens", "max_tokens"]

    run_scenario(scenario)


def test_refused_value_is_left_out_once() -> None:
    """A temperature that is too high is left out of one request; a valid one is sent again."""

    async def scenario(provider: FakeProvider, model: OpenAIModel) -> None:
        too_high = refusal("temperature: must be less than or equal to 1", "temperature")
        provider.default = lambda call: too_high if call.body.get("temperature", 0) > 1 else Reply(["Hi"])
        assert ["temperature" in each for each in await sent_parameters(provider, model, temperature=2)] == [
            True,
            False,
        ]
        assert ["temperature" in each for each in await sent_parameters(provider, model, temperature=1)] == [True]

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("refused", "requests"),
    [
        pytest.param(refusal("max_tokens is too large: at most 4096 are supported", "max_tokens"), 1, id="range"),
        pytest.param(refusal("Unsupported parameter: 'top_p'", "top_p"), 1, id="not-sent"),
        pytest.param(refusal("no", "messages"), 1, id="messages"),
        pytest.param(refusal("max_tokens and max_completion_tokens: unsupported"), 2, id="both"),
        pytest.param(refusal("Unsupported: temperature", "temperature", status=500), 1, id="500"),
    ],
)
def test_other_refusal_is_final(refused: Response, requests: int) -> None:
    """A refusal of another parameter, or without effect of a retry, fails the turn; nothing is remembered."""

    async def scenario(provider: FakeProvider, model: OpenAIModel) -> None:
        provider.default = refused
        with pytest.raises(TurnFailed):
            await sent_parameters(provider, model)
        assert len(provider.calls) == requests
        provider.default = Reply(["Hi"])
        assert await sent_parameters(provider, model) == [{"max_tokens": 9, "temperature": 0.2, **USAGE}]

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("base_url", "openai", "own"),
    [
        ("https://api.openai.com/v1", True, True),
        ("https://eu.api.openai.com/v1/", True, True),
        ("https://r.openai.azure.com/openai/v1", False, True),
        ("https://r.services.ai.azure.com/openai/v1", False, True),
        ("https://r.cognitiveservices.azure.com/openai/v1", False, True),
        ("https://api.openai.com.example/v1", False, False),
        ("https://notapi.openai.com/v1", False, False),
        ("https://api.groq.com/openai/v1", False, False),
        ("http://localhost:11434/v1", False, False),
    ],
)
def test_own_hosts(base_url: str, openai: bool, own: bool) -> None:
    """OpenAI's and Azure's own hosts get `max_completion_tokens`, others `max_tokens`."""
    assert (is_openai(base_url), is_openai_or_azure(base_url)) == (openai, own)
    assert OpenAIModel(KEY, base_url, "gpt").max_tokens_name == ("max_completion_tokens" if own else "max_tokens")
