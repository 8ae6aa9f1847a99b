from __future__ import annotations

import subprocess
import sys

from app.llm.providers.registry import PROVIDERS, ProviderSettings
from app.settings import Settings

SDKS = ("openai", "groq", "xllamacpp", "httpx", "httpx2", "aiohttp")


def test_specs_name_existing_settings() -> None:
    """Each provider has a unique name, and its messages name settings that exist."""
    assert len({spec.name for spec in PROVIDERS}) == len(PROVIDERS)
    for spec in PROVIDERS:
        if spec.server is not None:
            named = {spec.server.key_setting.lower(), spec.server.base_url_setting.lower()}
            assert named <= ProviderSettings.model_fields.keys()


def test_opt_in_provider_needs_its_name() -> None:
    """A provider that is offered only when named is offered once it is; others once they are configured."""
    unnamed = Settings(_env_file=None, llm_provider=None, openai_api_key="k", groq_api_key="g")
    assert unnamed.providers == ["openai", "groq", "local"]
    named = Settings(_env_file=None, llm_provider="scripted")
    assert named.providers == ["local", "scripted"]


def test_settings_import_no_sdk() -> None:
    """Reading the settings imports no SDK."""
    code = f"import sys; import app.settings; print([name for name in {SDKS} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
