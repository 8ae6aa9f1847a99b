"""The forms in which servers send text, thinking, finish reasons and usage, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from app.domain.messages import FinishReason, Usage

MAX_TOKENS = 2**40
"""More than any reply can have; a database holds no number without end."""

NOTHING: dict[str, Any] = {}

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
"""Finish reasons of models, in small letters; all others, as `stop`, `eos` or `COMPLETE`, are ordinary ends."""

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
"""With these a reply ends that could not be brought to its end."""

NO_REASONS = {
    "",  # llama.cpp's older servers and several gateways, on every chunk
    "null",  # DashScope and Zhipu, as a word
    "none",  # gateways in Python
    "finish_reason_unspecified",  # Gemini
}

THINKING_FIELDS = (
    "reasoning_content",  # DeepSeek, xAI, vLLM, llama.cpp, LM Studio
    "reasoning",  # Groq, OpenRouter, Ollama, newer vLLM
    "thinking",  # Ollama's own form, passed on by gateways
    "reasoning_text",  # Copilot's gateway
)

TEXT_PARTS = {"text", "output_text"}
"""Types of parts of a content that is a list: Mistral, Cohere; OpenAI's Responses through gateways."""

THINKING_PARTS = {"thinking", "reasoning", "reasoning_text", "summary_text", "reasoning.text", "reasoning.summary"}
"""Types of parts that are thinking: Mistral (Magistral), Anthropic's and OpenRouter's."""

LOST_TEXT = re.compile(rb"""["'](content|text|refusal|thinking|reasoning(?:_content)?)["']\s*:\s*["'](?!["'])""")
"""The beginning of a text in an event that cannot be read."""


class Said(NamedTuple):
    """Content of a choice."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    """Text in place of the requested reply (OpenAI)."""


def said_in(members: dict[str, Any]) -> Said:
    """Read a delta or a message.

    Raises:
        TypeError: its content is of a kind that cannot be read, so that text would be lost.
    """
    content = members.get("content")
    text, thinking, refusal = (content or "", "", "") if isinstance(content, str | None) else parts_of(content)
    for field in THINKING_FIELDS:
        if thought := members.get(field):
            thinking += thought if isinstance(thought, str) else "".join(parts_of(thought)[:2])
            break
    else:
        if details := members.get("reasoning_details"):  # OpenRouter, with `reasoning` or alone
            thinking += parts_of(details).thinking
    if refused := members.get("refusal"):
        refusal += refused if isinstance(refused, str) else "".join(parts_of(refused))
    return Said(text, thinking, refusal)


def parts_of(content: Any) -> Said:
    """Read a content that is an object or a list of parts, of texts, thoughts and others that are passed over.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(content, str):
        return Said(content)
    if isinstance(content, list):
        return joined(map(parts_of, content))
    if not isinstance(content, dict):
        raise TypeError("a content has to be text or parts of it")
    kind = content.get("type", "text")
    inner = next((content[name] for name in ("text", "thinking", "summary", "content") if content.get(name)), "")
    if kind in THINKING_PARTS:
        return Said(thinking="".join(parts_of(inner)))
    if kind == "refusal":
        return Said(refusal=str(content.get("refusal") or inner))
    return parts_of(inner) if kind in TEXT_PARTS else Said()


def joined(parts: Iterable[Said]) -> Said:
    """Parts as one."""
    texts, thoughts, refusals = zip(*parts, strict=True) if (parts := list(parts)) else ((), (), ())
    return Said("".join(texts), "".join(thoughts), "".join(refusals))


def reason_of(value: Any) -> str:
    """A finish reason in small letters; empty where there is none."""
    if isinstance(value, dict):  # TGI's and OpenAI's older `finish_details`
        value = value.get("type") or value.get("reason")
    if not isinstance(value, str):
        return "stop" if value else ""
    reason = value.strip().lower()
    return "" if reason in NO_REASONS else reason


def usage_in(reporting: dict[str, Any]) -> Usage | None:
    """The tokens that an event or a choice reports in `usage`, or in `x_groq` (Groq).

    None where a count is missing or is none, or where prompt and reply are said to be empty both.
    """
    usage = members(reporting.get("usage")) or members(members(reporting.get("x_groq")).get("usage"))
    sent = first_of(usage, "prompt_tokens", "input_tokens")
    received = first_of(usage, "completion_tokens", "output_tokens")
    total = usage.get("total_tokens")
    if received is None and is_count(sent) and is_count(total):
        received = total - sent  # Gemini leaves out what is zero
    if not (is_count(sent) and is_count(received)) or sent == received == 0:
        return None
    return Usage(sent, received)


def first_of(values: dict[str, Any], *names: str) -> Any:
    """The first of these members that is there and not null."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def is_count(value: Any) -> bool:
    """Return whether a value can be a number of tokens."""
    return type(value) is int and 0 <= value < MAX_TOKENS


def members(value: Any) -> dict[str, Any]:
    """The members of a JSON object; none of what is something else."""
    return value if isinstance(value, dict) else NOTHING
