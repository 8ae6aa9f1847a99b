"""Hooks of schemathesis for this service: the bytes of documents, and two further checks."""

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

# The bytes of a document decide its type; a text is anything without control characters, and others are answered 415.
PAGE = "<!doctype html><title>Leave</title><p>You have 30 days of leave.</p>"
TEXTS = st.just(PAGE) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=200)
schemathesis.openapi.format("binary", TEXTS.map(lambda text: Binary(text.encode())))

# Values of parameters that `make fuzz` has created for each operation.
EXAMPLES: dict[str, dict[str, str]] = json.loads(os.environ.get("FUZZ_EXAMPLES", "{}"))

BEYOND_SCHEMA = {
    "idempotency-key-reused",
    "message-too-long",
    "unknown-model",
}
"""Codes of requests that are valid by their schema and refused because of stored data or installed models."""
BEYOND_SCHEMA_DETAILS = {
    "Only a reply can be regenerated; name the reply to this message.",
    "Only a reply has a context; request that of the next message.",
    "Only a user's message can be edited; regenerate a reply instead.",
    "The cursor is invalid; use the URL in the previous page's `Link` header as it is.",
    "The message has not ended; send the number of characters received, without `-end`.",
    "The range exceeds 366 days; request it in parts.",
    "`from` is after `to`; exchange them.",
    "`user_id` differs between query and body; send the same.",
}
"""Details of other such problems: about stored data, and about two parameters together."""


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Replace the examples of the document by those created for each operation."""
    for path, methods in raw_schema["paths"].items():
        for method, operation in methods.items():
            examples = EXAMPLES.get(f"{method.upper()} {path}", {})
            for parameter in operation["parameters"]:
                if parameter["name"] in examples:
                    parameter["schema"]["examples"] = [examples[parameter["name"]]]


@schemathesis.check
def refused_for_what_no_schema_says(_ctx: CheckContext, response: Response, case: Case) -> None:
    """Check that a valid request answered with 422 is refused for one of the reasons above."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    problem = response.json()
    known = problem["code"] in BEYOND_SCHEMA or problem["detail"] in BEYOND_SCHEMA_DETAILS
    assert known, f"a schema could have said: {problem['detail']}"


@schemathesis.check
class EveryOperationIsReached:
    """Checks that each operation found its object at least once; a run of refusals alone checks nothing."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.reached: set[str] = set()

    def after_response(self, _ctx: CheckContext, response: Response, case: Case) -> None:
        """Record called operations and those that found their object, to which 409 refers as well."""
        self.called.add(case.operation.label)
        if 200 <= response.status_code < 300 or response.status_code == 409:
            self.reached.add(case.operation.label)

    def after_run(self, _ctx: CheckContext) -> None:
        """Fail if an operation never found its object."""
        missed = sorted(self.called - self.reached)
        assert not missed or not EXAMPLES, f"never reached: {', '.join(missed)}"
