"""Forms in which servers send text, reasoning, finish reasons and usage, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from app.domain.messages import FinishReason, Usage

MAX_TOKENS = 2**40
"""Limit of reported counts, above any real one: databases bound their integers."""

EMPTY: dict[str, Any] = {}

FINISH_REASONS = {
    "length": FinishReason.LENGTH,  # OpenAI and most
    "max_tokens": FinishReason.LENGTH,  # Anthropic, Gemini (MAX_TOKENS), Cohere (MAX_TOKENS)
    "max_output_tokens": FinishReason.LENGTH,  # gateways to OpenAI's Responses
    "max_completion_tokens": FinishReason.LENGTH,  # the same
    "max_length": FinishReason.LENGTH,  # SageMaker
    "model_length": FinishReason.LENGTH,  # Mistral, where the window is full
    "model_context_window_exceeded": FinishReason.LENGTH,  # Anthropic
    "token_limit": FinishReason.LENGTH,  # watsonx
    "content_filter": FinishReason.CONTENT_FILTER,  # OpenAI, Azure
    "content_filtered": FinishReason.CONTENT_FILTER,  # Bedrock's gateways
    "guardrail_intervened": FinishReason.CONTENT_FILTER,  # Bedrock's gateways
    "refusal": FinishReason.CONTENT_FILTER,  # Anthropic
    "safety": FinishReason.CONTENT_FILTER,  # Gemini, as all down to `image_safety`
    "recitation": FinishReason.CONTENT_FILTER,
    "blocklist": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "spii": FinishReason.CONTENT_FILTER,
    "language": FinishReason.CONTENT_FILTER,
    "image_safety": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,  # Zhipu
    "error_toxic": FinishReason.CONTENT_FILTER,  # Cohere (ERROR_TOXIC)
}
"""Finish reasons in lower case; all others, such as `stop`, `eos` or `COMPLETE`, are ordinary ends."""

FAILURE_REASONS = {
    "error",  # OpenRouter, Cohere (ERROR)
    "error_limit",  # Cohere (ERROR_LIMIT)
    "insufficient_system_resource",  # DeepSeek
    "network_error",  # Zhipu
    "abort",  # SGLang and vLLM, when a request is dropped
    "aborted",  # gateways
    "cancelled",  # gateways
    "timeout",  # Cohere (TIMEOUT)
}
"""Finish reasons of replies that failed."""

NO_REASONS = {
    "",  # llama.cpp's older servers and several gateways, on every chunk
    "null",  # DashScope and Zhipu, as a word
    "none",  # gateways in Python
    "finish_reason_unspecified",  # Gemini
}

REASONING_FIELDS = (
    "reasoning_content",  # DeepSeek, xAI, vLLM, llama.cpp, LM Studio
    "reasoning",  # Groq, OpenRouter, Ollama, newer vLLM
    "thinking",  # Ollama's own form, passed on by gateways
    "reasoning_text",  # Copilot's gateway
)

TEXT_PARTS = {"text", "output_text"}
"""Types of text parts in a content list: Mistral, Cohere; OpenAI's Responses through gateways."""

REASONING_PARTS = {"thinking", "reasoning", "reasoning_text", "summary_text", "reasoning.text", "reasoning.summary"}
"""Types of reasoning parts: Mistral (Magistral), Anthropic's and OpenRouter's."""

LOST_TEXT = re.compile(rb"""["'](content|text|refusal|thinking|reasoning(?:_content)?)["']\s*:\s*["'](?!["'])""")
"""Beginning of a text in an event that cannot be parsed."""


class Content(NamedTuple):
    """The content of a choice."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    """Text instead of the requested reply (OpenAI)."""


def read_content(members: dict[str, Any]) -> Content:
    """Read the members of a delta or a message.

    Raises:
        TypeError: its content has an unknown form, so that text would be lost.
    """
    content = members.get("content")
    text, reasoning, refusal = (content or "", "", "") if isinstance(content, str | None) else read_parts(content)
    for field in REASONING_FIELDS:
        if value := members.get(field):
            reasoning += value if isinstance(value, str) else "".join(read_parts(value)[:2])
            break
    else:
        if details := members.get("reasoning_details"):  # OpenRouter, with `reasoning` or alone
            reasoning += read_parts(details).reasoning
    if refused := members.get("refusal"):
        refusal += refused if isinstance(refused, str) else "".join(read_parts(refused))
    return Content(text, reasoning, refusal)


def read_parts(content: Any) -> Content:
    """Read a content that is a text, a part or a list of parts; parts other than text and reasoning are skipped.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(content, str):
        return Content(content)
    if isinstance(content, list):
        return concatenate(map(read_parts, content))
    if not isinstance(content, dict):
        raise TypeError("a content has to be text or parts of it")
    kind = content.get("type", "text")
    inner = next((content[name] for name in ("text", "thinking", "summary", "content") if content.get(name)), "")
    if kind in REASONING_PARTS:
        return Content(reasoning="".join(read_parts(inner)))
    if kind == "refusal":
        return Content(refusal=str(content.get("refusal") or inner))
    return read_parts(inner) if kind in TEXT_PARTS else Content()


def concatenate(parts: Iterable[Content]) -> Content:
    texts, reasonings, refusals = zip(*parts, strict=True) if (parts := list(parts)) else ((), (), ())
    return Content("".join(texts), "".join(reasonings), "".join(refusals))


def normalise_reason(value: Any) -> str:
    """Return a finish reason in lower case; empty for none."""
    if isinstance(value, dict):  # TGI's and OpenAI's older `finish_details`
        value = value.get("type") or value.get("reason")
    if not isinstance(value, str):
        return "stop" if value else ""
    reason = value.strip().lower()
    return "" if reason in NO_REASONS else reason


def read_usage(reporting: dict[str, Any]) -> Usage | None:
    """Return the tokens that an event or a choice reports in `usage`, or in `x_groq` (Groq).

    None where a count is missing or invalid, or both counts are zero.
    """
    usage = members(reporting.get("usage")) or members(members(reporting.get("x_groq")).get("usage"))
    sent = first_value(usage, "prompt_tokens", "input_tokens")
    received = first_value(usage, "completion_tokens", "output_tokens")
    total = usage.get("total_tokens")
    if received is None and is_count(sent) and is_count(total):
        received = total - sent  # Gemini leaves out what is zero
    if not (is_count(sent) and is_count(received)) or sent == received == 0:
        return None
    return Usage(sent, received)


def first_value(values: dict[str, Any], *names: str) -> Any:
    """Return the first of these members that is not null; None for none."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def is_count(value: Any) -> bool:
    """Return whether a value is a number of tokens."""
    return type(value) is int and 0 <= value < MAX_TOKENS


def members(value: Any) -> dict[str, Any]:
    """Return the members of a JSON object; none for any other value."""
    return value if isinstance(value, dict) else EMPTY
