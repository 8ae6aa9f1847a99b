from __future__ import annotations

import pytest

from app.services.runtime import backoff, polling
from tests.support.shared import (  # noqa: F401  fixtures
    openai_service,
    provider,
    service,
    shared_database_url,
    shared_openai_service,
    shared_provider,
    shared_service,
)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come sooner than they would."""
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.05)
