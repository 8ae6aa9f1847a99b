"""Identifiers and moments, made in Python so that a lost acknowledgement can be looked up."""

import time

import uuid_utils


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as 36 characters of text: sorts by the time it was made."""
    return str(uuid_utils.uuid7())


def now_ms() -> int:
    """The wall clock, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
