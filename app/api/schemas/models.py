from __future__ import annotations

from app.api.schemas.fields import JsonObject, Output
from app.llm.router import ModelInfo


class ModelOut(Output):
    """A model that turns may name; `available` is false for a while after repeated failures."""

    provider: str
    model: str
    context_window: int
    default: bool
    available: bool


def model_json(model: ModelInfo) -> JsonObject:
    return model._asdict()
