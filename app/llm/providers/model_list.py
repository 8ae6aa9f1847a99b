"""The models that a server of OpenAI's API has, as its `/models` lists them."""

from __future__ import annotations

import re
from typing import Any

import orjson

from app.llm.providers.response_fields import members

MAX_LIST_BYTES = 4 * 2**20
MAX_NAMED = 20
"""Number of models that a log line names."""

NO_CHAT = re.compile(r"embed|rerank|whisper|\btts\b", re.IGNORECASE)
"""Names of models that do not answer; LM Studio and vLLM list them with the chat models."""


def models_in(body: bytes) -> list[str]:
    """The names of models in a server's answer, in its order, those that surely do not answer last.

    `{"data": [{"id": …}]}` (OpenAI and most), the same list bare (Together), or `{"models": [{"name": …}]}`, as
    gateways to Ollama have it. Empty where it is none of these.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    listed = content if isinstance(content, list) else members(content).get("data") or members(content).get("models")
    found = [name_of(each) for each in listed] if isinstance(listed, list) else []
    return sorted(filter(None, found), key=lambda name: NO_CHAT.search(name) is not None)


def name_of(entry: Any) -> str:
    """The name in an entry of a list; empty where it has none that could be sent."""
    named = entry if isinstance(entry, str) else members(entry).get("id") or members(entry).get("name")
    return named if isinstance(named, str) and named.isprintable() and len(named) <= 200 else ""
