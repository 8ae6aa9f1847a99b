"""Map providers' errors to the service's own, by status, by codes and types, and by their words.

The words are never passed on: they may hold a key or another customer's data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.errors import ContextTooLong, ModelNotFound, ProviderAuth, ProviderFailed, ProviderRateLimited, TurnFailed

MAX_WORDS = 4_000
"""Characters of an error that are read."""

MAX_DEPTH = 6

WORDS = (
    "error",  # OpenAI and most: an object, or a text (xAI, LM Studio, Ollama)
    "errors",  # Cloudflare: a list of objects
    "message",  # OpenAI and most
    "Message",  # AWS
    "msg",  # Zhipu, FastAPI
    "detail",  # FastAPI, Mistral's 422: a text, or a list of objects
    "details",  # Gemini
    "description",  # HTTP gateways
    "title",  # RFC 9457
    "error_msg",  # Baidu
    "error_message",  # gateways
    "status_msg",  # MiniMax
    "base_resp",  # MiniMax
    "metadata",  # OpenRouter, whose `raw` is the error of the provider behind it
    "raw",
)
"""Members of an error whose words are read; others may repeat the user's own."""

NAMES = ("param", "loc")
"""Members that name a parameter: OpenAI's, and FastAPI's path to it."""

KINDS = ("code", "type", "status", "reason", "status_code", "error_code", "error_type")

RATE_LIMIT_KINDS = {
    "rate_limit_exceeded",  # OpenAI, Groq
    "rate_limit_error",  # Anthropic
    "resource_exhausted",  # Gemini
    "too_many_requests",  # gateways
    "throttlingexception",  # Bedrock
    "capacity_exceeded",  # Groq's flex tier
}
MODEL_KINDS = {
    "model_not_found",  # OpenAI, Groq, Hugging Face
    "model_decommissioned",  # Groq
    "model_not_available",  # Together
    "model_not_supported",  # Hugging Face
    "deploymentnotfound",  # Azure
    "invalid_model",  # Mistral, Perplexity
    "unknown_model",  # Azure's and GitHub's models
    "notfounderror",  # vLLM
    "resource_not_found_error",  # Moonshot
    "1211",  # Zhipu
}
CONTEXT_KINDS = {
    "context_length_exceeded",  # OpenAI, Azure, Groq, DeepSeek
    "string_above_max_length",  # OpenAI
    "exceed_context_size_error",  # llama.cpp
    "tokens_limit_reached",  # GitHub's models
    "model_max_prompt_tokens_exceeded",  # Copilot
    "request_too_large",  # Anthropic, Groq
}
AUTH_KINDS = {
    "invalid_api_key",  # OpenAI, Groq
    "authentication_error",  # Anthropic, LiteLLM
    "permission_error",  # Anthropic
    "unauthenticated",  # Gemini
    "permission_denied",  # Gemini
    "api_key_invalid",  # Gemini's `reason`
}
FUNDS_KINDS = {
    "insufficient_quota",  # OpenAI
    "insufficient_balance",  # DeepSeek's gateways
    "billing_error",  # Anthropic
    "payment_required",  # gateways
    "1113",  # Zhipu
}
REQUEST_KINDS = {
    "invalid_request_error",  # OpenAI and most
    "not_found_error",  # Anthropic
    "invalid_argument",  # Gemini
    "failed_precondition",  # Gemini
    "not_found",  # Gemini, Fireworks
    "badrequesterror",  # vLLM
}

CONTEXT_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window|limit)"  # OpenAI, vLLM, LM Studio, llama.cpp, Mistral, Cloudflare, LiteLLM …
    r"|\b(prompt|inputs?|messages?|conversation)\b.{0,40}\btoo (long|large|many tokens)"  # Anthropic, Bedrock
    r"|maximum (prompt|input|model|sequence|request) length|max(imum)? input"  # xAI, vLLM
    r"|(prompt|input)( tokens?)? (count|length|tokens).{0,60}(exceed|should be)"  # Gemini, Copilot, DashScope
    r"|(prompt|input) tokens? .{0,40}exceed"  # Perplexity
    r"|prompt exceeds|longer than the (maximum )?(model|context)"  # Zhipu, SGLang, vLLM
    r"|too many (input |prompt )?tokens"  # Cohere
    r"|exceed(s|ed)? (the )?(model )?(token limit|max(imum)? (number of )?tokens)"  # Moonshot, gateways
    r"|inputs?` tokens \+ `max_new_tokens`|inputs must have less than"  # TGI, Together
    r"|reduce the length of the (messages|prompt|input)|request body too large for",  # Groq, GitHub's models
    re.IGNORECASE,
)
OF_THE_REPLY = re.compile(r"^\W{0,3}max_\w*tokens\b", re.IGNORECASE)
"""Beginning of an error about the limit of the reply, even where it mentions contexts (Groq)."""

OVER_MINUTE_LIMIT = re.compile(r"too large.{0,200}tokens per min", re.IGNORECASE | re.DOTALL)
"""A request with more tokens than are allowed per minute (Groq with 413, OpenAI with 429): no delay makes it fit."""
LIMIT = re.compile(r"\bLimit:? (\d{1,9})\b", re.IGNORECASE)

