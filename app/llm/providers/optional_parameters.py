"""Optional parameters that each model accepts, and their names: known by the host, else learnt from refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from app.errors import TurnFailed
from app.http.openai_client import is_openai
from app.llm.base import ChatRequest
from app.llm.providers.error_mapping import Refusal, named_failure

OLD_NAME, NEW_NAME = "max_tokens", "max_completion_tokens"
OTHER_NAME = {OLD_NAME: NEW_NAME, NEW_NAME: OLD_NAME}
TEMPERATURE, STREAM_OPTIONS = "temperature", "stream_options"

AZURE_HOST = re.compile(r"\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$")

REFUSED_STATUSES = {400, 422}
"""Statuses of a refused parameter; 422 comes from servers in Python that validate requests (Mistral, gateways)."""

OUT_OF_RANGE = re.compile(
    r"between|less than|greater than|at (most|least)|[<>]=|too (large|high|small|low)|maximum|minimum|\brange\b|exceed",
    re.IGNORECASE,
)
MAX_MODELS = 1_000


def is_openai_or_azure(base_url: str) -> bool:
    """Return whether a base URL is OpenAI's own or a deployment on Azure."""
    return is_openai(base_url) or AZURE_HOST.search(urlsplit(base_url).hostname or "") is not None


@dataclass(frozen=True, slots=True)
class Parameters:
    """The optional parameters that a model accepts."""

    max_tokens_name: str
    """Compatible servers know the old name; OpenAI's reasoning models refuse it."""
    left_out: frozenset[str] = frozenset()
    """Parameters that it refuses."""

    def members(self, request: ChatRequest, extras: dict[str, Any]) -> dict[str, Any]:
        """Return the optional members of a request's body."""
        members = dict(extras)
        if request.temperature is not None:
            members[TEMPERATURE] = request.temperature
        if request.max_tokens is not None:
            members[self.max_tokens_name] = request.max_tokens
        return {name: value for name, value in members.items() if name not in self.left_out}

    def without(self, name: str) -> Parameters:
        """Return a copy without a parameter; the token limit gets its other name instead, and is never left out."""
        if name in OTHER_NAME:
            return replace(self, max_tokens_name=OTHER_NAME[name])
        return replace(self, left_out=self.left_out | {name})


class AcceptedParameters:
    """The parameters that each model of one provider has accepted."""

    def __init__(self, default: Parameters) -> None:
        self.default = default
        self._models: dict[str, Parameters] = {}

    def __getitem__(self, model: str) -> Parameters:
        """Return the model's parameters, or the default ones for an unknown model."""
        return self._models.get(model, self.default)

    def remember(self, model: str, parameters: Parameters) -> None:
        """Store a model's parameters; beyond `MAX_MODELS` the oldest is forgotten, since callers may name any model."""
        if parameters == self[model]:
            return
        if len(self._models) >= MAX_MODELS:
            del self._models[next(iter(self._models))]
        self._models[model] = parameters


@dataclass(frozen=True, slots=True)
class RefusedParameter:
    """A parameter that an error names."""

    name: str
    value_only: bool
    """True if only its value was refused, such as one out of range; the next request may send another."""


def find_refused_parameter(content: Any, status: int, sent: Sequence[str]) -> RefusedParameter | None:
    """Find the optional parameter that an error is about; None for no parameter, or where no retry would help.

    Args:
        content: The error's body, parsed.
        status: The error's status.
        sent: The names of the parameters in the request.
    """
    refusal = Refusal.of(content)
    if status not in REFUSED_STATUSES or isinstance(named_failure(refusal, status), TurnFailed):
        return None
    words = refusal.words.replace("include_usage", STREAM_OPTIONS)
    paths = {path.partition(".")[0] for path in refusal.parameters}  # OpenAI: `stream_options.include_usage`
    by_path = [name for name in sent if name in paths]
    by_words = [name for name in sent if re.search(rf"\b{name}\b", words)]
    name = next(iter(by_path + by_words), None)
    if name is None:
        return None
    value_only = OUT_OF_RANGE.search(words) is not None
    return None if value_only and name in OTHER_NAME else RefusedParameter(name, value_only)
