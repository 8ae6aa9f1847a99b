from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from app.domain.messages import Message, ResolvedModel, Status
from app.domain.prompt import Prompt, Window
from app.domain.retrieval import RetrievalRequest, RetrievalResult
from app.domain.token_estimate import whole_tokens
from app.domain.turn_outcome import Outcome, TurnRecord, failed_outcome
from app.domain.turns import AcceptedTurn, History
from app.domain.usage import Attempt
from app.errors import InternalError
from app.llm.base import Target
from app.llm.calls import CallLimits, ModelCall, Sink
from app.services.replies.stream import ReplyStream


class TurnRun:
    """One turn that this process executes: the data it was accepted with, its reply stream and its model call."""

    def __init__(
        self,
        reply: Message,
        question_number: int,
        resolved: ResolvedModel,
        owner_id: str,
        retrieval_request: RetrievalRequest | None,
        history: History | None = None,
    ) -> None:
        """Make the run of an accepted turn.

        Args:
            reply: The reply as it is stored, queued or in progress.
            question_number: The sequence number of the message that it answers.
            resolved: The model that answers, with its parameters.
            owner_id: The id of the user's row.
            retrieval_request: The documents that may be searched; None in an open conversation.
            history: The history, if it was read with the acceptance.
        """
        self.stream = ReplyStream(reply)
        self.question_number = question_number
        self.resolved = resolved
        self.owner_id = owner_id
        self.retrieval_request = retrieval_request
        self.aborted_as: Status | None = None
        """The status to end with, once the run is aborted."""
        self.started = False
        """True once the generation has begun."""
        self.call: ModelCall | None = None
        """The model call; None before it has started."""
        self._history = history
        self._generation: asyncio.Task[Outcome] | None = None

    @classmethod
    def of(cls, turn: AcceptedTurn) -> TurnRun:
        """Make the run of a turn that was accepted in this process."""
        number = turn.question.sequence_number
        return cls(turn.reply, number, turn.resolved, turn.owner_id, turn.retrieval_request, turn.history)

    @property
    def reply(self) -> Message:
        """The reply as it was accepted; after the end, as it is stored."""
        return self.stream.message

    @property
    def target(self) -> Target:
        """The model that the turn was accepted for; a fallback may answer in its place."""
        return Target(self.resolved.provider, self.resolved.model)

    @property
    def target_used(self) -> Target | None:
        """The model that was called last; None before the first call."""
        return self.call.target_used if self.call else None

    @property
    def prompt(self) -> Prompt | None:
        """The prompt that was sent last; None before the first call."""
        return self.call.prompt if self.call else None

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The provider calls that have ended."""
        return self.call.attempts if self.call else ()

    @property
    def retrieval(self) -> RetrievalResult | None:
        return self.stream.retrieval

    def take_history(self) -> History | None:
        """Return the history that was read with the acceptance, once, so that it is not kept in memory."""
        history, self._history = self._history, None
        return history

    def start_call(self, build_prompt: Callable[[Window], Prompt], sink: Sink, limits: CallLimits) -> ModelCall:
        """Make the model call of this run."""
        self.call = ModelCall(
            target=self.target,
            build_prompt=build_prompt,
            sink=sink,
            limits=limits,
            temperature=self.resolved.temperature,
            max_tokens=self.resolved.max_tokens,
        )
        return self.call

    def estimated_tokens(self) -> int:
        """Estimate the tokens of the prompt and of the text and reasoning so far."""
        if self.call is None:
            return 0
        sent = self.call.prompt.record.tokens if self.call.prompt else 0
        return sent + whole_tokens(self.call.twentieths)

    def record(self) -> TurnRecord:
        """Return the record of the retrieval and the model call so far."""
        if self.call is None or self.call.target_used is None:
            return TurnRecord(retrieval=self.retrieval)
        provider, model = self.call.target_used
        return TurnRecord(
            provider,
            model,
            reasoning=self.stream.reasoning() or None,
            prompt=self.call.prompt and self.call.prompt.record,
            attempts=tuple(self.call.attempts),
            retrieval=self.retrieval,
        )

    async def outcome_of(self, generation: asyncio.Task[Outcome]) -> Outcome:
        """Wait for the generation, and return its outcome; that of an aborted one has the text so far."""
        self.started = True
        self._generation = generation
        if self.aborted_as is not None:
            generation.cancel()
        try:
            return await generation
        except asyncio.CancelledError:
            if self.aborted_as is not None:
                return Outcome(self.aborted_as, self.stream.text())
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # this very task is cancelled, not the generation alone
                raise
            return failed_outcome(InternalError(), self.stream.text())
        finally:
            self._generation = None

    def abort(self, status: Status, *, deleted: bool = False) -> None:
        """Stop the generation; the turn ends with this status (or that of an earlier abort) and the text so far."""
        self.aborted_as = self.aborted_as or status
        if deleted:
            self.stream.mark_deleted()
        if self._generation is not None:
            self._generation.cancel()
