from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import new_id
from app.domain.messages import Usage
from app.domain.prompt import Prompt
from app.domain.token_estimate import whole_tokens
from app.domain.usage import COMPLETED, Attempt
from app.errors import AppError, EmptyReply, InternalError, ProviderTimeout, ProviderTruncated, TurnFailed
from app.llm.base import Target
from app.llm.stream_consumer import StreamConsumer


@dataclass(frozen=True, slots=True)
class AttemptRecorder:
    """Builds the usage record of one attempt at a model."""

    target: Target
    prompt: Prompt
    consumer: StreamConsumer
    remote: bool
    """True if it goes over HTTP."""
    start_time: float
    """Seconds, by the event loop's clock."""
    started_at: int
    """Milliseconds since the Unix epoch."""

    def record(self, end_time: float, outcome: str, error: AppError | None) -> Attempt:
        """Return the record of the attempt, which ended at `end_time` by the event loop's clock."""
        first_at = self.consumer.first_at
        return Attempt(
            attempt_id=new_id(),
            provider=self.target.provider,
            model=self.target.model,
            outcome=outcome,
            status_code=self._status_code(outcome, error),
            first_token_ms=None if first_at is None else milliseconds(first_at - self.start_time),
            total_ms=milliseconds(end_time - self.start_time),
            usage=None if self._cost_nothing(error) else self.usage(),
            started_at=self.started_at,
        )

    def usage(self) -> Usage:
        """Return the tokens that the provider reported, else an estimate from the texts sent and received."""
        if self.consumer.usage is not None:
            return self.consumer.usage
        return Usage(self.prompt.record.tokens, whole_tokens(self.consumer.twentieths), estimated=True)

    def _status_code(self, outcome: str, error: AppError | None) -> int | None:
        if isinstance(error, TurnFailed) and error.provider_status is not None:
            return error.provider_status
        answered = outcome == COMPLETED or self.consumer.first_at is not None or isinstance(error, EmptyReply)
        return 200 if self.remote and answered else None

    def _cost_nothing(self, error: AppError | None) -> bool:
        """Return whether the provider certainly did no work; one that accepted the request may have worked."""
        if error is None or self.consumer.first_at is not None or self.consumer.usage is not None:
            return False
        if isinstance(error, ProviderTimeout):
            return error.phase == "connect"
        return not isinstance(error, EmptyReply | ProviderTruncated | InternalError)


def milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)
