"""Checks before the start: settings and environment that cannot work, or probably have a mistake."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from app.http.proxies import proxy_for
from app.llm.providers import openai
from app.llm.providers.registry import PROVIDERS
from app.settings import Settings


def startup_errors(settings: Settings) -> list[str]:
    """List the reasons why a server with these settings cannot start; empty when it can."""
    reasons = [missing_provider_error(settings)]
    for name, base_url in remote_base_urls(settings).items():
        proxy = proxy_for(base_url)
        reasons.append(f"{name}: {proxy.refusal}" if proxy and proxy.refusal else None)
    return [reason for reason in reasons if reason]


def startup_warnings(settings: Settings) -> Iterator[str]:
    """Yield warnings about settings that probably have a mistake, though a server can start with them."""
    yield from path_warnings(settings)
    for name, base_url in remote_base_urls(settings).items():
        proxy = proxy_for(base_url)
        if proxy is not None and is_loopback(base_url):
            yield f"{name} is on this machine, but requests to it go through {proxy.variable}: add its host to NO_PROXY"
    for spec in PROVIDERS:
        if spec.warnings is not None:
            yield from spec.warnings(settings)


def path_warnings(settings: Settings) -> Iterator[str]:
    """Yield warnings about base URLs whose paths are too long or too short."""
    base_urls = settings.base_urls
    checks = {spec.server.base_url_setting: spec.server.path_warnings for spec in PROVIDERS if spec.server is not None}
    for name, base_url in base_urls.items():
        yield from checks.get(name, openai.path_warnings)(name, base_url.rstrip("/"))


def missing_provider_error(settings: Settings) -> str | None:
    """Return the reason why neither the default provider nor a fallback could answer a turn; None when one can."""
    named = {settings.effective_provider, *(provider for provider, _ in settings.fallbacks)}
    absent = [spec for spec in PROVIDERS if spec.is_present is not None and not spec.is_present(settings)]
    if named - {spec.name for spec in absent}:
        return None
    warnings = [warning for spec in absent if spec.warnings is not None for warning in spec.warnings(settings)]
    if warnings:
        return f"{warnings[0]}, and no other provider is configured"
    needs = [f"{spec.name} needs {spec.requirement}" for spec in PROVIDERS if spec.requirement is not None]
    return f"No provider is configured: {', '.join(needs)}"


def remote_base_urls(settings: Settings) -> dict[str, str]:
    """Return the base URL of each provider over HTTP, by the setting of the URL, or of the key without one."""
    servers = [spec.server for spec in settings.configured_providers if spec.server is not None]
    default = {
        server.key_setting: server.default_base_url for server in servers if server.endpoint(settings).base_url is None
    }
    return default | settings.base_urls


def is_loopback(base_url: str) -> bool:
    """Return whether an address is this machine's own."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
