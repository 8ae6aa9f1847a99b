"""Having a reply written; how that ends is always an outcome."""

from __future__ import annotations

import logging
from dataclasses import replace

from app.domain.citations import citations_in
from app.domain.messages import Status, Usage
from app.domain.turn_outcome import Outcome, TurnRecord
from app.errors import AppError, InternalError
from app.llm.calls import ModelCall
from app.llm.router import Router
from app.services.replies.stream import ReplyStream, failure_of

log = logging.getLogger(__name__)


async def generate(router: Router, call: ModelCall, reply: ReplyStream) -> Outcome:
    """Has a reply written and gives how that ended; only a cancellation is raised."""
    try:
        ending = await router.answer(call)
    except AppError as error:
        return failed(reply, call, error)
    except Exception:
        log.exception("a turn failed on %s", call.author or call.target)
        return failed(reply, call, InternalError())
    return Outcome(Status.COMPLETED, reply.text(), ending.finish_reason, ending.usage)


def failed(reply: ReplyStream, call: ModelCall, error: AppError) -> Outcome:
    """The outcome of a failure; the text so far is kept."""
    cause = type(error.__cause__).__name__  # its words may hold a key, or what another customer said
    provider, model = call.author or call.target
    log.warning("a turn failed", extra={"code": error.code, "provider": provider, "model": model, "cause": cause})
    return Outcome(Status.FAILED, reply.text(), error=failure_of(error))


def with_record(outcome: Outcome, reply: ReplyStream, call: ModelCall | None) -> Outcome:
    """An outcome with what was done for it; a turn that was stopped or failed has cost what its last attempt has."""
    if reply.retrieval is not None:
        cited = citations_in(outcome.text, reply.retrieval.candidates)
        outcome = replace(outcome, citations=cited, work=TurnRecord(retrieval=reply.retrieval))
    if call is None or call.author is None:
        return outcome
    usage: Usage | None = outcome.usage or (call.attempts[-1].usage if call.attempts else None)
    return replace(outcome, usage=usage, work=record_of(reply, call))


def record_of(reply: ReplyStream, call: ModelCall) -> TurnRecord:
    """What has been done for a reply so far."""
    provider, model = call.author or call.target
    context = call.prompt and call.prompt.context
    return TurnRecord(provider, model, reply.reasoning() or None, context, tuple(call.attempts), reply.retrieval)
