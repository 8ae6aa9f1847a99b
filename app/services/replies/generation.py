"""The generation of a reply, whose end is always an outcome."""

from __future__ import annotations

import logging
from dataclasses import replace

from app.domain.citations import citations_in
from app.domain.messages import Status
from app.domain.turn_outcome import Outcome, failed_outcome
from app.errors import AppError, InternalError
from app.llm.calls import ModelCall
from app.llm.router import Router
from app.services.replies.turn_run import TurnRun

log = logging.getLogger(__name__)


async def generate(router: Router, run: TurnRun, call: ModelCall) -> Outcome:
    """Complete a run's model call and return the outcome; raise nothing but a cancellation."""
    try:
        completion = await router.complete(call)
    except AppError as raised:
        error = raised
    except Exception:
        log.exception("a turn failed on %s", call.target_used or call.target)
        error = InternalError()
    else:
        return Outcome(Status.COMPLETED, run.stream.text(), completion.finish_reason, completion.usage)
    log_failure(call, error)
    return failed_outcome(error, run.stream.text())


def log_failure(call: ModelCall, error: AppError) -> None:
    """Log an error that ends a turn, with the model that was called."""
    cause = type(error.__cause__).__name__  # not its message, which may hold a key or another customer's text
    provider, model = call.target_used or call.target
    log.warning("a turn failed", extra={"code": error.code, "provider": provider, "model": model, "cause": cause})


def with_record(outcome: Outcome, run: TurnRun) -> Outcome:
    """Add a run's record and citations to its outcome, and the usage of the last attempt where there is none."""
    if run.retrieval is not None:
        outcome = replace(outcome, citations=citations_in(outcome.text, run.retrieval.candidates))
    usage = outcome.usage or (run.attempts[-1].usage if run.attempts else None)
    return replace(outcome, usage=usage, record=run.record())
