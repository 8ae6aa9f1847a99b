from __future__ import annotations

import pytest

from tests.support.routing import ADAPTERS


@pytest.fixture(params=ADAPTERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each adapter that goes over HTTP."""
    chosen: str = request.param
    return chosen
