"""The time that is left for a document."""

from __future__ import annotations

from app.services.documents.pace import Pace


def test_time_left_follows_speed() -> None:
    """It is unknown before the first measurement, then the rest at the speed so far, and never 0."""
    now = [100.0]
    pace = Pace(96, lambda: now[0])
    assert pace.seconds_left is None
    now[0] += 3.2
    pace.measure(32)
    assert pace.seconds_left == 7
    now[0] += 3.0
    assert pace.seconds_left == 4
    now[0] += 3.4
    pace.measure(64)
    assert pace.seconds_left == 5
    now[0] += 10.0
    assert pace.seconds_left == 1
    pace.measure(96)
    assert pace.seconds_left == 1
