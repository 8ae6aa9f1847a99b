"""The providers that the settings know by name. Another one is added in this file and in its own."""

from __future__ import annotations

from app.llm.providers import groq, local, openai, scripted
from app.llm.providers.spec import ProviderSpec, Server


class ProviderSettings(local.LocalSettings, groq.GroqSettings, openai.OpenAISettings):
    """The settings of all providers; the last base's come first in the list of settings."""


PROVIDERS: tuple[ProviderSpec[ProviderSettings], ...] = (openai.SPEC, groq.SPEC, local.SPEC, scripted.SPEC)
"""In the order in which the first with a key becomes the default provider."""

EMBEDDING_SERVERS: dict[str, Server[ProviderSettings]] = {
    spec.name: spec.server for spec in PROVIDERS if spec.server is not None and spec.server.embedding_model
}
"""Servers that can be EMBEDDING_PROVIDER, by the names of their providers."""
