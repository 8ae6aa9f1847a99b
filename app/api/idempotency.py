"""The `Idempotency-Key` header, and what makes two requests the same one."""

from __future__ import annotations

import hashlib

import orjson

from app.api.schemas.messages import AnswerBody
from app.domain.idempotency import IdempotencyKey

REPLAYED = {"Idempotency-Replayed": "true"}


def key_of(given: str | None, path: str, body: AnswerBody) -> IdempotencyKey | None:
    """A request's key; how its turn is to be answered is no part of what it asks."""
    if given is None:
        return None
    asked = body.model_dump(mode="json", exclude={"stream", "background"})
    canonical = orjson.dumps(["POST", path, asked], option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(given, hashlib.sha256(canonical).hexdigest())
