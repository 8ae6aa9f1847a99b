"""What schemathesis is taught about this service: the bytes of documents, and two more checks."""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import CheckContext
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.transport.serialization import Binary

# A document is what its bytes are, and a text is anything without control characters; others are answered 415.
PAGE = "<!doctype html><title>Leave</title><p>You have 30 days of leave.</p>"
TEXTS = st.just(PAGE) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=200)
schemathesis.openapi.format("binary", TEXTS.map(lambda text: Binary(text.encode())))

# What `make fuzz` has made for each operation: values of its parameters.
EXAMPLES: dict[str, dict[str, str]] = json.loads(os.environ.get("FUZZ_EXAMPLES", "{}"))

BEYOND_SCHEMA = {
    "idempotency-key-reused",
    "message-too-long",
    "unknown-model",
}
"""Codes of requests that are valid by their schema and refused for what is stored or installed."""
BEYOND_SCHEMA_DETAILS = {
    "Only a reply can be regenerated.",
    "Only a reply has a context.",
    "Only a user's message can be edited.",
    "The cursor is invalid: use the one of the `Link` header.",
    "The message has not ended.",
    "The range exceeds 366 days.",
    "`from` is after `to`.",
    "`user_id` differs between query and body.",
}
"""Details of the others: of what is stored, and of two parameters together."""


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Give each operation the examples that were made for it, in place of those of the document."""
    for path, methods in raw_schema["paths"].items():
        for method, operation in methods.items():
            examples = EXAMPLES.get(f"{method.upper()} {path}", {})
            for parameter in operation["parameters"]:
                if parameter["name"] in examples:
                    parameter["schema"]["examples"] = [examples[parameter["name"]]]


@schemathesis.check
def refused_for_what_no_schema_says(_ctx: CheckContext, response: Response, case: Case) -> None:
    """A valid request that is answered 422 is refused for one of the reasons above."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    problem = response.json()
    known = problem["code"] in BEYOND_SCHEMA or problem["detail"] in BEYOND_SCHEMA_DETAILS
    assert known, f"a schema could have said: {problem['detail']}"


@schemathesis.check
class EveryOperationIsReached:
    """Each operation has found what it works on at least once: a run that only meets refusals checks nothing."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.reached: set[str] = set()

    def after_response(self, _ctx: CheckContext, response: Response, case: Case) -> None:
        """Note what was called, and what was there: 409 is an answer about it."""
        self.called.add(case.operation.label)
        if 200 <= response.status_code < 300 or response.status_code == 409:
            self.reached.add(case.operation.label)

    def after_run(self, _ctx: CheckContext) -> None:
        """Fail when an operation never found anything."""
        missed = sorted(self.called - self.reached)
        assert not missed or not EXAMPLES, f"never reached: {', '.join(missed)}"
