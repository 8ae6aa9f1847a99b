"""Optional parameters that a model takes, and their names: known by the host, else learnt from refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from app.errors import TurnFailed
from app.llm.base import ChatRequest
from app.llm.providers.error_mapping import Refusal, named_failure

OLD_NAME, NEW_NAME = "max_tokens", "max_completion_tokens"
OTHER_NAME = {OLD_NAME: NEW_NAME, NEW_NAME: OLD_NAME}
TEMPERATURE, STREAM_OPTIONS = "temperature", "stream_options"

OPENAI_HOST = re.compile(r"(^|\.)api\.openai\.com$")
AZURE_HOST = re.compile(r"\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$")

REFUSED_STATUSES = {400, 422}
"""422 is how servers in Python refuse what their models of requests do not have (Mistral, vLLM's gateways)."""

OUT_OF_RANGE = re.compile(
    r"between|less than|greater than|at (most|least)|[<>]=|too (large|high|small|low)|maximum|minimum|\brange\b|exceed",
    re.IGNORECASE,
)
MANY = 1_000


def is_openai(base_url: str) -> bool:
    """Return whether a base URL is OpenAI's own."""
    return OPENAI_HOST.search(urlsplit(base_url).hostname or "") is not None


def is_own(base_url: str) -> bool:
    """Return whether a base URL is OpenAI's own, or a deployment of Azure's."""
    return is_openai(base_url) or AZURE_HOST.search(urlsplit(base_url).hostname or "") is not None


@dataclass(frozen=True, slots=True)
class Parameters:
    """Ways to send a model what may be left to it."""

    max_tokens_name: str
    """The old name is the one that compatible servers know; OpenAI's reasoning models refuse it."""
    left_out: frozenset[str] = frozenset()
    """Parameters that it refuses."""

    def sent(self, request: ChatRequest, extras: dict[str, Any]) -> dict[str, Any]:
        """The optional members of a request's body."""
        members = dict(extras)
        if request.temperature is not None:
            members[TEMPERATURE] = request.temperature
        if request.max_tokens is not None:
            members[self.max_tokens_name] = request.max_tokens
        return {name: value for name, value in members.items() if name not in self.left_out}

    def changed(self, name: str) -> Parameters:
        """The same without a parameter, or with the other name of the bound, which is never left out."""
        if name in OTHER_NAME:
            return replace(self, max_tokens_name=OTHER_NAME[name])
        return replace(self, left_out=self.left_out | {name})


class Learnt:
    """The parameters of each model of one provider."""

    def __init__(self, usual: Parameters) -> None:
        self.usual = usual
        self._models: dict[str, Parameters] = {}

    def __getitem__(self, model: str) -> Parameters:
        """Return what is known of a model, else the usual."""
        return self._models.get(model, self.usual)

    def learn(self, model: str, parameters: Parameters) -> None:
        """Takes in what a model has accepted; the oldest is forgotten where callers have named many."""
        if parameters == self[model]:
            return
        if len(self._models) >= MANY:
            del self._models[next(iter(self._models))]
        self._models[model] = parameters


@dataclass(frozen=True, slots=True)
class Objection:
    """A parameter that a refusal names."""

    name: str
    to_value: bool
    """True if only its value was refused, as one that is out of range: of the next request that says nothing."""


def objection_in(content: Any, status: int, sent: Sequence[str]) -> Objection | None:
    """Find the optional parameters that a refusal is about; None for none, or where no try would help.

    Args:
        content: The refusal's body.
        status: Its status.
        sent: The names of the parameters.
    """
    refusal = Refusal.of(content)
    if status not in REFUSED_STATUSES or isinstance(named_failure(refusal, status), TurnFailed):
        return None
    words = refusal.words.replace("include_usage", STREAM_OPTIONS)
    paths = {path.partition(".")[0] for path in refusal.parameters}  # OpenAI: `stream_options.include_usage`
    named = [name for name in sent if name in paths]
    said = [name for name in sent if re.search(rf"\b{name}\b", words)]
    name = next(iter(named + said), None)
    if name is None:
        return None
    to_value = OUT_OF_RANGE.search(words) is not None
    return None if to_value and name in OTHER_NAME else Objection(name, to_value)
