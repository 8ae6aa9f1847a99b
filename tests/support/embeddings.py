"""A provider of embeddings that can be made to wait."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support.embedder import DIMENSIONS, vector
from tests.support.provider import Call, FakeProvider
from tests.support.replies import Answer, Response

PATH = "/v1/embeddings"


class FakeEmbeddings(FakeProvider):
    """Embeds texts once `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    def settings(self, model: str = "first") -> dict[str, Any]:
        """Return the settings of a process that uses this provider."""
        further = {"fake": {"base_url": self.openai_base_url, "model": "none"}}
        return {
            "llm_provider": "scripted",
            "llm_providers": json.dumps(further),
            "embedding_provider": "fake",
            "embedding_model": model,
        }

    def answer_to(self, call: Call) -> Answer:
        answer = super().answer_to(call)
        if call.path != PATH:
            return answer
        data = [{"index": place, "embedding": numbers(text)} for place, text in enumerate(call.body["input"])]
        return Response(200, json.dumps({"data": data}).encode(), before_headers=self.open)


def numbers(text: str) -> list[float]:
    """Return the vector of a text as numbers."""
    return list(memoryview(vector(text)).cast("f"))[:DIMENSIONS]
