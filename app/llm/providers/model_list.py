"""The list of models that a server of OpenAI's API publishes at `/models`."""

from __future__ import annotations

import re
from typing import Any

import orjson

from app.llm.providers.response_fields import members

MAX_LIST_BYTES = 4 * 2**20
MAX_LOGGED_MODELS = 20

NOT_CHAT = re.compile(r"embed|rerank|whisper|\btts\b", re.IGNORECASE)
"""Names of models that are no chat models; LM Studio and vLLM list them among the chat models."""


def parse_model_list(body: bytes) -> list[str]:
    """Return the model names in a server's list, in its order, with those that are no chat models last.

    Accepts `{"data": [{"id": …}]}` (OpenAI and most), a bare list (Together), and `{"models": [{"name": …}]}`
    (gateways to Ollama). Empty for anything else.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    listed = content if isinstance(content, list) else members(content).get("data") or members(content).get("models")
    names = [model_name(each) for each in listed] if isinstance(listed, list) else []
    return sorted(filter(None, names), key=lambda name: NOT_CHAT.search(name) is not None)


def model_name(entry: Any) -> str:
    """Return the name in an entry of a list; empty where there is none, or none that could be sent."""
    name = entry if isinstance(entry, str) else members(entry).get("id") or members(entry).get("name")
    return name if isinstance(name, str) and name.isprintable() and len(name) <= 200 else ""
