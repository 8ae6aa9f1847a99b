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
    except AppError as error:
        return log_failure(run, call, error)
    except Exception:
        log.exception("a turn failed on %s", call.target_used or call.target)
        return log_failure(run, call, InternalError())
    return Outcome(Status.COMPLETED, run.stream.text(), completion.finish_reason, completion.usage)


def log_failure(run: TurnRun, call: ModelCall, error: AppError) -> Outcome:
    """Log an error that ends a turn, and return its outcome, with the text so far."""
    cause = type(error.__cause__).__name__  # not its message, which may hold a key or another customer's text
    provider, model = call.target_used or call.target
    log.warning("a turn failed", extra={"code": error.code, "provider": provider, "model": model, "cause": cause})
    return failed_outcome(error, run.stream.text())


def with_record(outcome: Outcome, run: TurnRun) -> Outcome:
    """Add a run's record and citations to its outcome, and the usage of the last attempt where there is none."""
    if run.retrieval is not None:
        outcome = replace(outcome, citations=citations_in(outcome.text, run.retrieval.candidates))
    usage = outcome.usage or (run.attempts[-1].usage if run.attempts else None)
    return replace(outcome, usage=usage, record=run.record())