NO_SUCH_MODEL = re.compile(
    r"\bmodels?\b.{0,200}\b(not found|not exist|no longer (available|supported)|decommissioned)"  # most
    r"|\b(invalid|unknown|no such|unsupported|unable to access|not found the|failed to load) model\b"  # Mistral …
    r"|\bno models? (is |are )?loaded|not a valid model|no endpoints found for"  # LM Studio, OpenRouter
    r"|\bdeployment\b.{0,60}(not exist|not found)"  # Azure
    r"|model identifier is invalid|^model: ",  # Bedrock, Anthropic
    re.IGNORECASE,
)
WRONG_KEY = re.compile(
    r"\bapi[ _-]?(key|token)\b.{0,60}\b(not valid|invalid|incorrect|missing|expired|not found|required)"  # Gemini
    r"|\b(invalid|incorrect|missing|expired|wrong|no)\b.{0,20}"
    r"\b(api|access|auth\w*|bearer)[ _-]?(key|token|secret|header)"  # xAI, Cohere, Gemini
    r"|authentication (error|failed)|\bunauthori[sz]ed\b|api secret key",  # Cloudflare, LiteLLM; MiniMax
    re.IGNORECASE,
)
OUT_OF_FUNDS = re.compile(
    r"insufficient (account )?(balance|credits?|funds)|credit balance is too low|requires more credits",
    re.IGNORECASE,
)

STATUS = re.compile(r"[45][0-9][0-9]")


class Refusal(NamedTuple):
    """A parsed error of a provider."""

    words: str
    """The texts of its messages, joined."""
    kinds: set[str]
    """Its codes and types, in lower case."""
    parameters: set[str]
    """The parameters in members that name one, apart from those within its words."""

    @classmethod
    def of(cls, error: Any) -> Refusal:
        """Parse an error: an object, a list of objects, or a text."""
        found = list(leaves(error))
        words = " ".join(text for name, text in found if name not in (*KINDS, *NAMES))
        kinds = {text.lower() for name, text in found if name in KINDS}
        return cls(words[:MAX_WORDS].strip(), kinds, {text for name, text in found if name in NAMES})

    @property
    def status(self) -> int | None:
        """The HTTP status among its codes, as in an event behind status 200; None for none."""
        return next((int(kind) for kind in sorted(self.kinds) if STATUS.fullmatch(kind)), None)


def leaves(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the texts of an error as name of the member and text."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, int) and not isinstance(value, bool) and name in KINDS:
        yield name, str(value)
    elif isinstance(value, list) and depth < MAX_DEPTH:
        for each in value[:8]:
            yield from leaves(each, name, depth + 1)
    elif isinstance(value, dict) and depth < MAX_DEPTH:
        for member in (*WORDS, *KINDS, *NAMES):
            if member in value:
                yield from leaves(value[member], member, depth + 1)


def failure_of(error: Any, status: int | None = None) -> TurnFailed:
    """Map an error with an HTTP status, or within a stream (`status` is None then)."""
    refusal = Refusal.of(error)
    return named_failure(refusal, status or refusal.status) or other_failure(refusal, status)


def named_failure(refusal: Refusal, status: int | None) -> TurnFailed | None:
    """Return the failure with a specific class; None for a general error."""
    words, kinds, parameters = refusal
    failure: TurnFailed | None = None
    if status in {None, 413, 429} and OVER_MINUTE_LIMIT.search(words):
        failure = minute_limit_failure(words)
    elif status in {429, 498} or (status is None and kinds & RATE_LIMIT_KINDS):
        failure = ProviderRateLimited()
        failure.fallback_at_once = status == 498 or bool(kinds & FUNDS_KINDS)
    elif status == 402 or kinds & FUNDS_KINDS or OUT_OF_FUNDS.search(words):
        failure = ProviderAuth()
        failure.fallback_at_once = True
    elif status in {401, 403}:
        failure = ProviderAuth()
    elif status == 413 or kinds & CONTEXT_KINDS or concerns_context(words):
        failure = ContextTooLong()
    elif kinds & MODEL_KINDS or "model" in parameters or NO_SUCH_MODEL.search(words):
        failure = ModelNotFound()
    elif (status is None or status < 500) and (kinds & AUTH_KINDS or WRONG_KEY.search(words)):
        failure = ProviderAuth()
    return failure


def other_failure(refusal: Refusal, http_status: int | None) -> TurnFailed:
    """Return the failure for a general error: TurnFailed for the request's fault, ProviderFailed for the provider's."""
    detail = f"The provider responded with status {http_status}." if http_status else None
    status = http_status or refusal.status
    if status is None:
        return TurnFailed() if refusal.kinds & REQUEST_KINDS else ProviderFailed()
    return ProviderFailed(detail) if status in {408, 425} or status >= 500 else TurnFailed(detail)


def concerns_context(words: str) -> bool:
    """Return whether an error says that the prompt is too long."""
    return CONTEXT_TOO_LONG.search(words) is not None and OF_THE_REPLY.search(words) is None


def minute_limit_failure(words: str) -> ContextTooLong:
    """Build the failure for a request over the limit of tokens per minute, with that limit where it is named."""
    failure = ContextTooLong()
    failure.fallback_at_once = True
    if limit := LIMIT.search(words):
        failure.limit = int(limit[1])
    return failure


def error_in(event: dict[str, Any]) -> Any:
    """Return the error in an event, in any of its forms; None for an event without one."""
    x_groq = event.get("x_groq")
    if error := event.get("error") or (x_groq.get("error") if isinstance(x_groq, dict) else None):
        return error  # OpenAI and most; Groq's own member
    if event.get("choices"):
        return None
    base = event.get("base_resp")
    failed = isinstance(base, dict) and base.get("status_code") not in {0, None}  # MiniMax
    named = event.get("errors") or event.get("detail") or event.get("error_msg") or event.get("error_message")
    if (
        failed or named or event.get("object") == "error" or event.get("type") == "error"
    ):  # Cloudflare …; vLLM, Anthropic
        return event
    has_message = isinstance(event.get("message") or event.get("msg"), str)
    return event if has_message and ("code" in event or "status" in event) else None  # Zhipu, gateways
