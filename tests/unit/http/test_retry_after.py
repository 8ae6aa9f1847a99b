from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.http.retry_after import MAX_SECONDS, retry_after_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 0.5 ", 0.5),
        ("0", 0),
        ("9" * 400, MAX_SECONDS),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0),
        (None, None),
        ("", None),
        ("-5", None),
        ("nan", None),
        ("1e3", None),
        ("soon", None),
        ("Thu, 01 Jan 999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """A number is seconds, a date counts from now, and anything else is ignored."""
    assert retry_after_seconds(value) == seconds


def test_date_counts_from_now() -> None:
    """A date gives the seconds that are left until then."""
    found = retry_after_seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert found is not None
    assert 55 < found <= 60
