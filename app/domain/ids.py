"""Ids and timestamps, made in Python so that a transaction whose acknowledgement was lost can be found."""

import time

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562) as 36 characters of text, which sorts by creation time."""
    return str(uuid_utils.uuid7())


def now_ms() -> int:
    """Return the wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
