from __future__ import annotations

from pydantic import Field

from app.api.schemas.fields import JsonObject, Output
from app.llm.router import ModelInfo


class ModelOut(Output):
    """A model that turns may name; `available` is false for some seconds after repeated failures."""

    provider: str
    model: str
    context_window: int = Field(description="Tokens for prompt and reply together.")
    default: bool = Field(description="True for the model of turns that name none.")
    available: bool


def model_json(model: ModelInfo) -> JsonObject:
    return model._asdict()
