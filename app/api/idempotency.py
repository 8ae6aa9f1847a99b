"""The `Idempotency-Key` header and the fingerprint of a request."""

from __future__ import annotations

import hashlib

import orjson

from app.api.schemas.messages import ResponseModeBody
from app.domain.idempotency import IdempotencyKey

REPLAYED = {"Idempotency-Replayed": "true"}


def key_of(key: str | None, path: str, body: ResponseModeBody) -> IdempotencyKey | None:
    """Build a request's key with its fingerprint, which leaves out the mode of the response; None without a header."""
    if key is None:
        return None
    fields = body.model_dump(mode="json", exclude={"stream", "background"})
    canonical = orjson.dumps(["POST", path, fields], option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(key, hashlib.sha256(canonical).hexdigest())
