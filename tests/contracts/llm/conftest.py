from __future__ import annotations

import pytest

from tests.support.routing import ADAPTERS


@pytest.fixture(params=ADAPTERS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each adapter that uses HTTP."""
    chosen: str = request.param
    return chosen
