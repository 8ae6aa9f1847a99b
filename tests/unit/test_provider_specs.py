from __future__ import annotations

import subprocess
import sys

from app.llm.providers.registry import PROVIDERS, ProviderSettings
from app.settings import Settings

SDKS = ("openai", "groq", "xllamacpp", "httpx", "httpx2", "aiohttp")


def test_specs_name_settings_that_exist() -> None:
    """Each provider has a name of its own, and the settings that its messages name."""
    assert len({spec.name for spec in PROVIDERS}) == len(PROVIDERS)
    for spec in PROVIDERS:
        if spec.server is not None:
            named = {spec.server.key_setting.lower(), spec.server.base_url_setting.lower()}
            assert named <= ProviderSettings.model_fields.keys()


def test_an_only_when_named_provider_is_offered_once_named() -> None:
    """The others are offered when they are configured."""
    unnamed = Settings(_env_file=None, llm_provider=None, openai_api_key="k", groq_api_key="g")
    assert unnamed.providers == ["openai", "groq", "local"]
    named = Settings(_env_file=None, llm_provider="scripted")
    assert named.providers == ["local", "scripted"]


def test_settings_import_no_sdk() -> None:
    """Reading the settings costs no import of an SDK."""
    code = f"import sys; import app.settings; print([name for name in {SDKS} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
