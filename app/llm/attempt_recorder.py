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
    """An attempt on its way into the ledger."""

    target: Target
    prompt: Prompt
    listener: StreamConsumer
    remote: bool
    """Whether it goes over HTTP."""
    began: float
    """By the event loop's clock, in seconds."""
    started_at: int
    """Milliseconds since the Unix epoch."""

    def attempt(self, now: float, outcome: str, error: AppError | None) -> Attempt:
        """The attempt, ended."""
        first_at = self.listener.first_at
        return Attempt(
            attempt_id=new_id(),
            provider=self.target.provider,
            model=self.target.model,
            outcome=outcome,
            status_code=self._status_code(outcome, error),
            first_token_ms=None if first_at is None else milliseconds(first_at - self.began),
            total_ms=milliseconds(now - self.began),
            usage=None if self._refused(error) else self.usage(),
            started_at=self.started_at,
        )

    def usage(self) -> Usage:
        """The tokens that the provider reported, else an estimate by what was sent and came."""
        if self.listener.usage is not None:
            return self.listener.usage
        return Usage(self.prompt.record.tokens, whole_tokens(self.listener.twentieths), estimated=True)

    def _status_code(self, outcome: str, error: AppError | None) -> int | None:
        if isinstance(error, TurnFailed) and error.provider_status is not None:
            return error.provider_status
        answered = outcome == COMPLETED or self.listener.first_at is not None or isinstance(error, EmptyReply)
        return 200 if self.remote and answered else None

    def _refused(self, error: AppError | None) -> bool:
        """Whether the provider has surely not worked: where it took the request and fell silent, it may have."""
        if error is None or self.listener.first_at is not None or self.listener.usage is not None:
            return False
        if isinstance(error, ProviderTimeout):
            return error.phase == "connect"
        return not isinstance(error, EmptyReply | ProviderTruncated | InternalError)


def milliseconds(seconds: float) -> int:
    """Seconds as whole milliseconds."""
    return int(seconds * 1_000)
