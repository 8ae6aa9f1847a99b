"""The embedding models that run in the process, by their names in EMBEDDING_MODEL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from app.rag.models import e5_weights, minilm
from app.rag.models.embedder import Vector
from app.rag.models.minilm import MiniLm
from app.rag.models.multilingual_e5 import MultilingualE5

DIMENSION = 384
"""Numbers of a vector, the same for all of these models."""


class Encoder(Protocol):
    """A model in memory; blocks while it embeds."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the texts' vectors, in order."""
        ...


class LocalModel(NamedTuple):
    """A model that the local embedder can run."""

    name: str
    """Its name with vectors, after `local:`."""
    extra: str
    """The extra that installs it."""
    path: Callable[[], Path | None]
    """Return the path of its weights; None if they are not installed."""
    load: Callable[[], Encoder]
    query_prefix: str = ""
    passage_prefix: str = ""


DEFAULT = "minilm"
LOCAL_MODELS = {
    DEFAULT: LocalModel("all-MiniLM-L6-v2-int8", "documents", minilm.model_path, MiniLm),
    "multilingual": LocalModel(
        "multilingual-e5-small-q4", "multilingual", e5_weights.weights_path, MultilingualE5, "query: ", "passage: "
    ),
}
