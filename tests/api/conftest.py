from __future__ import annotations

from tests.support.shared import (  # noqa: F401  fixtures
    client,
    openai_client,
    openai_service,
    provider,
    service,
    shared_client,
    shared_database_url,
    shared_openai_service,
    shared_provider,
    shared_service,
    timings,
)
